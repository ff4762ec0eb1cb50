"""System calls that honest programs do not try without need."""

# Calls that only make sense with privileges over the machine or over a sandbox's walls, and that honest programs do not
# try on the chance. Not among them, although no sandbox lets them through: io_uring and clone3 (libraries probe for
# them), ptrace (debuggers, leak checkers), perf_event_open, keyctl.
PRIVILEGED_CALLS = (
    "acct",
    "bpf",
    "clock_settime",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "ioperm",
    "iopl",
    "kexec_file_load",
    "kexec_load",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_by_handle_at",
    "open_tree",
    "pivot_root",
    "process_vm_writev",
    "quotactl",
    "reboot",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "umount2",
    "unshare",
)
