"""The system-call filter of every sandbox: what ordinary programs need is allowed, all else is refused.

Refused calls fail with EPERM; those that a C library tries first and can do without fail with ENOSYS. A call by another
entry than the native one (32-bit ``int 0x80``, x32) kills the caller, since the filter names one architecture only.

Where a recorder listens for refused calls (seccomp_unotify(2)), the filter asks its listener about them instead, which
answers EPERM; with no listener any more the kernel itself answers ENOSYS. Either way nothing is done.

gVisor is another matter. Its sentry has no more calls than it implements and checks capabilities itself, and it records
nothing of a call that a filter refused. There, only that is filtered which the sentry would do for a process without
capabilities, and what a contract denies.
"""

import platform
import struct
from collections.abc import Collection, Iterator
from typing import Any

from affidavit.events import SYSTEM_CALLS

_EPERM = 1
_ENOSYS = 38
_ENOPROTOOPT = 92
_EOPNOTSUPP = 95
_ASK = "SCMP_ACT_NOTIFY"

_FILES = """
access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr
fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr getxattrat lchown lgetxattr
link linkat listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat
newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile setxattr setxattrat splice stat
statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes
vmsplice write writev ioctl inotify_add_watch inotify_init inotify_init1 inotify_rm_watch cachestat
"""

_MEMORY = """
brk get_mempolicy madvise map_shadow_stack mbind membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect
mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages set_mempolicy
set_mempolicy_home_node
"""

_PROCESSES = """
alarm arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv
futex_wake get_robust_list get_thread_area getcpu getrandom getegid geteuid getgid getgroups getitimer getpgid
getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get
ioprio_set kill nanosleep pause pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority
setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack signalfd signalfd4 sysinfo tgkill time
times tkill uname vfork wait4 waitid waitpid landlock_add_rule landlock_create_ruleset landlock_restrict_self
"""

_CLOCKS = """
clock_getres clock_gettime clock_nanosleep gettimeofday timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime
"""

_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit poll ppoll pselect6 select
"""

_SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
sendto setsockopt shutdown socketpair
"""

_SYSTEM_V = """
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget
semop semtimedop shmat shmctl shmdt shmget
"""

_CONDITIONAL = frozenset(
    {"clone", "getsockopt", "personality", "preadv2", "pwritev2", "seccomp", "setsockopt", "socket"}
)

# What asks for pages in memory or moves them there: with these, one sandbox could ask what another left. Programs ask
# for advice's sake and live with "no such call" and with "done"; no contract is broken by asking. So with pidfds: a
# pidfd's inode number says how many processes the whole machine has had, which whoever makes processes moves. Programs
# can do without, as on older kernels and under gVisor.
_UNKNOWN = ("cachestat", "mincore", "pidfd_open")
_WITHOUT_EFFECT = ("fadvise64", "readahead")
_RWF_NOWAIT = 0x8

# SO_COOKIE and SO_NETNS_COOKIE, and NETLINK_SOCK_DIAG, which gives the former as well. The kernel counts them up for
# the whole machine, so that whoever makes sockets leaves word for a later sandbox. SO_PEERPIDFD gives a pidfd, and so
# does a message where SO_PASSPIDFD is set.
_COOKIES = (57, 71)
_PEERPIDFD = 77
_PASSPIDFD = 76
_SOCK_DIAG = 4
_AF_NETLINK = 16

ALLOWED: frozenset[str] = (
    frozenset(" ".join((_FILES, _MEMORY, _PROCESSES, _CLOCKS, _WAITING, _SOCKETS, _SYSTEM_V)).split()) | _CONDITIONAL
)
"""Calls that a sandbox may make; some of them (clone, getsockopt, personality, preadv2, pwritev2, seccomp, setsockopt,
socket) with certain arguments only, and some that ask for the page cache without effect."""

# Their flags lie in memory, where a filter can't look: C libraries fall back to clone.
_ABSENT = ("clone3",)

# CLONE_NEWNS|NEWCGROUP|NEWUTS|NEWIPC|NEWUSER|NEWPID|NEWNET, and CLONE_UNTRACED and CLONE_PTRACE, with which a child
# can slip from or get hold of a tracer. CLONE_NEWTIME does not fit into clone(2). CLONE_PIDFD: whoever uses it asks
# first whether there are pidfds.
_CLONE_REFUSED = 0x7E020000 | 0x00800000 | 0x00002000
_CLONE_PIDFD = 0x1000

# SECCOMP_FILTER_FLAG_NEW_LISTENER: a call that a listener lets go on is no longer shown to a tracer (seccomp(2)).
_SECCOMP_REFUSED = 0x8

# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. Not AF_VSOCK and AF_ALG, which no network namespace holds.
_FAMILIES = (1, 2, 10, 16)
_FAMILIES_REFUSED = tuple(family for family in range(max(_FAMILIES)) if family not in _FAMILIES)

# PER_LINUX, PER_LINUX with ADDR_NO_RANDOMIZE, and the question what it is.
_PERSONALITIES = (0x0, 0x40000, 0xFFFFFFFF)

# What gVisor's sentry does without capabilities and no sandbox allows: other namespaces (a user may have its own, and
# mount in it, so that one file has two names), other processes' memory, keys, a second road for input and output.
_SENTRY_REFUSED = (
    "add_key",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "keyctl",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "request_key",
    "setns",
    "unshare",
)

_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

# Classic BPF over struct seccomp_data (linux/filter.h, linux/seccomp.h): load a word, compare it, answer.
_INSTRUCTION = struct.Struct("<HBBI")
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16
_X86_64 = 0xC000003E
_ANSWERS = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_TRACE": 0x7FF00000, "SCMP_ACT_ERRNO": 0x00050000 | _EPERM}


def seccomp_profile(deny: Collection[str] = (), machine: str | None = None, listener: str = "") -> dict[str, Any]:
    """The ``linux.seccomp`` part of an OCI configuration.

    Args:
        deny: names of further calls to refuse.
        machine: as platform.machine() spells it; this machine where None.
        listener: socket that wants to be asked about the calls to refuse; empty for none.

    Raises:
        KeyError: no filter is written for `machine`.
    """
    blind = {_ENOSYS: set(_UNKNOWN) - set(deny), 0: set(_WITHOUT_EFFECT) - set(deny)}
    plain = sorted(ALLOWED - _CONDITIONAL - set(deny) - set().union(*blind.values()))
    rules: list[dict[str, Any]] = [{"names": plain, "action": "SCMP_ACT_ALLOW"}]

    def allow(name: str, op: str, value: int, second: int = 0, index: int = 0) -> None:
        if name not in deny:
            rules.append({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [_argument(op, value, second, index)]})

    allow("clone", "SCMP_CMP_MASKED_EQ", _CLONE_REFUSED | _CLONE_PIDFD, 0)
    allow("seccomp", "SCMP_CMP_MASKED_EQ", _SECCOMP_REFUSED, 0, index=1)
    for name in sorted({"preadv2", "pwritev2"} - set(deny)):
        allow(name, "SCMP_CMP_MASKED_EQ", _RWF_NOWAIT, 0, index=5)
        asking = [_argument("SCMP_CMP_MASKED_EQ", _RWF_NOWAIT, _RWF_NOWAIT, 5)]
        rules.append({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": _EOPNOTSUPP, "args": asking})
    for answer, names in blind.items():
        if names:
            rules.append({"names": sorted(names), "action": "SCMP_ACT_ERRNO", "errnoRet": answer})
    options = {"getsockopt": (*_COOKIES, _PEERPIDFD), "setsockopt": (_PASSPIDFD,)}
    for name, refused in options.items():
        if name not in deny:
            rules += _any_but(name, 2, refused)
            rules += [
                {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOPROTOOPT, "args": [_exactly(2, one)]}
                for one in refused
            ]
    for family in _FAMILIES:
        if family != _AF_NETLINK:
            allow("socket", "SCMP_CMP_EQ", family)
        elif "socket" not in deny:
            rules += _any_but("socket", 2, (_SOCK_DIAG,), _argument("SCMP_CMP_EQ", family, 0))
    for persona in _PERSONALITIES:
        allow("personality", "SCMP_CMP_EQ", persona)
    rules.append({"names": list(_ABSENT), "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    asked: dict[str, Any] = {"listenerPath": listener} if listener else {}
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": [_ARCHITECTURES[machine or platform.machine()]],
        "syscalls": [*rules, *(_asked(deny) if listener else ())],
        **asked,
    }


def _asked(deny: Collection[str]) -> list[dict[str, Any]]:
    """Rules that ask the listener about what is refused: a filter can't ask by default. A call that only its arguments
    make a refused one takes a rule for each of them; those of personality(2) are too many."""
    # A runtime says by write(2) that there is a listener, so write(2) itself can't be asked about.
    refused = sorted(((set(SYSTEM_CALLS) - ALLOWED - set(_ABSENT)) | set(deny)) - {"write"})
    rules: list[dict[str, Any]] = [{"names": refused, "action": _ASK}]
    if "clone" not in deny:
        rules += _any_bit("clone", _CLONE_REFUSED, _ASK)
    if "seccomp" not in deny:
        rules += _any_bit("seccomp", _SECCOMP_REFUSED, _ASK, index=1)
    if "socket" not in deny:
        compared = [("SCMP_CMP_EQ", family) for family in _FAMILIES_REFUSED] + [("SCMP_CMP_GT", max(_FAMILIES))]
        rules += [{"names": ["socket"], "action": _ASK, "args": [_argument(op, family, 0)]} for op, family in compared]
    return rules


def sentry_profile(deny: Collection[str] = (), machine: str | None = None) -> dict[str, Any]:
    """As :func:`seccomp_profile`, for gVisor's sentry (``runsc --oci-seccomp``)."""
    refused = sorted({*_SENTRY_REFUSED, *deny} - {"clone"})
    rules: list[dict[str, Any]] = [{"names": refused, "action": "SCMP_ACT_ERRNO"}]
    if "clone" in deny:
        rules.append({"names": ["clone"], "action": "SCMP_ACT_ERRNO"})
    else:
        rules += _any_bit("clone", _CLONE_REFUSED, "SCMP_ACT_ERRNO")
    # Releases of runsc differ in whether they heed errnoRet. A call to be traced where no tracer is fails with ENOSYS.
    rules.append({"names": list(_ABSENT), "action": "SCMP_ACT_TRACE"})
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [_ARCHITECTURES[machine or platform.machine()]],
        "syscalls": rules,
    }


def sentry_filter(deny: Collection[str] = ()) -> bytes:
    """What :func:`sentry_profile` says, as a program that seccomp(2) takes; x86-64."""

    def instruction(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
        return _INSTRUCTION.pack(code, if_so, if_not, value)

    profile = sentry_profile(deny, "x86_64")
    refused = instruction(_RETURN, _ANSWERS["SCMP_ACT_ERRNO"])
    program = instruction(_LOAD, _MACHINE_AT) + instruction(_EQUAL, _X86_64, 1) + refused
    program += instruction(_LOAD, _NUMBER_AT)
    for rule in profile["syscalls"]:
        answer = instruction(_RETURN, _ANSWERS[rule["action"]])
        for name in rule["names"]:
            number = SYSTEM_CALLS[name]
            if "args" not in rule:
                program += instruction(_EQUAL, number, 0, 1) + answer
                continue
            (argument,) = rule["args"]
            program += instruction(_EQUAL, number, 0, 4)
            program += instruction(_LOAD, _ARGUMENTS_AT + 8 * argument["index"])
            program += instruction(_ANY_BIT, argument["value"], 0, 1) + answer
            program += instruction(_LOAD, _NUMBER_AT)
    return program + instruction(_RETURN, _ANSWERS[profile["defaultAction"]])


def _any_bit(name: str, bits: int, action: str, index: int = 0) -> list[dict[str, Any]]:
    """Rules for a call in whose argument any of some bits is set: a filter can compare them one by one only."""
    return [
        {"names": [name], "action": action, "args": [_argument("SCMP_CMP_MASKED_EQ", bit, bit, index)]}
        for bit in (1 << shift for shift in range(32))
        if bits & bit
    ]


def _any_but(name: str, index: int, values: Collection[int], *more: dict[str, Any]) -> list[dict[str, Any]]:
    """Rules that allow a call unless an argument of 32 bits has one of some values. A filter compares 64 bits, of which
    the kernel ignores the upper half."""

    def prefixes(left: frozenset[int], bit: int, mask: int, prefix: int) -> Iterator[tuple[int, int]]:
        if not left:
            yield mask, prefix
        elif bit >= 0:
            for half in (0, 1):
                with_bit = frozenset(value for value in left if value >> bit & 1 == half)
                yield from prefixes(with_bit, bit - 1, mask | 1 << bit, prefix | half << bit)

    return [
        {
            "names": [name],
            "action": "SCMP_ACT_ALLOW",
            "args": [*more, _argument("SCMP_CMP_MASKED_EQ", mask, prefix, index)],
        }
        for mask, prefix in prefixes(frozenset(values), 31, 0, 0)
    ]


def _exactly(index: int, value: int) -> dict[str, Any]:
    return _argument("SCMP_CMP_MASKED_EQ", 0xFFFFFFFF, value, index)


def _argument(op: str, value: int, second: int, index: int = 0) -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": second, "op": op}
