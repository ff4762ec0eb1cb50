"""Ways out of a container that public lists know, tried one after the other as root of a sandbox; x86-64.

Each is tried in a process of its own. One that ends without an error has got somewhere: it says ``done``, and the error
that stopped another one is named. Sources: HackTricks (Docker breakout), CDK (cdk-team/CDK), deepce, the CVEs named.
"""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import stat
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_WAYS: dict[str, Callable[[], None]] = {}
_SET_ID = 0o4755


def way(found: Callable[[], None]) -> Callable[[], None]:
    _WAYS[found.__name__] = found
    return found


def call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> int:
    """A system call; raises OSError."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def mount(source: bytes, target: str, kind: bytes, flags: int = 0) -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    call(165, source, target.encode(), kind, flags, b"")


def write(path: str, text: str) -> None:
    with Path(path).open("w") as file:
        file.write(text)


def write_again(path: str) -> None:
    """Write what is there already: the machine is none the worse where that succeeds."""
    write(path, Path(path).read_text())


def nothing() -> OSError:
    """What was looked for is not there, or holds nothing."""
    return OSError(errno.ENODATA, "")


# --- mounts ---


@way
def release_agent() -> None:
    """CVE-2022-0492: a control group whose last process starts a program of the machine's."""
    mount(b"cgroup", "/tmp/cgroup", b"cgroup")


@way
def cgroup_by_its_folder() -> None:
    write("/sys/fs/cgroup/release_agent", "/tmp/out")


@way
def mount_of_the_disk() -> None:
    mount(b"/dev/vda", "/tmp/disk", b"ext4")


@way
def mount_of_another_proc() -> None:
    """In which nothing is masked."""
    mount(b"proc", "/tmp/proc", b"proc")


@way
def mount_of_sysfs() -> None:
    mount(b"sysfs", "/tmp/sys", b"sysfs")


@way
def mount_of_debugfs() -> None:
    mount(b"debugfs", "/tmp/debug", b"debugfs")


@way
def mount_of_binfmt_misc() -> None:
    mount(b"binfmt_misc", "/tmp/binfmt", b"binfmt_misc")


@way
def mount_of_an_overlay() -> None:
    """CVE-2021-3493, CVE-2023-0386: set-id files and capabilities through an overlay."""
    mount(b"overlay", "/tmp/overlay", b"overlay")


@way
def remount_of_proc_sys() -> None:
    call(165, b"", b"/proc/sys", b"", 32 | 4096, b"")


@way
def unmount_of_a_mask() -> None:
    call(166, b"/proc/kcore", 2)


@way
def fsopen() -> None:
    """CVE-2022-0185: a heap overflow in the context of a file system."""
    call(430, b"ext4", 0)


@way
def clone_of_a_mount_tree() -> None:
    call(428, -100, b"/", 1)


@way
def pivot_root() -> None:
    call(155, b"/tmp", b"/tmp")


@way
def chroot_breakout() -> None:
    root = os.open("/", os.O_RDONLY)
    Path("/tmp/jail").mkdir()
    os.chroot("/tmp/jail")
    os.fchdir(root)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")


# --- the kernel's files ---


@way
def core_pattern() -> None:
    write_again("/proc/sys/kernel/core_pattern")


@way
def modprobe_path() -> None:
    write_again("/proc/sys/kernel/modprobe")


@way
def panic_by_sysctl() -> None:
    write_again("/proc/sys/kernel/panic_on_oops")


@way
def binfmt_register() -> None:
    write("/proc/sys/fs/binfmt_misc/register", ":x:M::x::/tmp/out:")


@way
def uevent_helper() -> None:
    write("/sys/kernel/uevent_helper", "/tmp/out")


@way
def sysrq_trigger() -> None:
    write("/proc/sysrq-trigger", "h")


@way
def memory_of_the_kernel() -> None:
    with Path("/proc/kcore").open("rb") as file:
        if not file.read(64):
            raise nothing()


@way
def log_of_the_kernel() -> None:
    with Path("/proc/kmsg").open("rb", buffering=0) as file:
        os.set_blocking(file.fileno(), False)
        if not file.read(64):
            raise nothing()


@way
def symbols_of_the_kernel() -> None:
    if not Path("/proc/kallsyms").read_text():
        raise nothing()


@way
def syslog() -> None:
    call(103, 3, ctypes.create_string_buffer(64), 64)


@way
def security_of_another_boot() -> None:
    write("/sys/firmware/efi/efivars/x", "x")


@way
def oom_score_below_the_machines() -> None:
    write("/proc/self/oom_score_adj", "-1000")


# --- devices ---


@way
def node_of_the_disk() -> None:
    os.mknod("/tmp/disk-node", stat.S_IFBLK | 0o600, os.makedev(254, 0))


@way
def node_of_memory() -> None:
    os.mknod("/tmp/mem-node", stat.S_IFCHR | 0o600, os.makedev(1, 1))


@way
def node_in_dev() -> None:
    os.mknod("/dev/sda", stat.S_IFBLK | 0o600, os.makedev(8, 0))


@way
def whiteout_of_an_overlay() -> None:
    """What hides a file of a lower layer from whoever mounts it next."""
    os.mknod("/tmp/whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))


@way
def loop_device() -> None:
    os.open("/dev/loop-control", os.O_RDWR)


@way
def fuse() -> None:
    os.open("/dev/fuse", os.O_RDWR)


@way
def virtual_machine() -> None:
    os.open("/dev/kvm", os.O_RDWR)


@way
def port_of_the_machine() -> None:
    call(172, 3)


@way
def typing_into_a_terminal() -> None:
    """TIOCSTI (CVE-2016-2781 and its kin)."""
    fcntl.ioctl(0, termios.TIOCSTI, b"x")


# --- namespaces and processes ---


@way
def namespace_of_users() -> None:
    call(272, 0x10000000)


@way
def namespace_of_mounts() -> None:
    call(272, 0x00020000)


@way
def namespace_by_clone() -> None:
    if call(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


@way
def namespace_of_the_first_process() -> None:
    call(308, os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)


@way
def users_mapped_anew() -> None:
    write("/proc/self/uid_map", "0 0 4294967295")


@way
def trace_of_the_first_process() -> None:
    call(101, 16, 1, 0, 0)


@way
def handles_of_the_machines_files() -> None:
    """shocker.c: open_by_handle_at(2) with the inode of the machine's root."""
    handle = struct.pack("=IiQ", 8, 1, 2)
    call(304, os.open("/", os.O_RDONLY), handle, 0)


@way
def handle_of_a_name() -> None:
    call(303, -100, b"/", ctypes.create_string_buffer(struct.pack("=I", 128), 140), ctypes.create_string_buffer(4), 0)


@way
def program_of_the_runtime() -> None:
    """CVE-2019-5736: the runtime's own program, by /proc/PID/exe of its process."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and "runc" in str((process / "exe").readlink()):
            os.open(process / "exe", os.O_WRONLY)
            return
    raise nothing()


@way
def descriptors_that_leaked() -> None:
    """CVE-2024-21626: a working directory of the machine's, by a descriptor that the runtime left open."""
    for process in ("1", "self"):
        for place in ("cwd", *(f"fd/{number}" for number in range(64))):
            top = Path(f"/proc/{process}/{place}", *[".."] * 32)
            if top.exists() and not top.samefile("/"):
                return
    raise nothing()


@way
def root_of_the_first_process() -> None:
    if not Path("/proc/1/root/etc/hostname").samefile("/etc/hostname"):
        return
    raise nothing()


@way
def processes_of_the_machine() -> None:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and (process / "comm").read_text().strip() in ("kthreadd", "systemd", "runc"):
            return
    raise nothing()


# --- sockets ---


@way
def socket_of_docker() -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("/var/run/docker.sock")


@way
def socket_of_containerd_shim() -> None:
    """CVE-2020-15257: abstract sockets of a network that is shared with the machine."""
    names = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()[1:] if "@" in line]
    if not names:
        raise nothing()


@way
def socket_of_the_hypervisor() -> None:
    socket.socket(40, socket.SOCK_STREAM).connect((2, 1024))


@way
def packets_of_the_machine() -> None:
    """CVE-2020-14386 and sniffing."""
    socket.socket(17, socket.SOCK_RAW)


@way
def raw_packets_to_the_machine() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) as raw:
        raw.sendto(b"\x08\x00" + bytes(6), ("192.0.2.1", 0))


@way
def rules_of_nftables() -> None:
    """CVE-2022-32250, CVE-2023-32233, CVE-2024-1086: bugs in nf_tables that need CAP_NET_ADMIN."""
    with socket.socket(16, socket.SOCK_RAW, 12) as link:
        batch = struct.pack("=IHHIIBBH", 20, 16, 1, 0, 0, 0, 0, socket.htons(10))
        table = struct.pack("=IHHIIBBH", 28, 10 << 8, 0x405, 1, 0, 2, 0, 0) + struct.pack("=HH4s", 8, 1, b"t\0\0\0")
        end = struct.pack("=IHHIIBBH", 20, 17, 1, 2, 0, 0, 0, socket.htons(10))
        link.sendto(batch + table + end, (0, 0))
        link.settimeout(5)
        code = -struct.unpack("=IHHIIi", link.recv(4096)[:20])[-1]
        if code:
            raise OSError(code, "")


# --- calls of the kernel ---


@way
def module() -> None:
    call(175, b"", 0, b"")


@way
def kernel_by_kexec() -> None:
    call(246, 0, 0, 0, 0)


@way
def programs_of_bpf() -> None:
    """CVE-2021-31440, CVE-2021-3490 and the like."""
    call(321, 5, bytes(128), 128)


@way
def counters_of_perf() -> None:
    call(298, struct.pack("=IIQ", 1, 128, 0) + bytes(112), 0, -1, -1, 0)


@way
def rings_of_io() -> None:
    """CVE-2022-29582, CVE-2023-2598."""
    call(425, 8, ctypes.create_string_buffer(120))


@way
def faults_by_user() -> None:
    call(323, 0)


@way
def keys() -> None:
    """CVE-2022-2590 needs none; CVE-2016-0728 did."""
    call(250, 0, -3, 1)


@way
def clock() -> None:
    call(227, 0, struct.pack("=qq", int(time.time()), 0))


@way
def name_of_the_machine() -> None:
    call(170, b"mine", 4)


@way
def restart() -> None:
    call(169, 0xFEE1DEAD, 672274793, 0, 0)


@way
def swap() -> None:
    call(167, b"/tmp/swap", 0)


@way
def accounting() -> None:
    call(163, b"/tmp/accounts")


@way
def pipe_into_a_lower_layer() -> None:
    """CVE-2022-0847 (Dirty Pipe): a page of a read-only file, changed through a pipe."""
    target = "/instruction.md"
    before = Path(target).read_bytes()
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
    os.write(writing, bytes(size))
    os.read(reading, size)
    file = os.open(target, os.O_RDONLY)
    os.splice(file, writing, 1, offset_src=0)
    os.write(writing, b"XYZ")
    if Path(target).read_bytes() == before:
        raise nothing()


@way
def race_of_private_pages() -> None:
    """CVE-2016-5195 (Dirty COW), its first step: a private mapping of a read-only file, written by /proc/self/mem."""
    target = "/instruction.md"
    before = Path(target).read_bytes()
    file = os.open(target, os.O_RDONLY)
    _libc.mmap.restype = ctypes.c_void_p
    address = _libc.mmap(None, 4096, 1, 2, file, 0)
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(b"XYZ")
    if Path(target).read_bytes() == before:
        raise nothing()


@way
def capabilities_of_a_file() -> None:
    """A program with capabilities that would hold outside, written into a layer: it holds in this namespace only."""
    write("/usr/bin/capable", "")
    # VFS_CAP_REVISION_2 with CAP_SYS_ADMIN, as if for the machine's own users; the kernel makes it one for this root.
    os.setxattr("/usr/bin/capable", "security.capability", struct.pack("=IIIII", 0x02000001, 1 << 21, 0, 0, 0))


@way
def set_id_for_the_machine() -> None:
    """A set-id program of root's, to be run by somebody of the machine's."""
    write("/usr/bin/rooted", "")
    Path("/usr/bin/rooted").chmod(_SET_ID)


def main() -> None:
    for name in sys.argv[1:] or _WAYS:
        child = os.fork()
        if child == 0:
            try:
                _WAYS[name]()
                said = "done"
            except OSError as problem:
                said = f"failed {errno.errorcode.get(problem.errno or 0, problem.errno)}"
            sys.stdout.write(f"{name} {said}\n")
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            sys.stdout.write(f"{name} killed {signal.Signals(os.WTERMSIG(status)).name}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
