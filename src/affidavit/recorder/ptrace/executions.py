"""The files that the kernel opens in order to run them, from fanotify(7).

A name in a caller's memory may be another one by the time that the kernel reads it, and what runs then may be gone
before anyone can look. An event of fanotify's stays, and holds the file itself.
"""

import ctypes
import errno
import os
import re
import struct
from pathlib import Path

from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.syscall_interpreter import Loss, Process

# linux/fanotify.h
_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE, _UNLIMITED_MARKS = 0x01, 0x02, 0x10, 0x20
_MARK_ADD, _MARK_MOUNT = 0x01, 0x10
_OPEN_EXEC = 0x1000
_AT_FDCWD = -100
# struct fanotify_event_metadata: length, version, reserved, length of itself, mask, descriptor, pid.
_EVENT = struct.Struct("=IBBHQii")
# Each event that is read opens a descriptor.
_AT_ONCE = 64
# What execve(2) reads of a file to tell its kind, and more than enough for an executable's program headers.
_HEAD = 4096
_PT_INTERP = 3

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_mark.argtypes = (ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p)


def executions_told() -> bool:
    """Whether the kernel tells this process what is run (CAP_SYS_ADMIN)."""
    fd = _begin()
    if fd >= 0:
        os.close(fd)
    return fd >= 0


class Executions:
    """The files that one sandbox's processes are made to run.

    Needs CAP_SYS_ADMIN; without it nothing is reported.

    Args:
        init_pid: the sandbox's init, which waits for the sandbox's start; no mount may be added later.
        names: resolution of names below the sandbox's root.
        loss: where losses are counted.

    Raises:
        OSError: A mount can't be watched.
    """

    def __init__(self, init_pid: int, names: PathResolver, loss: Loss) -> None:
        self._names = names
        self._loss = loss
        # By process, with what each of them asks to be run by.
        self._opened: dict[int, dict[bytes, bytes | None]] = {}
        self._fd = _begin()
        self.told = self._fd >= 0
        """Whether the kernel tells."""
        try:
            self._watch(init_pid)
        except OSError:
            self.close()
            raise

    def take(self, process: Process) -> set[bytes]:
        """The paths of what a process that has ended was made to run, but for what ran on behalf of others among them:
        a script's interpreter, an executable's loader."""
        self._read()
        opened = self._opened.pop(process.pid, {})
        base = process.folder.path
        return set(opened) - {self._names.resolve(by, base) for by in opened.values() if by is not None}

    def close(self) -> None:
        """Let go of it. Harmless when called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _watch(self, init_pid: int) -> None:
        for line in Path(f"/proc/{init_pid}/mountinfo").read_bytes().splitlines() if self.told else ():
            words = line.split(b" ")
            point = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), words[4])
            path = b"/proc/%d/root%s" % (init_pid, point)
            if _libc.fanotify_mark(self._fd, _MARK_ADD | _MARK_MOUNT, _OPEN_EXEC, _AT_FDCWD, path) < 0:
                number = ctypes.get_errno()
                # Some are hidden below others; nothing runs from a noexec mount.
                if number not in (errno.ENOENT, errno.ENOTDIR) and b"noexec" not in words[5].split(b","):
                    raise OSError(number, os.strerror(number), os.fsdecode(point))

    def _read(self) -> None:
        while self._fd >= 0:
            try:
                data = os.read(self._fd, _AT_ONCE * _EVENT.size)
            except BlockingIOError:
                return
            except OSError as problem:
                self._loss.add(f"a program began and which one could not be told: {problem.strerror}")
                return
            for _, _, _, _, _, fd, pid in _EVENT.iter_unpack(data):
                if fd < 0:
                    self._loss.add("programs began and which ones could not be told")
                    continue
                self._opened.setdefault(pid, {})[_path(fd)] = _run_by(fd)
                os.close(fd)


def _begin() -> int:
    flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | _UNLIMITED_MARKS
    return int(_libc.fanotify_init(flags, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOATIME))


def _path(fd: int) -> bytes:
    """What a file was called; proc(5) says of one that was unlinked meanwhile that it is deleted."""
    path = os.readlink(b"/proc/self/fd/%d" % fd)  # noqa: PTH115 (bytes)
    return path if os.fstat(fd).st_nlink else path.removesuffix(b" (deleted)")


def _run_by(fd: int) -> bytes | None:
    """What a file asks to be run by: the interpreter of a script, the loader of an executable (elf(5), PT_INTERP)."""
    try:
        head = os.pread(fd, _HEAD, 0)
        if head.startswith(b"#!"):
            words = head[2:].split(b"\n", 1)[0].split(None, 1)
            return words[0] if words else None
        if not head.startswith(b"\x7fELF"):
            return None
        wide = head[4] == 2
        start = struct.unpack_from("=Q" if wide else "=I", head, 32 if wide else 28)[0]
        size, count = struct.unpack_from("=HH", head, 54 if wide else 42)
        headers = os.pread(fd, min(size * count, _HEAD), start)
        for at in range(0, len(headers), size):
            if struct.unpack_from("=I", headers, at)[0] == _PT_INTERP:
                offset = struct.unpack_from("=Q" if wide else "=I", headers, at + (8 if wide else 4))[0]
                return os.pread(fd, _HEAD, offset).split(b"\0", 1)[0] or None
    except (OSError, IndexError, struct.error, ValueError):
        pass
    return None
