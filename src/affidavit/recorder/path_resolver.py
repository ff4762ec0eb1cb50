"""Names that were read from a caller's memory, resolved the way the kernel does, from outside the sandbox.

The names come a moment after the calls, when the files may have changed again: a symlink that was followed may be gone,
and there may be one where there was none. So what the record itself says of symlinks (made, moved, removed) goes before
what is there now, and of what is there now only those symlinks count that are older than the sandbox's start.

What the sandbox holds is hostile. It is looked at below the sandbox's root with openat2(2), through no symlink, as an
``O_PATH`` descriptor, which opens nothing.
"""

import ctypes
import os
import stat
import struct
import time
from collections.abc import Callable, Mapping

# asm-generic/unistd.h, the same on x86_64 and arm64.
_OPENAT2 = ctypes.c_long(437)
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_IN_ROOT = 0x10
_CLOCK_REALTIME_COARSE = 5
_NAME_MAX = 4095
# path_resolution(7): the kernel follows 40 at most.
_LINKS = 40
# Folders that are remembered; more are looked up each time.
_KEPT = 1 << 20
# execve(2): a script's interpreter may itself be a script, four levels deep; the line is 256 bytes at most.
_SCRIPT_DEPTH = 4
_SCRIPT_LINE = 256

_libc = ctypes.CDLL(None, use_errno=True)
# struct open_how: flags, mode, resolve.
_HOW = struct.pack("=QQQ", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_SYMLINKS)
_HOW_SIZE = ctypes.c_size_t(len(_HOW))


class PathResolver:
    """Resolution of names below one root; made before the sandbox starts.

    Args:
        root_fd: an O_PATH descriptor of the sandbox's root, which is this object's from then on; None resolves by
            spelling and by what the record says alone.
        links: where symlinks lead that are no part of the root file system, by their absolute paths: they may be gone
            when a name is looked up.
    """

    def __init__(self, root_fd: int | None, links: Mapping[bytes, bytes] | None = None) -> None:
        self._root = root_fd
        # The clock that the kernel stamps files with.
        self._began_ns = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        # Symlinks that the sandbox made, or an earlier one that it goes on from, and folders that are none.
        self._links: dict[bytes, bytes] = dict(links or {})
        self._folders: set[bytes] = set()

    def resolve(
        self,
        name: bytes,
        base: bytes = b"/",
        follow: bool = True,
        link: Callable[[bytes, bool], bytes | None] = lambda path, goes_on: None,
    ) -> bytes:
        """The absolute path in the sandbox that a name stands for; what is not there is taken by its spelling.

        Args:
            name: as the caller gave it.
            base: the resolved absolute path of the folder that a relative name starts at.
            follow: whether the call follows a symlink in the last component.
            link: the target of a link that leads elsewhere for each process (proc(5)), None for any other path; it is
                told whether the name goes on behind it.
        """
        found = b"" if name.startswith(b"/") else base.rstrip(b"/")
        left = name.split(b"/")[::-1]
        # A slash after a symlink follows it.
        follow = follow or name.endswith((b"/", b"/."))
        links = 0
        while left:
            part = left.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                found = found.rpartition(b"/")[0]
                continue
            path = found + b"/" + part
            target = (link(path, any(left)) or self._target(path)) if left or follow else None
            if target is None or links == _LINKS:
                found = path
                continue
            links += 1
            left += target.split(b"/")[::-1]
            if target.startswith(b"/"):
                found = b""
        return found or b"/"

    def there(self, path: bytes) -> bool:
        """Whether there is something at an absolute path that holds no symlink; True where that is not known."""
        if self._root is None:
            return True
        fd = self._open(path)
        if fd is not None:
            os.close(fd)
        return fd is not None

    def linked(self, path: bytes, target: bytes) -> None:
        """A symlink was made."""
        self._links[path] = target

    def removed(self, path: bytes) -> None:
        """Something was unlinked."""
        self._links.pop(path, None)
        self._folders.discard(path)

    def moved(self, old: bytes, new: bytes, exchange: bool = False) -> None:
        """Something was renamed, with all that is below it."""
        one = self._taken(old)
        other = self._taken(new) if exchange else {}
        if not exchange:
            self._taken(new)
        self._links |= {new + rest: target for rest, target in one.items()}
        self._links |= {old + rest: target for rest, target in other.items()}

    def copied(self, old: bytes, new: bytes) -> None:
        """Something got another name (a hard link)."""
        target = self._target(old)
        if target is not None:
            self.linked(new, target)

    def interpreter(self, path: bytes) -> bytes | None:
        """The executable that runs the file at a resolved path: itself, or for a script what its first line names; None
        where that is not known."""
        for depth in range(_SCRIPT_DEPTH + 1):
            line = self._first_line(path)
            words = line[2:].split(None, 1) if line.startswith(b"#!") else []
            if not words:
                return path if depth or line.startswith(b"\x7fELF") else None
            path = self.resolve(words[0])
        return None

    def close(self) -> None:
        """Let go of the root. Harmless when called twice."""
        if self._root is not None:
            os.close(self._root)
            self._root = None

    def _taken(self, path: bytes) -> dict[bytes, bytes]:
        """Symlinks at and below a path, by the rest of their path; they are no longer known there."""
        below = path + b"/"
        if path in self._folders:
            self._folders = {folder for folder in self._folders if folder != path and not folder.startswith(below)}
        paths = [known for known in self._links if known == path or known.startswith(below)]
        return {known[len(path) :]: self._links.pop(known) for known in paths}

    def _target(self, path: bytes) -> bytes | None:
        """What the symlink at a resolved path points to, None where there is none."""
        target = self._links.get(path)
        if target is not None:
            return target
        if path in self._folders:
            return None
        fd = self._open(path)
        if fd is None:
            return None
        try:
            status = os.fstat(fd)
            if stat.S_ISLNK(status.st_mode) and status.st_ctime_ns < self._began_ns:
                return os.readlink(b"", dir_fd=fd)
            if stat.S_ISDIR(status.st_mode) and len(self._folders) < _KEPT:
                self._folders.add(path)
        except OSError:
            pass
        finally:
            os.close(fd)
        return None

    def _open(self, path: bytes) -> int | None:
        if self._root is None or len(path) > _NAME_MAX or b"\0" in path:
            return None
        fd: int = _libc.syscall(_OPENAT2, self._root, ctypes.c_char_p(path), _HOW, _HOW_SIZE)
        return fd if fd >= 0 else None

    def _first_line(self, path: bytes) -> bytes:
        fd = self._open(path)
        if fd is None:
            return b""
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            readable = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        finally:
            os.close(fd)
        try:
            return os.pread(readable, _SCRIPT_LINE, 0).split(b"\n", 1)[0]
        except OSError:
            return b""
        finally:
            os.close(readable)
