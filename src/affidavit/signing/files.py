"""Reading files that anyone may have put there, and writing files whole or not at all."""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from affidavit.signing.errors import EvidenceError


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a regular file of `most` bytes at most; a FIFO or a device does not hold us up.

    Raises:
        EvidenceError: there is none, it is something else, or it is larger.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise EvidenceError(f"{path}: is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise EvidenceError(f"{path}: can't be read: {error.strerror}") from error
    if len(data) > most:
        raise EvidenceError(f"{path}: is larger than {most} bytes")
    return data


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in its place, whole or not at all, and on the disk.

    Raises:
        EvidenceError: it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        # Where its folder is none, there is nothing to remove.
        with suppress(OSError):
            temporary.unlink()
        raise EvidenceError(f"{path}: can't be written: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (fsync(2) of a directory). Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked_folder(folder: Path, mode: int = 0o600) -> Iterator[None]:
    """Hold the lock of a folder, which is made where it is missing. The lock ends with the process that holds it.

    Args:
        mode: of the lock's file, ``.lock``.

    Raises:
        OSError: it can't be made or locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
