"""System calls that Python's standard library has no name for (numbers: asm-generic/unistd.h, the same on x86_64 and
arm64 for those made by number here)."""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_PRIVATE = 0x40000

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

_PR_SET_CHILD_SUBREAPER = 36

# linux/sched.h
_CLONE_NEWNET = 0x40000000

_SYS_OPENAT2 = 437
# linux/mount.h
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOUNT_ATTR_IDMAP = 0x100000

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

# linux/loop.h
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_READ_ONLY = 1
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def mount(source: str, target: str | Path, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode(),
        ctypes.c_ulong(flags),
        os.fsencode(data) if data else None,
    )
    _checked(result, f"mount {kind or source} on {target}")


def mount_mapped(source: Path, target: Path, namespace: int) -> None:
    """Mount what is mounted on `source` on `target` as well, where the owners of its files are those that a user
    namespace maps them to (mount_setattr(2), MOUNT_ATTR_IDMAP).

    Args:
        namespace: descriptor of the user namespace.

    Raises:
        OSError: the kernel refused; EINVAL where the file system can't do it.
    """
    where = f"mount {source} on {target}"
    tree = _call(where, _SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    try:
        # struct mount_attr { attr_set, attr_clr, propagation, userns_fd }
        attributes = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, namespace)
        _call(where, _SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, len(attributes))
        _call(where, _SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def _call(what: str, number: int, *arguments: int | bytes) -> int:
    """A system call by its number. Raises OSError."""
    words = [ctypes.c_long(word) if isinstance(word, int) else ctypes.c_char_p(word) for word in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words), what)


def unmount(target: str | Path) -> bool:
    """umount2(2), lazily and without following a symbolic link.

    Returns:
        whether something was mounted there.
    """
    try:
        _checked(_libc.umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW), f"unmount {target}")
    except OSError as problem:
        if problem.errno in (errno.EINVAL, errno.ENOENT):
            return False
        raise
    return True


def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """openat2(2), close-on-exec. Raises OSError."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, resolve)
    result = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2), directory, ctypes.c_char_p(path), how, ctypes.c_size_t(len(how))
    )
    # No name in the message: it may come from a sandbox.
    return _checked(result, "open")


def open_in_root(root: int, path: bytes) -> int:
    """Open a regular file for reading, its name looked up as if `root` were the root; never waits.

    Raises:
        OSError: it can't be opened, or is no regular file.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file")
    return descriptor


def adopt_orphans() -> None:
    """Make this process the parent of its descendants whose own parent has ended (PR_SET_CHILD_SUBREAPER), so that it
    can wait for the init of a sandbox. Harmless when called twice. Raises OSError."""
    _checked(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "PR_SET_CHILD_SUBREAPER")


def new_network() -> None:
    """Put this thread into a new network namespace (unshare(2), CLONE_NEWNET). Raises OSError."""
    _checked(_libc.unshare(_CLONE_NEWNET), "a new network namespace")


def enter_network(namespace: int) -> None:
    """Put this thread into the network namespace that a descriptor is of (setns(2)). Raises OSError."""
    _checked(_libc.setns(namespace, _CLONE_NEWNET), "enter a network namespace")


def attach_loop(image: int, *, read_only: bool = False) -> tuple[int, str]:
    """Put a loop device over an open file; it goes away by itself when it is no longer open or mounted.

    Args:
        image: descriptor of the file.
        read_only: for a file that several devices lie over: nothing is written, and it is read past the page cache
            where its file system can do that, so that none of them warms it for another.

    Returns:
        (descriptor that keeps it alive until it is mounted, path of the device).

    Raises:
        OSError: there is no loop device to be had.
    """
    flags = _LO_FLAGS_AUTOCLEAR | (_LO_FLAGS_READ_ONLY | _LO_FLAGS_DIRECT_IO if read_only else 0)
    with Path("/dev/loop-control").open("rb", buffering=0) as control:
        for _ in range(64):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = f"/dev/loop{number}"
            try:
                device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                # No devtmpfs and no udev to make it.
                os.mknod(path, 0o60600, os.makedev(7, number))
                device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            # struct loop_config { fd, block_size, struct loop_info64 { 5×u64, 4×u32 (the last but… flags), …} }
            info = struct.pack("=QQQQQIIII", 0, 0, 0, 0, 0, 0, 0, 0, flags).ljust(232, b"\0")
            config = struct.pack("=II", image, 0) + info + bytes(64)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
            except OSError as problem:
                os.close(device)
                # Someone else took it between the two calls.
                if problem.errno != errno.EBUSY:
                    raise
            else:
                return device, path
    raise OSError(errno.EBUSY, "no free loop device")


def process_start(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot (proc(5), field 22 of stat), None where there is no such
    process or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def sync_file_system(folder: Path) -> None:
    """syncfs(2): write back what was written to the file system of `folder`. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _checked(_libc.syncfs(fd), f"syncfs {folder}")
    finally:
        os.close(fd)


def copy_sparse(source: int, target: int) -> None:
    """Copy an open file to an empty one, holes as holes. Raises OSError."""
    size = os.fstat(source).st_size
    os.truncate(target, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as problem:
            if problem.errno == errno.ENXIO:
                # No more data.
                return
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(target, at, os.SEEK_SET)
        while at < end:
            at += os.sendfile(target, source, at, end - at)
