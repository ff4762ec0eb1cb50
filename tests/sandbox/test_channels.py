# ruff: noqa: E501
"""What one sandbox can tell another one, beside it or after it."""

import json
from collections.abc import Callable
from typing import Any

from affidavit.sandbox import RuntimeHooks

# One does all it can to be noticed; the other looks for it in each place that it could be noticed by.
_SEND = r"""
import ctypes, fcntl, mmap, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
kept = []

def attempt(act):
    try:
        kept.append(act())
    except (OSError, AttributeError, ValueError):
        pass

def lock(kind):
    fd = os.open("/usr/bin/env", os.O_RDONLY)
    fcntl.flock(fd, kind | fcntl.LOCK_NB)
    return fd

def warm():
    with open("/usr/bin/python3.11", "rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:: 4096]

def listen(family, address):
    one = socket.socket(family)
    one.bind(address)
    one.listen()
    return one

def packets():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    for _ in range(200):
        one.sendto(b"", one.getsockname())
    return [socket.socket() for _ in range(50)]

def write(path):
    with open(path, "wb") as file:
        file.write(bytes(8 << 20))

for act in (
    lambda: lock(fcntl.LOCK_EX), warm, os.openpty, os.openpty,
    lambda: listen(socket.AF_UNIX, "\0channel"), lambda: listen(socket.AF_INET, ("127.0.0.1", 4321)),
    packets, lambda: write("/tmp/sent"), lambda: write("/dev/shm/sent"),
    lambda: libc.shmget(0x5EED, 4096, 0o1666), lambda: libc.semget(0x5EED, 1, 0o1666), lambda: libc.msgget(0x5EED, 0o1666),
    lambda: libc.syscall(248, b"user", b"sent", b"x", 1, -3),
):
    attempt(act)
for _ in range(40):
    if os.fork() == 0:
        time.sleep(120)
        os._exit(0)
print("sent", flush=True)
while True:
    # As long as the other looks.
    with open("/usr/lib/os-release", "rb") as file:
        file.read()
    time.sleep(0.02)
"""
_SEE = r"""
import ctypes, fcntl, json, os, select, socket, time
libc = ctypes.CDLL(None, use_errno=True)

def outcome(act):
    try:
        return act()
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'errno', '')}"

def text(path):
    with open(path) as file:
        return file.read()

def lock():
    fd = os.open("/usr/bin/env", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return "free"

def inotify():
    fd = libc.inotify_init1(os.O_NONBLOCK)
    watched = libc.inotify_add_watch(fd, b"/usr/lib", 0xFFF) >= 0
    said, until = b"", time.monotonic() + 1
    while time.monotonic() < until:
        if select.select([fd], [], [], 0.1)[0]:
            said += os.read(fd, 1 << 16)
    return watched, b"os-release" in said

def resident(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.preadv(fd, [bytearray(1)], 1 << 20, os.RWF_NOWAIT)
        return "told"
    except OSError as error:
        return error.errno

def mincore():
    size = 1 << 20
    libc.mmap.restype = ctypes.c_void_p
    at = libc.mmap(None, size, 1, 1, os.open("/usr/bin/python3.11", os.O_RDONLY), 0)
    found = ctypes.create_string_buffer(256)
    return libc.mincore(ctypes.c_void_p(at), ctypes.c_size_t(size), found) and ctypes.get_errno()

def bind(family, address):
    one = socket.socket(family)
    one.bind(address)
    return "free"

def space(path):
    about = os.statvfs(path)
    return about.f_blocks, about.f_bfree, about.f_ffree

def pty():
    one, _ = os.openpty()
    return os.ptsname(one) if hasattr(os, "ptsname") else os.ttyname(_)

def option(level, name):
    with socket.socket() as one:
        return one.getsockopt(level, name, 8).hex()

def pidfd_by_clone():
    # CLONE_PIDFD | SIGCHLD; whoever is a child here ends.
    kept = ctypes.c_int(-1)
    child = libc.syscall(56, 0x1000 | 17, 0, ctypes.byref(kept), 0, 0)
    if child == 0:
        os._exit(0)
    return child if child < 0 else os.fstat(kept.value).st_ino

def pidfd_by_socket(level, name):
    one, other = socket.socketpair()
    if name == 77:
        return os.fstat(int.from_bytes(one.getsockopt(level, name, 4), "little")).st_ino
    return one.setsockopt(level, name, 1)

def diagnosis():
    # Half a number that the kernel does not look at must not get it past the filter.
    return libc.syscall(41, 16, 3, ctypes.c_long(4 | 1 << 40)), ctypes.get_errno()

print(json.dumps({
    "packets": outcome(lambda: text("/proc/net/softnet_stat")), "sockets": outcome(lambda: text("/proc/net/sockstat")),
    "sockets of kinds": outcome(lambda: text("/proc/net/protocols")), "tables": outcome(lambda: os.listdir("/proc/net/stat")),
    "cookies": outcome(lambda: option(1, 57)), "cookies of namespaces": outcome(lambda: option(1, 71)),
    "cookies by netlink": outcome(diagnosis), "other options": outcome(lambda: option(1, 3)),
    "numbers of processes": outcome(lambda: os.fstat(os.pidfd_open(os.getpid())).st_ino),
    "of their children": outcome(pidfd_by_clone), "of their peers": outcome(lambda: pidfd_by_socket(1, 77)),
    "of those who send": outcome(lambda: pidfd_by_socket(1, 76)),
    "flock": outcome(lock), "inotify": outcome(inotify),
    "page cache by preadv2": outcome(lambda: resident("/usr/bin/python3.11")), "page cache by mincore": outcome(mincore),
    "locks": outcome(lambda: text("/proc/locks")), "open files": outcome(lambda: text("/proc/sys/fs/file-nr")),
    "inodes": outcome(lambda: text("/proc/sys/fs/inode-nr")), "dentries": outcome(lambda: text("/proc/sys/fs/dentry-state")),
    "load": outcome(lambda: text("/proc/loadavg")), "counters": outcome(lambda: text("/proc/stat").split("btime")[0]),
    "memory": outcome(lambda: text("/proc/meminfo")), "pressure": outcome(lambda: os.listdir("/proc/pressure")),
    "events of the kernel": outcome(lambda: text("/proc/vmstat")), "disks": outcome(lambda: text("/proc/diskstats")),
    "interrupts": outcome(lambda: text("/proc/interrupts")), "boot": outcome(lambda: text("/proc/sys/kernel/random/boot_id")),
    "pseudoterminals": outcome(pty), "how many of these": outcome(lambda: text("/proc/sys/kernel/pty/nr")),
    "process ids": outcome(lambda: os.getpid()), "processes": outcome(lambda: sorted(filter(str.isdigit, os.listdir("/proc")))),
    "abstract sockets": outcome(lambda: bind(socket.AF_UNIX, "\0channel")),
    "ports": outcome(lambda: bind(socket.AF_INET, ("127.0.0.1", 4321))),
    "space on disk": outcome(lambda: space("/tmp")), "space of /usr": outcome(lambda: space("/usr")),
    "shared memory in files": outcome(lambda: sorted(os.listdir("/dev/shm"))),
    "shared memory": outcome(lambda: libc.shmget(0x5EED, 4096, 0)), "semaphores": outcome(lambda: libc.semget(0x5EED, 1, 0)),
    "message queues": outcome(lambda: libc.msgget(0x5EED, 0)),
    "keys": outcome(lambda: text("/proc/keys")), "keyrings": outcome(lambda: libc.syscall(250, 10, -3, b"user", b"sent", 0)),
}))
"""


def seen(run: Callable[..., Any], runtime: str) -> dict[str, Any]:
    ran = run(runtime, "/usr/bin/python3", "-c", _SEE, writable=("/tmp",))
    found = dict(json.loads(ran.stdout))
    if runtime == "gvisor":
        # The rest is of what this sandbox's own kernel holds, and differs a little from run to run.
        found["memory"] = found["memory"].splitlines()[0]
        assert found["memory"].startswith("MemTotal:")
    return found


def test_nothing_tells_of_a_sandbox_beside(make: Callable[..., Any], run: Callable[..., Any], runtime: str) -> None:
    alone = seen(run, runtime)
    assert alone["inotify"] == [True, False]
    if runtime == "runc":
        # The cache can't be asked at all (EOPNOTSUPP, ENOSYS).
        assert (alone["page cache by preadv2"], alone["page cache by mincore"]) == (95, 38)
        closed = ("packets", "sockets", "sockets of kinds", "tables")
        assert {alone[name] for name in closed} == {"PermissionError 13"}
        assert (alone["cookies"], alone["cookies of namespaces"]) == ("OSError 92", "OSError 92")
        assert alone["cookies by netlink"] == [-1, 1]
        assert alone["other options"] == "01000000"
        numbers = ("numbers of processes", "of their children", "of their peers", "of those who send")
        assert [alone[name] for name in numbers] == ["OSError 38", -1, "OSError 92", "OSError 92"]
    assert alone["boot"] == "" or "Error" in alone["boot"]
    with make(runtime, "/usr/bin/python3", "-c", _SEND, writable=("/tmp",)) as sender:
        sender.create(RuntimeHooks())
        sender.start()
        assert sender.wait(3) is None
        beside = seen(run, runtime)
        sender.kill()
        assert sender.output().stdout == b"sent\n"
    after = seen(run, runtime)
    assert {name: (alone[name], beside[name]) for name in alone if alone[name] != beside[name]} == {}
    assert {name: (alone[name], after[name]) for name in alone if alone[name] != after[name]} == {}


_BLIND = """
import ctypes, os
fd = os.open("/usr/bin/env", os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
try:
    os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT)
except OSError as problem:
    print(problem.errno)
print(open("/proc/loadavg").read() + open("/proc/vmstat").read())
"""


def test_asks_no_page_cache_and_no_counters(run: Callable[..., Any]) -> None:
    assert run("runc", "/usr/bin/python3", "-c", _BLIND).stdout.split() == ["95", "0.00", "0.00", "0.00", "1/1", "1"]
