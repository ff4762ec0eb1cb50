"""What a build may see: a copy of the Dockerfile's folder."""

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from affidavit.images.dockerfile import HEREDOCS
from affidavit.images.errors import ImageError

_MOST_BYTES = 4 << 30
_MOST_FILES = 200_000


def copy_context(source: Path, target: Path, heredocs: Mapping[str, bytes]) -> str:
    """Copy a build context; links are copied as links, never followed.

    Args:
        source: the folder.
        target: the copy, made here.
        heredocs: further files, by name in HEREDOCS.

    Returns:
        a digest of names, modes and contents.

    Raises:
        ImageError: it holds something else than files, folders and links, or too much.
    """
    digest = hashlib.sha256()
    left, files = _MOST_BYTES, 0
    try:
        for here, folders, names, fd in os.fwalk(source, follow_symlinks=False):
            folders.sort()
            relative = Path(here).relative_to(source)
            (target / relative).mkdir(mode=0o755, parents=True)
            for name in sorted([*folders, *names]):
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                files += 1
                left -= info.st_size
                if files > _MOST_FILES or left < 0:
                    raise ImageError(
                        f"{source}: is more than {_MOST_BYTES >> 30} GiB or {_MOST_FILES} files; a build's folder must "
                        "hold only what it needs"
                    )
                place = relative / name
                digest.update(f"{stat.S_IFMT(info.st_mode) | (info.st_mode & 0o777):o} ".encode() + os.fsencode(place))
                digest.update(b"\0" + _copy(fd, name, info, source / place, target / place))
            shutil.copymode(here, target / relative)
    except OSError as problem:
        raise ImageError(f"{problem.filename or source}: can't be read: {problem.strerror}") from None
    if heredocs:
        _write_heredocs(target, heredocs, source)
    return digest.hexdigest()


def _copy(fd: int, name: str, info: os.stat_result, source: Path, target: Path) -> bytes:
    if stat.S_ISDIR(info.st_mode):
        return b""
    if stat.S_ISLNK(info.st_mode):
        link = os.readlink(name, dir_fd=fd)
        target.symlink_to(link)
        return hashlib.sha256(os.fsencode(link)).digest()
    if not stat.S_ISREG(info.st_mode):
        raise ImageError(f"{source}: is a device, a pipe or a socket; only files, folders and links can be built from")
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    with os.fdopen(opened, "rb") as file, target.open("xb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
    target.chmod(info.st_mode & 0o777)
    os.utime(target, ns=(info.st_mtime_ns, info.st_mtime_ns))
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _write_heredocs(target: Path, heredocs: Mapping[str, bytes], source: Path) -> None:
    folder = target / HEREDOCS
    if os.path.lexists(folder):
        raise ImageError(f"{source / HEREDOCS}: bears a name that is needed for heredocs; rename it")
    for name, content in heredocs.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
    for ignore in (".containerignore", ".dockerignore"):
        path = target / ignore
        if path.is_file() and not path.is_symlink():
            with path.open("a") as file:
                file.write(f"\n!{HEREDOCS}\n!{HEREDOCS}/**\n")
