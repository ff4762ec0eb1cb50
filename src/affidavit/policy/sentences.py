"""Events and violations in words."""

import errno
import os
from collections.abc import Mapping
from typing import Any

from affidavit.events import Op
from affidavit.policy.columns import Batch

_MAX_NAME = 200

_DONE = {
    Op.OPEN_READ: "read {}",
    Op.OPEN_WRITE: "opened {} for writing",
    Op.CREATE: "created {}",
    Op.UNLINK: "deleted {}",
    Op.RENAME: "renamed {}",
    Op.LINK: "made a hard link of {}",
    Op.SYMLINK: "made the symlink {}",
    Op.MKDIR: "made the folder {}",
    Op.RMDIR: "removed the folder {}",
    Op.CHMOD: "changed the mode of {}",
    Op.CHOWN: "changed the owner of {}",
    Op.TRUNCATE: "truncated {}",
    Op.SETXATTR: "set an attribute of {}",
    Op.UTIME: "set the times of {}",
    Op.MOUNT: "mounted {}",
    Op.EXEC: "ran {}",
    Op.BIND: "made the socket {}",
    Op.CONNECT: "connected to {}",
    Op.SENDTO: "sent to {}",
    Op.DNS: "asked for the address of {}",
    Op.PTRACE: "traced another process",
    Op.FORK: "started a process",
    Op.EXIT: "ended",
    Op.SIGNAL: "sent a signal",
    Op.MEMFD: "made a file in memory",
    Op.SOCKET: "asked for a socket",
    Op.LISTEN: "listened for connections",
    Op.ACCEPT: "took a connection",
    Op.DENIED: "made a system call that is refused",
}

_TRIED = {
    Op.OPEN_READ: "read {}",
    Op.OPEN_WRITE: "open {} for writing",
    Op.CREATE: "create {}",
    Op.UNLINK: "delete {}",
    Op.RENAME: "rename {}",
    Op.LINK: "make a hard link of {}",
    Op.SYMLINK: "make the symlink {}",
    Op.MKDIR: "make the folder {}",
    Op.RMDIR: "remove the folder {}",
    Op.CHMOD: "change the mode of {}",
    Op.CHOWN: "change the owner of {}",
    Op.TRUNCATE: "truncate {}",
    Op.SETXATTR: "set an attribute of {}",
    Op.UTIME: "set the times of {}",
    Op.MOUNT: "mount {}",
    Op.EXEC: "run {}",
    Op.BIND: "make the socket {}",
    Op.CONNECT: "connect to {}",
    Op.SENDTO: "send to {}",
    Op.DNS: "ask for the address of {}",
    Op.PTRACE: "trace another process",
}


def shown(name: str) -> str:
    """A name from a sandbox on one line: control characters spelled out, the middle of a long one left out."""
    printable = name
    if not name.isprintable():
        printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    if len(printable) <= _MAX_NAME:
        return printable
    return f"{printable[: _MAX_NAME // 2]}…{printable[-_MAX_NAME // 2 :]}"


def process(exe: str | None, comm: str | None, pid: int) -> str:
    """``python3.11 (pid 812)``."""
    name = exe.rsplit("/", 1)[-1] if exe else comm
    return f"{shown(name or 'a process')} (pid {pid})"


def act(op: str, of: str, ret: int) -> str:
    """``created /a/b``, or ``tried to create /a/b (read-only file system)``."""
    known = Op(op)
    if ret >= 0 or known not in _TRIED or (known in (Op.CONNECT, Op.SENDTO) and -ret == errno.EINPROGRESS):
        return _DONE.get(known, "did something to {}").format(of)
    reason = os.strerror(-ret) if -ret in errno.errorcode else f"error {-ret}"
    return f"tried to {_TRIED[known].format(of)} ({reason[0].lower()}{reason[1:]})"


def who(batch: Batch, row: int) -> str:
    """The process of an event."""
    return process(batch.names("exe").at(row), batch.names("comm").at(row), int(batch.numbers("pid")[row]))


def of_event(batch: Batch, row: int) -> str:
    """What happened in an event: ``python3.11 (pid 812) connected to 10.0.0.1:80``."""
    names = {name: batch.names(name).at(row) for name in ("op", "path", "path2", "addr", "exe", "comm")}
    return event_sentence(names | {name: int(batch.numbers(name)[row]) for name in ("port", "pid", "ret")})


def event_sentence(event: Mapping[str, Any]) -> str:
    """What happened in an event.

    Args:
        event: a row's ``op``, ``path``, ``path2``, ``addr``, ``port``, ``exe``, ``comm``, ``pid`` and ``ret``.
    """
    op = event["op"] or Op.DENIED
    path, path2, address = event["path"], event["path2"], event["addr"]
    of = shown(path) if path is not None else "something"
    if op == Op.DNS:
        of = shown(path2 or "a name")
    elif address is not None and path2 is not None and op in (Op.CONNECT, Op.SENDTO):
        of = f"{shown(path2)}:{event['port'] or 0}"
    elif address is not None:
        of = f"{shown(address)}:{event['port'] or 0}"
    elif path2 is not None and op in (Op.RENAME, Op.LINK, Op.SYMLINK):
        of = f"{of} {'as' if op == Op.LINK else 'to'} {shown(path2)}"
    doer = f"process {event['pid']}" if op == Op.EXEC else process(event["exe"], event["comm"], event["pid"])
    return f"{doer} {act(op, of, event['ret'])}"
