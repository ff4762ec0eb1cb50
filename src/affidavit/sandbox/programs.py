"""What a file of a root file system is, before any sandbox has changed it."""

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass

from affidavit.events import decode_name, encode_name
from affidavit.sandbox import merged
from affidavit.sandbox.rootfs import RootFilesystem

_MOST_LINKS = 40
_MOST_BYTES = 1 << 31
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Program:
    """A file as a root file system holds it.

    Attributes:
        digest: ``sha256:`` and the SHA-256 of its content.
        via: where each symlink on the way to it lies, and where it lies itself.
    """

    digest: str
    via: tuple[str, ...]


def pristine_program(rootfs: RootFilesystem, path: str) -> Program | None:
    """The regular file that a name stands for, symlinks followed inside of the root file system.

    Args:
        rootfs: nothing has changed it.
        path: absolute, as :func:`affidavit.events.encode_name` spells it.

    Returns:
        None where there is no such file, or that is not known.
    """
    try:
        return _resolve(rootfs, decode_name(path))
    except (OSError, ValueError):
        return None


def _resolve(rootfs: RootFilesystem, path: bytes) -> Program | None:
    via: list[bytes] = []
    pending = _parts(path)
    done: list[bytes] = []
    while pending:
        part = pending.pop(0)
        if part == b"..":
            done = done[:-1]
            continue
        with contextlib.ExitStack() as stack:
            entry = _entry(rootfs, b"/".join([*done, part]), stack)
            if entry is None:
                return None
            target = entry.target()
            here = b"/" + b"/".join([*done, part])
            if target is None:
                if not pending:
                    via.append(here)
                    digest = _digest(entry)
                    return Program(digest, tuple(map(encode_name, via))) if digest else None
                done.append(part)
                continue
        via.append(here)
        if len(via) > _MOST_LINKS:
            return None
        done = [] if target.startswith(b"/") else done
        pending = _parts(target) + pending
    return None


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def _entry(rootfs: RootFilesystem, path: bytes, stack: contextlib.ExitStack) -> merged.Entry | None:
    if not (rootfs.host_usr and path.startswith(b"usr/")):
        if rootfs.host_usr and path == b"usr":
            return merged.Entry(-1, path, os.lstat("/usr"))
        return merged.find_path(rootfs.layers, path, stack)
    folder = os.open(b"/" + path.rpartition(b"/")[0], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    stack.callback(os.close, folder)
    name = path.rpartition(b"/")[2]
    return merged.Entry(folder, name, os.stat(name, dir_fd=folder, follow_symlinks=False))


def _digest(entry: merged.Entry) -> str | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(entry.name, flags, dir_fd=entry.folder), "rb", buffering=0) as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MOST_BYTES:
            return None
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
    return "sha256:" + digest.hexdigest()
