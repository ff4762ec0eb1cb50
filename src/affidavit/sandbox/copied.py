"""Files of one sandbox, copied into a layer for another one that has a root file system of its own."""

import fnmatch
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from affidavit.events import encode_name
from affidavit.sandbox import kernel
from affidavit.sandbox.merged import Entry, find, find_path, list_names, open_folder, open_merged, open_root
from affidavit.sandbox.protocol import SandboxError

_MOST_FILES = 200_000
_DEEPEST = 200


@dataclass(frozen=True)
class CopiedPath:
    """What is copied.

    Attributes:
        path: absolute: a file, or a folder with all that is in it; a symbolic link is copied as one.
        exclude: patterns (fnmatch) of names, or of paths below it, that are left out.
    """

    path: str
    exclude: tuple[str, ...] = ()

    def leaves_out(self, below: str) -> bool:
        """Whether something is left out; `below`: its path below `path`."""
        name = below.rpartition("/")[2]
        return any(fnmatch.fnmatchcase(name, one) or fnmatch.fnmatchcase(below, one) for one in self.exclude)


def copy_paths(
    layers: Sequence[Path], paths: Iterable[CopiedPath], below: Sequence[Path], into: Path, most_bytes: int
) -> tuple[str, ...]:
    """Copy files of merged layers into a new layer. Nothing is followed; set-id bits, extended attributes, devices,
    sockets and FIFOs are left out.

    Args:
        layers: to copy from, topmost first, frozen.
        paths: what to copy; what is not there is left out.
        below: the layers that the new one is to be put on, topmost first: folders that are there keep their attributes.
        into: the new layer's folder, made here; its parent exists and it does not.
        most_bytes: of all files together.

    Returns:
        The paths that were not there, spelled by encode_name.

    Raises:
        SandboxError: there is more, or a layer can't be read or written.
    """
    missing: list[str] = []
    try:
        into.mkdir()
        into.chmod(0o755)
        with ExitStack() as stack:
            copier = _Copier([open_root(one, stack) for one in layers], below, open_root(into, stack), most_bytes)
            for one in paths:
                path = os.fsencode(one.path).strip(b"/")
                if path and not copier.copy_top(path, layers, one):
                    missing.append(encode_name(b"/" + path))
    except OSError as problem:
        raise SandboxError(f"{into}: files can't be copied for the tests: {problem}") from None
    return tuple(missing)


class _Copier:
    def __init__(self, roots: Sequence[int], below: Sequence[Path], into: int, most_bytes: int) -> None:
        self._roots = roots
        self._below = below
        self._into = into
        self._left = self._most = most_bytes
        self._files = 0

    def copy_top(self, path: bytes, layers: Sequence[Path], asked: CopiedPath) -> bool:
        """Copy what stands under a path; whether something does."""
        with ExitStack() as stack:
            entry = find_path(layers, path, stack)
            if entry is None:
                return False
            self._make_parents(path)
            self._copy(path, entry, self._roots, asked, 0)
        return True

    def _copy(self, path: bytes, entry: Entry, roots: Sequence[int], asked: CopiedPath, depth: int) -> None:
        self._files += 1
        if self._files > _MOST_FILES or depth > _DEEPEST:
            raise SandboxError(f"{asked.path}: holds more than {_MOST_FILES} files, or folders {_DEEPEST} deep")
        parent, _, name = path.rpartition(b"/")
        with ExitStack() as stack:
            there = open_folder(self._into, parent)
            stack.callback(os.close, there)
            info = entry.info
            if entry.is_folder():
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=there)
                self._own(name, there, info)
                # The layers that this folder is merged from; those above its own name's are looked through again.
                folders = open_merged(path, roots, stack)
                inside = [root for root, _ in folders]
                for child in sorted({child for _, folder in folders for child in list_names(folder)}):
                    found = find(folders, child)
                    whole = path + b"/" + child
                    beneath = os.fsdecode(whole).removeprefix(asked.path.strip("/") + "/")
                    if found is not None and not asked.leaves_out(beneath):
                        self._copy(whole, found, inside, asked, depth + 1)
                return
            target = entry.target()
            if target is not None:
                with suppress(FileExistsError):
                    os.symlink(target, name, dir_fd=there)
                os.chown(name, info.st_uid, info.st_gid, dir_fd=there, follow_symlinks=False)
            elif stat.S_ISREG(info.st_mode):
                self._copy_file(name, entry, there)

    def _copy_file(self, name: bytes, entry: Entry, there: int) -> None:
        # Known to be a regular file; the flags are for the day when that is wrong.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        with os.fdopen(os.open(entry.name, flags, dir_fd=entry.folder), "rb", buffering=0) as source:
            # What it takes, not how long it is: most of it may be a hole.
            self._left -= os.fstat(source.fileno()).st_blocks * 512
            if self._left < 0:
                raise SandboxError(
                    f"the files that are copied for the grading take more than {self._most >> 20} MiB: raise the "
                    "storage_mb of [environment] or [verifier.environment], or name fewer artifacts"
                )
            new = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(name, new, 0o600, dir_fd=there), "wb", buffering=0) as copy:
                kernel.copy_sparse(source.fileno(), copy.fileno())
        self._own(name, there, entry.info)

    @staticmethod
    def _own(name: bytes, there: int, info: os.stat_result) -> None:
        os.chown(name, info.st_uid, info.st_gid, dir_fd=there, follow_symlinks=False)
        os.chmod(name, stat.S_IMODE(info.st_mode) & 0o1777, dir_fd=there)

    def _make_parents(self, path: bytes) -> None:
        """Make the folders above a path as they are below the new layer, else as anybody may look into them."""
        parts = path.split(b"/")[:-1]
        for depth in range(1, len(parts) + 1):
            above = b"/".join(parts[:depth])
            with ExitStack() as stack:
                found = find_path(self._below, above, stack)
                if found is not None and not found.is_folder():
                    what = f"/{encode_name(path)}: can't be copied for the tests"
                    raise SandboxError(f"{what}: in their image /{encode_name(above)} is no folder")
                parent, _, name = above.rpartition(b"/")
                there = open_folder(self._into, parent)
                stack.callback(os.close, there)
                try:
                    os.mkdir(name, dir_fd=there)
                except FileExistsError:
                    continue
                if found is None:
                    os.chmod(name, 0o755, dir_fd=there)
                else:
                    self._own(name, there, found.info)
