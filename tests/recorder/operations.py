"""One program that does every operation, and what a record of it must hold, whoever recorded it."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PROGRAM = r"""
import ctypes, errno, os, socket, threading

libc = ctypes.CDLL(None, use_errno=True)
W = "/workspace"

def fails(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except OSError:
        return
    raise SystemExit(f"{call} {args} should have failed")

# Folders: absolute, relative, by descriptor, through a symlink, with dots.
os.mkdir(W + "/a", 0o750)
os.chdir(W + "/a")
os.mkdir("b")
folder = os.open(W, os.O_RDONLY | os.O_DIRECTORY)
os.mkdir("a/c", dir_fd=folder)
os.symlink("a", W + "/link")
os.mkdir(W + "/link/d")
os.mkdir(".././a//e/")
fails(os.mkdir, W + "/a")

# Files.
os.close(os.open("new", os.O_WRONLY | os.O_CREAT, 0o640))
os.close(os.open("new", os.O_RDONLY))
os.close(os.open(W + "/link/new", os.O_RDWR | os.O_APPEND))
libc.creat(b"made", 0o600)
libc.open(b"new", os.O_TRUNC | os.O_WRONLY)
fails(os.open, W + "/link/none", os.O_RDONLY)
fails(os.open, "/usr/nothing", os.O_WRONLY | os.O_CREAT, 0o600)
os.close(os.open(b"new\nline", os.O_WRONLY | os.O_CREAT, 0o600))
os.close(os.open("quote\" ) = 0 (0x0), <\\", os.O_WRONLY | os.O_CREAT, 0o600))

os.rename("new", "renamed")
os.rename(W + "/a/renamed", "c/moved", dst_dir_fd=None)
os.rename("a/c/moved", "a/b/moved", src_dir_fd=folder, dst_dir_fd=folder)
fails(os.rename, "none", "other")
os.link("b/moved", "hard")
fails(os.link, "none", "hard2")
os.symlink("../target with space", "soft")
fails(os.symlink, "x", "soft")
os.chmod("hard", 0o604)
os.chmod(W + "/link/hard", 0o644)
handle = os.open("hard", os.O_RDWR)
os.fchmod(handle, 0o600)
os.ftruncate(handle, 10)
os.truncate("hard", 5)
fails(os.chmod, "/usr/bin/env", 0o777)
fails(os.chown, "hard", 0, 0)
os.utime("hard", (1, 1))
fails(os.truncate, "/usr/bin/env", 0)
os.unlink("hard")
os.unlink("a/soft", dir_fd=folder)
fails(os.unlink, "none")
os.rmdir("e")
os.rmdir("a/d", dir_fd=folder)
fails(os.rmdir, W + "/a")

# Sockets.
tcp = socket.socket()
tcp.bind(("127.0.0.1", 4321))
tcp.listen(1)
peer = socket.socket()
peer.connect(("127.0.0.1", 4321))
tcp.accept()
fails(socket.socket().connect, ("127.0.0.1", 9))
fails(socket.socket(socket.AF_INET6).connect, ("::1", 9))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.sendto(b"x\n1234 1700000000.123456789 unlink(\"/forged\") = 0\n", ("127.0.0.1", 4000))
unix = socket.socket(socket.AF_UNIX)
unix.bind("sock")
fails(socket.socket(socket.AF_UNIX).connect, "sock")

# Processes.
if os.fork() == 0:
    os._exit(7)
os.wait()
os.kill(os.getpid(), 0)
os.memfd_create("memory")
child = os.posix_spawn("/usr/bin/env", ["env", "true", "two words", "new\nline"], {"PATH": "/usr/bin"})
os.waitpid(child, 0)
fails(os.execv, "/usr/none", ["none"])
fails(os.execv, W + "/a/made", ["made"])
open("script", "w").write("#!/usr/bin/env true\n")
os.chmod("script", 0o755)
child = os.posix_spawn("./script", ["./script"], {"PATH": "/usr/bin"})
os.waitpid(child, 0)
child = os.fork()
if child == 0:
    os.kill(os.getpid(), 9)
os.waitpid(child, 0)

# A thread changes the folder that relative names start at, for all.
thread = threading.Thread(target=os.chdir, args=(W,))
thread.start()
thread.join()
os.unlink("link")
os.fchdir(os.open("a/b", os.O_RDONLY))
os.unlink("moved")
"""


# Which errno it is depends on what the kernel looks at first.
FAILS = -4095


@dataclass(frozen=True)
class Want:
    """A row that must be there: the columns given, in the order of the table."""

    op: str
    path: str | None
    ret: int | None = 0
    columns: dict[str, Any] = field(default_factory=dict)


def want(op: str, path: str | None, ret: int | None = 0, **columns: Any) -> Want:
    """`ret` None: any success."""
    return Want(op, path, ret, columns)


_W = "/workspace"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
INET, UNIX = 2, 1

EXPECTED: tuple[Want, ...] = (
    want("mkdir", f"{_W}/a", mode=0o750),
    want("mkdir", f"{_W}/a/b", mode=0o777),
    want("mkdir", f"{_W}/a/c"),
    want("symlink", f"{_W}/link", path2="a"),
    want("mkdir", f"{_W}/a/d"),
    want("mkdir", f"{_W}/a/e"),
    want("mkdir", f"{_W}/a", -errno.EEXIST),
    want("create", f"{_W}/a/new", None, mode=0o640, flags=_CREATE),
    want("open_read", f"{_W}/a/new", None, mode=0),
    want("open_write", f"{_W}/a/new", None, flags=os.O_RDWR | os.O_APPEND | os.O_CLOEXEC),
    want("create", f"{_W}/a/made", None, mode=0o600),
    want("open_write", f"{_W}/a/new", None, flags=os.O_TRUNC | os.O_WRONLY),
    want("open_read", f"{_W}/a/none", -errno.ENOENT),
    want("create", "/usr/nothing", FAILS),
    want("create", f"{_W}/a/new\nline", None),
    want("create", f'{_W}/a/quote" ) = 0 (0x0), <\\\\', None),
    want("rename", f"{_W}/a/new", path2=f"{_W}/a/renamed"),
    want("rename", f"{_W}/a/renamed", path2=f"{_W}/a/c/moved"),
    want("rename", f"{_W}/a/c/moved", path2=f"{_W}/a/b/moved"),
    want("rename", f"{_W}/a/none", -errno.ENOENT, path2=f"{_W}/a/other"),
    want("link", f"{_W}/a/b/moved", path2=f"{_W}/a/hard"),
    want("link", f"{_W}/a/none", -errno.ENOENT, path2=f"{_W}/a/hard2"),
    want("symlink", f"{_W}/a/soft", path2="../target with space"),
    want("symlink", f"{_W}/a/soft", -errno.EEXIST, path2="x"),
    want("chmod", f"{_W}/a/hard", mode=0o604),
    want("chmod", f"{_W}/a/hard", mode=0o644),
    want("open_write", f"{_W}/a/hard", None),
    want("chmod", f"{_W}/a/hard", mode=0o600),
    want("truncate", f"{_W}/a/hard"),
    want("truncate", f"{_W}/a/hard"),
    want("chmod", "/usr/bin/env", FAILS),
    want("chown", f"{_W}/a/hard", -errno.EPERM),
    want("utime", f"{_W}/a/hard"),
    want("truncate", "/usr/bin/env", FAILS),
    want("unlink", f"{_W}/a/hard"),
    want("unlink", f"{_W}/a/soft"),
    want("unlink", f"{_W}/a/none", -errno.ENOENT),
    want("rmdir", f"{_W}/a/e"),
    want("rmdir", f"{_W}/a/d"),
    want("rmdir", f"{_W}/a", -errno.ENOTEMPTY),
    want("socket", None, None, proto="tcp", flags=INET),
    want("bind", None, addr="127.0.0.1", port=4321, proto="tcp", flags=INET),
    want("listen", None, addr="127.0.0.1", port=4321),
    want("connect", None, addr="127.0.0.1", port=4321, proto="tcp"),
    want("accept", None, None, addr="127.0.0.1"),
    want("connect", None, -errno.ECONNREFUSED, addr="127.0.0.1", port=9),
    want("connect", None, -errno.ECONNREFUSED, addr="::1", port=9),
    want("sendto", None, None, addr="127.0.0.1", port=4000, proto="udp"),
    want("bind", f"{_W}/a/sock", proto="unix", flags=UNIX),
    want("connect", f"{_W}/a/sock", -errno.ECONNREFUSED, proto="unix"),
    want("fork", None, None),
    want("exit", None, 7, flags=0),
    want("signal", None, flags=0),
    want("memfd", "/memfd:memory", None),
    want("exec", "/usr/bin/env", argv=["env", "true", "two words", "new\nline"], exe="/usr/bin/env", comm="env"),
    want("exec", "/usr/bin/true", argv=["true", "two words", "new\nline"], exe="/usr/bin/true"),
    want("exit", None, 0),
    want("exec", "/usr/none", -errno.ENOENT),
    want("exec", f"{_W}/a/made", -errno.EACCES),
    want("exec", f"{_W}/a/script", argv=["./script"], exe="/usr/bin/env", comm="script"),
    want("exec", "/usr/bin/true", argv=["true", "./script"]),
    want("fork", None, None),
    want("signal", None, flags=9),
    want("exit", None, 0, flags=9),
    want("unlink", f"{_W}/link"),
    want("unlink", f"{_W}/a/b/moved"),
    want("exit", None, 0),
)


def missing(rows: list[dict[str, Any]], gap: Callable[[Want], bool] = lambda wanted: False) -> list[Want]:
    """What of EXPECTED is not among the rows in this order; what is a known `gap` of the recorder's is passed over."""
    absent = []
    at = 0
    for wanted in EXPECTED:
        if gap(wanted):
            continue
        found = next((i for i in range(at, len(rows)) if matches(rows[i], wanted)), None)
        if found is None:
            absent.append(wanted)
        else:
            at = found + 1
    return absent


def matches(row: dict[str, Any], wanted: Want) -> bool:
    result = {None: row["ret"] >= 0, FAILS: row["ret"] < 0}.get(wanted.ret, row["ret"] == wanted.ret)
    return (
        row["op"] == wanted.op
        and row["path"] == wanted.path
        and result
        and all(row[name] == value for name, value in wanted.columns.items())
    )
