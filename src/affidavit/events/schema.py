"""Columns and operation names of the event schema."""

from enum import StrEnum

import pyarrow as pa

SCHEMA_VERSION = 1

LONGEST_TEXT_BYTES = 32 << 10
"""Bytes (UTF-8) of the longest text in a row: a folder and a name of 4,095 bytes each, with four letters a byte.
A recorder cuts what is longer and says so; a reader refuses it, so that few bytes of a file can't become many bytes
of memory."""

LONGEST_WORDS_BYTES = 4 * (128 << 10)
"""Bytes (UTF-8) of all the words of ``argv`` in a row: the 128 KiB that a recorder keeps, spelled likewise."""


class Op(StrEnum):
    """Name of an operation, as it stands in the column ``op``."""

    OPEN_READ = "open_read"
    OPEN_WRITE = "open_write"
    CREATE = "create"
    UNLINK = "unlink"
    RENAME = "rename"
    LINK = "link"
    SYMLINK = "symlink"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    CHMOD = "chmod"
    CHOWN = "chown"
    TRUNCATE = "truncate"
    SETXATTR = "setxattr"
    UTIME = "utime"
    MOUNT = "mount"
    EXEC = "exec"
    FORK = "fork"
    EXIT = "exit"
    SIGNAL = "signal"
    PTRACE = "ptrace"
    MEMFD = "memfd"
    SOCKET = "socket"
    BIND = "bind"
    LISTEN = "listen"
    ACCEPT = "accept"
    CONNECT = "connect"
    SENDTO = "sendto"
    DNS = "dns"
    DENIED = "denied"


OPS: tuple[str, ...] = tuple(op.value for op in Op)

TREE_CHANGES: tuple[Op, ...] = (
    Op.OPEN_WRITE,
    Op.CREATE,
    Op.UNLINK,
    Op.RENAME,
    Op.LINK,
    Op.SYMLINK,
    Op.MKDIR,
    Op.RMDIR,
    Op.TRUNCATE,
)
"""What changes which files there are, or what they hold."""

ATTRIBUTE_CHANGES: tuple[Op, ...] = (Op.CHMOD, Op.CHOWN, Op.SETXATTR, Op.UTIME)
"""What changes what is known of a file beside its content."""

FILE_WRITES: tuple[Op, ...] = (*TREE_CHANGES, *ATTRIBUTE_CHANGES, Op.BIND)
"""Every operation that needs leave to write its path; binding a socket makes its file."""

_NAME = pa.dictionary(pa.int32(), pa.utf8())

EVENT_SCHEMA: pa.Schema = pa.schema(
    [
        # Position in the record, from 0, without a gap.
        pa.field("seq", pa.int64(), nullable=False),
        # CLOCK_MONOTONIC of the machine, nanoseconds (ebpf, ptrace); of the sentry (gvisor).
        pa.field("ts_ns", pa.int64(), nullable=False),
        pa.field("pid", pa.int32(), nullable=False),
        pa.field("tid", pa.int32(), nullable=False),
        pa.field("ppid", pa.int32(), nullable=False),
        # One of OPS.
        pa.field("op", _NAME, nullable=False),
        # Absolute path as seen inside the sandbox (see names.encode_name), null where the operation has none.
        # rename, link: the old name here and the new one in path2. symlink: the new link here, its target in path2.
        # unix-socket bind and connect: the socket's path. denied: null. fork, exit: null.
        pa.field("path", _NAME),
        pa.field("path2", _NAME),
        # open: O_* flags. exec: 1 where argv was cut. fork: the child's pid. denied: the system call's number.
        # rename: RENAME_* flags. connect and bind: the address family. exit: the wait status's signal, 0 for none.
        pa.field("flags", pa.int64(), nullable=False),
        # open with O_CREAT, mkdir, chmod: the permission bits asked for; else 0.
        pa.field("mode", pa.int32(), nullable=False),
        # What the system call returned: negative errno on failure. exit: the exit code. fork: the child's pid.
        pa.field("ret", pa.int64(), nullable=False),
        pa.field("addr", _NAME),
        pa.field("port", pa.int32()),
        pa.field("proto", _NAME),
        # Absolute path of the executable of the process after the operation.
        pa.field("exe", _NAME),
        # exec only.
        pa.field("argv", pa.list_(pa.utf8())),
        pa.field("comm", _NAME),
        pa.field("uid", pa.int64(), nullable=False),
        pa.field("gid", pa.int64(), nullable=False),
        # "<recorder>/<how the path was had>": ebpf/kernel (from the kernel's own objects), ebpf/memory (read from the
        # caller's memory, the same before and after the call), ebpf/raced (it changed during the call); likewise
        # ptrace/… and gvisor/….
        pa.field("source", _NAME, nullable=False),
    ],
    metadata={"affidavit.schema": str(SCHEMA_VERSION)},
)

COUNT_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("pid", pa.int32(), nullable=False),
        pa.field("exe", pa.utf8()),
        pa.field("syscall", pa.utf8(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)


def empty_events() -> pa.Table:
    """A table of EVENT_SCHEMA with no rows."""
    return EVENT_SCHEMA.empty_table()


def empty_counts() -> pa.Table:
    """A table of COUNT_SCHEMA with no rows."""
    return COUNT_SCHEMA.empty_table()
