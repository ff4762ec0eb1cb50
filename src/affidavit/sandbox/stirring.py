"""Moves the kernel's counters by random steps, so that no sandbox can leave a message in them for the next."""

import ctypes
import fcntl
import os
import secrets
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

NUMBERED: Mapping[str, tuple[str, ...]] = {
    "pipes and sockets": ("pipe", "pipe2", "socket", "socketpair", "accept", "accept4", "mq_open"),
    "files in memory": ("memfd_create", "shmget"),
    "renames": ("rename", "renameat", "renameat2"),
}
"""What the kernel numbers for the whole machine, with calls that make it and hardly anything else. Whoever makes one
learns its number: inodes of pipes and sockets (pipe(7)) and of files in memory (memfd_create(2)), cookies of renames
(inotify(7)). There are further ways to move these counters: looking into /proc, shared memory without a name."""

# Steps are drawn from at least so many, and from twice as many as a counter was moved: less than one bit is known of
# what a sandbox moved it by. So many make half a minute.
_LEAST = 1 << 10
_MOST = 1 << 23
# Linux gives inode numbers to each processor in batches of so many, which that one uses up.
_BATCH = 1 << 10
_IN_MOVED_FROM = 0x40
# Steps are written down so many at a time, after they were made.
_CHUNK = 64
# What is written down may be off by the batches of a few processors and by the chunks of those who stir.
_SLACK = 2 * _BATCH
_NEVER_BACK_BY = 1 << 20
_PLACE = Path("/run/affidavit")
_PIPES, _FILES, _RENAMES = range(3)
_TOTALS = struct.Struct("=QQQ")


@dataclass(frozen=True)
class Counters:
    """Where the kernel's counters are, of what `NUMBERED` lists in this order, to a batch.

    Attributes:
        pipes, files, renames: numbers of 32 bits, which begin again.
        stirred: by how much this machine's stirring had moved each of them.
    """

    pipes: int
    files: int
    renames: int
    stirred: tuple[int, int, int]


def read_counters() -> Counters:
    """Where they are now.

    Raises:
        OSError: that can't be found out.
    """
    with _Totals() as totals:
        return _read(totals)


def stir_counters(before: Counters) -> None:
    """Move each of them at random, farther the more it was moved meanwhile, by whatever but stirring: gradings that run
    side by side would drive one another to ever more steps.

    Args:
        before: where they were before the sandbox began that has just ended.

    Raises:
        OSError: that can't be done.
    """
    with _Totals() as totals:
        # Before the counters, as they are read after them at the beginning: what is stirred between counts as movement.
        stirred = totals.read()
        now = _read(totals)
        own = [after - first for first, after in zip(before.stirred, stirred, strict=True)]
        _made(_pipe, _steps(before.pipes, now.pipes, own[_PIPES]), totals, _PIPES)
        _made(_file, _steps(before.files, now.files, own[_FILES]), totals, _FILES)
        with _Renames() as renames:
            _made(renames.rename, _steps(before.renames, now.renames, own[_RENAMES]), totals, _RENAMES)
        # What is left of each processor's batch would be there for whoever runs on that one.
        for processor in range(os.cpu_count() or 1):
            with suppress(OSError), _on(processor):
                for which, make in ((_PIPES, _pipe), (_FILES, _file)):
                    _made(make, secrets.randbelow(_BATCH), totals, which)


def _read(totals: "_Totals") -> Counters:
    with _on(min(os.sched_getaffinity(0))), _Renames() as renames:
        # More than a batch, so that the last comes from a new one.
        pipes, files = (_made(make, _BATCH + 1, totals, which) for which, make in ((_PIPES, _pipe), (_FILES, _file)))
        return Counters(pipes, files, renames.cookie(), totals.read())


def _steps(before: int, now: int, stirred: int) -> int:
    moved = (now - before - stirred) % (1 << 32)
    if moved >= (1 << 32) - _NEVER_BACK_BY:
        # Stirring moved it, by a little less than was written down.
        moved = 0
    return secrets.randbelow(min(_LEAST + 2 * (moved + _SLACK), _MOST))


def _made(make: Callable[[], int], count: int, totals: "_Totals", which: int) -> int:
    """Make so many of something, and write that down: the number of the last; 0 where that is none."""
    number = 0
    for done in range(0, count, _CHUNK):
        some = min(_CHUNK, count - done)
        for _ in range(some):
            number = make()
        totals.add(which, some)
    return number


class _Totals:
    """How many steps were made on this machine since it started, by whoever stirs on it: a file of root's, which no
    sandbox sees. A context manager."""

    def __enter__(self) -> Self:
        _PLACE.mkdir(mode=0o700, exist_ok=True)
        self._file = os.open(_PLACE / "stirred", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def read(self) -> tuple[int, int, int]:
        fcntl.flock(self._file, fcntl.LOCK_SH)
        try:
            return self._unpacked()
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def add(self, which: int, steps: int) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            totals = [*self._unpacked()]
            totals[which] += steps
            os.pwrite(self._file, _TOTALS.pack(*totals), 0)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _unpacked(self) -> tuple[int, int, int]:
        pipes, files, renames = _TOTALS.unpack(os.pread(self._file, _TOTALS.size, 0).ljust(_TOTALS.size, b"\0"))
        return pipes, files, renames


def _pipe() -> int:
    read, write = os.pipe()
    number = os.fstat(read).st_ino
    os.close(read)
    os.close(write)
    return number


def _file() -> int:
    file = os.memfd_create("stirring")
    number = os.fstat(file).st_ino
    os.close(file)
    return number


@contextmanager
def _on(processor: int) -> Iterator[None]:
    """Have this thread run on one processor."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class _Renames:
    """A file in memory that is renamed again and again."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm")
        self._name, self._other = f"{self._folder.name}/a", f"{self._folder.name}/b"
        os.close(os.open(self._name, os.O_CREAT | os.O_WRONLY, 0o600))
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def rename(self) -> int:
        os.rename(self._name, self._other)  # noqa: PTH104 (half the time)
        self._name, self._other = self._other, self._name
        return 0

    def cookie(self) -> int:
        """The number of a rename."""
        libc = ctypes.CDLL(None, use_errno=True)
        watching = libc.inotify_init1(os.O_CLOEXEC)
        if watching < 0 or libc.inotify_add_watch(watching, os.fsencode(self._folder.name), _IN_MOVED_FROM) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), "inotify")
        try:
            self.rename()
            # struct inotify_event: a watch, what happened, the cookie.
            return int(struct.unpack_from("iII", os.read(watching, 4096))[2])
        finally:
            os.close(watching)
