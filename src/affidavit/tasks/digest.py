"""The digest of a task: every file of its folder, whatever the machine it lies on."""

import hashlib
import os
import stat
from pathlib import Path

from affidavit.tasks.errors import TaskError

_MAX_FILES = 100_000
_CHUNK = 1 << 20

# The part whose symlinks are the sandbox's: they are looked up there, never here.
_SANDBOX_ROOT = b"environment/root/"


def task_digest(folder: Path) -> str:
    """``sha256:`` and the digest of a task folder.

    One record for each folder, file and symlink below `folder`, in the order of their relative names' bytes: type,
    length and bytes of the name, whether it is executable, SHA-256 of the content (of the target, for a symlink).
    Owners, times and the other permission bits don't count: they do not survive a checkout.

    Raises:
        TaskError: a file can't be read, is neither file, folder nor symlink, or is a symlink that leaves the folder.
    """
    root = os.fsencode(folder)
    total = hashlib.sha256(b"affidavit.task/v1\n")
    for name in sorted(_names(root)):
        path = os.path.join(root, name)  # noqa: PTH118  (bytes)
        kind, executable, content = _entry(folder, root, path, name)
        total.update(b"%c%d:%b%d%b" % (kind, len(name), name, executable, content))
    return "sha256:" + total.hexdigest()


def _names(root: bytes) -> list[bytes]:
    names = []
    stack = [b""]
    while stack:
        prefix = stack.pop()
        try:
            with os.scandir(os.path.join(root, prefix)) as entries:  # noqa: PTH118
                for entry in entries:
                    name = prefix + entry.name
                    names.append(name)
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(name + b"/")
        except OSError as error:
            raise TaskError(f"{os.fsdecode(root + b'/' + prefix)}: can't be read: {error.strerror}") from error
        if len(names) > _MAX_FILES:
            raise TaskError(f"{os.fsdecode(root)}: holds more than {_MAX_FILES} files; is it really a task folder?")
    return names


def _entry(folder: Path, root: bytes, path: bytes, name: bytes) -> tuple[int, bool, bytes]:
    shown = folder / os.fsdecode(name)
    try:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            return ord("d"), False, b""
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(path)  # noqa: PTH115  (bytes)
            if not name.startswith(_SANDBOX_ROOT) and _leaves(name, target):
                raise TaskError(f"{shown}: is a symlink that leaves the task folder; put a copy there instead")
            return ord("l"), False, hashlib.sha256(target).digest()
        if stat.S_ISREG(status.st_mode):
            return ord("f"), bool(status.st_mode & 0o111), _content(path)
    except OSError as error:
        raise TaskError(f"{shown}: can't be read: {error.strerror}") from error
    raise TaskError(f"{shown}: is neither a file, a folder nor a symlink; a task can't hold it")


def _leaves(name: bytes, target: bytes) -> bool:
    """Whether a symlink's target is outside, judged by the names alone."""
    if target.startswith(b"/"):
        return True
    depth = name.count(b"/")
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
        elif part not in (b"", b"."):
            depth += 1
        if depth < 0:
            return True
    return False


def _content(path: bytes) -> bytes:
    # O_NONBLOCK: a FIFO put there meanwhile must not hang us.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it changed while it was read")
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        return digest.digest()
