"""Names that were read from a caller's memory, resolved the way the kernel does, from outside the sandbox.

What the sandbox holds is hostile and may change at any moment: a name is looked up below the sandbox's root with
openat2(2) and ``RESOLVE_IN_ROOT``, which no symlink and no ``..`` leaves, as an ``O_PATH`` descriptor, which opens
nothing. The answer is what the name meant a moment after the call, not during it; a recorder says so in its gaps.
"""

import ctypes
import os
import stat
import struct

# asm-generic/unistd.h, the same on x86_64 and arm64.
_OPENAT2 = ctypes.c_long(437)
_RESOLVE_IN_ROOT = 0x10
_NAME_MAX = 4095
# execve(2): a script's interpreter may itself be a script, four levels deep; the line is 256 bytes at most.
_SCRIPT_DEPTH = 4
_SCRIPT_LINE = 256

_libc = ctypes.CDLL(None, use_errno=True)
# struct open_how: flags, mode, resolve.
_HOW = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
_HOW_SIZE = ctypes.c_size_t(len(_HOW))


def lexical(name: bytes, base: bytes = b"/") -> bytes:
    """The absolute path that a name spells when no part of it is a symlink.

    Args:
        name: absolute, or relative to `base`.
        base: an absolute path.

    >>> lexical(b"../x//y/.", b"/a/b")
    b'/a/x/y'
    """
    parts: list[bytes] = []
    whole = name if name.startswith(b"/") else base + b"/" + name
    for part in whole.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/" + b"/".join(parts)


def _link(fd: int) -> bytes:
    return os.readlink(b"/proc/self/fd/%d" % fd)  # noqa: PTH115 (bytes)


class Names:
    """Resolution of names below one root.

    Args:
        root_fd: an O_PATH descriptor of the sandbox's root, which is this object's from then on; None resolves by
            spelling alone.
    """

    def __init__(self, root_fd: int | None) -> None:
        self._root = root_fd
        self._root_path = b"" if root_fd is None else _link(root_fd)

    def resolve(self, name: bytes, base: bytes = b"/", follow: bool = True) -> bytes:
        """The absolute path in the sandbox that a name stands for.

        Where nothing has that name, the deepest folder of it that is there is looked up and the rest is taken by its
        spelling.

        Args:
            name: as the caller gave it.
            base: absolute path of the folder that a relative name starts at.
            follow: whether the call follows a symlink in the last component.
        """
        whole = name if name.startswith(b"/") else base.rstrip(b"/") + b"/" + name
        parts = [part for part in whole.split(b"/") if part not in (b"", b".")]
        if not parts or b"\0" in whole:
            return lexical(whole)
        if not follow and not name.endswith((b"/", b"/.", b"/..")) and name not in (b".", b".."):
            known = len(parts) - 1
        else:
            known = len(parts)
        while known > 0:
            found = self._look_up(b"/" + b"/".join(parts[:known]))
            if found is not None:
                return lexical(b"/".join(parts[known:]), found)
            known -= 1
        return lexical(whole)

    def interpreter(self, path: bytes) -> bytes:
        """The executable that runs the file at an absolute path: itself, or for a script what its first line names."""
        for _ in range(_SCRIPT_DEPTH):
            line = self._first_line(path)
            if not line.startswith(b"#!"):
                break
            words = line[2:].split(None, 1)
            if not words:
                break
            path = self.resolve(words[0])
        return path

    def close(self) -> None:
        """Let go of the root. Harmless when called twice."""
        if self._root is not None:
            os.close(self._root)
            self._root = None

    def _open(self, path: bytes) -> int | None:
        if self._root is None or len(path) > _NAME_MAX:
            return None
        fd: int = _libc.syscall(_OPENAT2, self._root, ctypes.c_char_p(path), _HOW, _HOW_SIZE)
        return fd if fd >= 0 else None

    def _look_up(self, path: bytes) -> bytes | None:
        fd = self._open(path)
        if fd is None:
            return None
        try:
            found = _link(fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        if self._root_path not in (b"", b"/"):
            if found != self._root_path and not found.startswith(self._root_path + b"/"):
                return None
            found = found[len(self._root_path) :] or b"/"
        return found.removesuffix(b" (deleted)") if found.startswith(b"/") else None

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
