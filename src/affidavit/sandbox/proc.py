"""Files of /proc that count for the whole machine, as a sandbox sees them: made up, and the same for every sandbox of
the same limits, so that none of them can be told anything by them."""

import contextlib
import os
import re
import time
from pathlib import Path

from affidavit.sandbox.protocol import Limits

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/buddyinfo",
    "/proc/bus",
    "/proc/cgroups",
    "/proc/cmdline",
    "/proc/diskstats",
    "/proc/driver",
    "/proc/fs",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/irq",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/locks",
    "/proc/mdstat",
    "/proc/modules",
    "/proc/mtrr",
    "/proc/pagetypeinfo",
    "/proc/partitions",
    "/proc/pressure",
    "/proc/sched_debug",
    "/proc/schedstat",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/softirqs",
    "/proc/swaps",
    "/proc/sys/fs/aio-nr",
    "/proc/sys/fs/dentry-state",
    "/proc/sys/fs/file-nr",
    "/proc/sys/fs/inode-nr",
    "/proc/sys/fs/inode-state",
    "/proc/sys/kernel/pty/nr",
    "/proc/sys/kernel/random/boot_id",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/tty/driver",
    "/proc/vmallocinfo",
    "/proc/vmstat",
    "/proc/zoneinfo",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
"""What a sandbox finds empty."""


# Below /proc/PID/net; each counts for the whole machine though it lies in a network namespace.
_COUNTED_OUTSIDE = ("protocols", "sockstat", "sockstat6", "softnet_stat", "stat")


def close_network_counters(pid: int) -> None:
    """Close the counters of the machine's network to everybody in the network namespace of a process, root of a user
    namespace included. No mount can cover them, since each process has a folder of its own.

    Raises:
        OSError: that can't be done.
    """
    for name in _COUNTED_OUTSIDE:
        path = Path(f"/proc/{pid}/net/{name}")
        # A kernel without IPv6 has not all of them.
        with contextlib.suppress(FileNotFoundError):
            os.chown(path, 0, 0)
            path.chmod(0)


def made_up_proc(limits: Limits) -> dict[str, str]:
    """What programs need of /proc, without what changes with the machine's load: path and content of each file."""
    memory = limits.memory_mb << 10
    up = f"{time.clock_gettime(time.CLOCK_BOOTTIME):.2f}"
    booted = int(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))
    cpus = ["cpu", *(f"cpu{number}" for number in range(os.cpu_count() or 1))]
    memory_lines = {
        **dict.fromkeys(("MemTotal", "MemFree", "MemAvailable"), memory),
        **dict.fromkeys(_NOTHING, 0),
        **dict.fromkeys(("CommitLimit",), memory),
    }
    return {
        "/proc/loadavg": "0.00 0.00 0.00 1/1 1\n",
        "/proc/meminfo": "".join(f"{f'{name}:':<16}{value:>8} kB\n" for name, value in memory_lines.items()),
        "/proc/stat": "".join(f"{name} 0 0 0 0 0 0 0 0 0 0\n" for name in cpus)
        + f"intr 0\nctxt 0\nbtime {booted}\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n",
        "/proc/uptime": f"{up} {up}\n",
        "/proc/cpuinfo": re.sub(r"(?m)^(cpu MHz\s*: ).*$", r"\g<1>2000.000", Path("/proc/cpuinfo").read_text()),
    }


_NOTHING = (
    "Buffers",
    "Cached",
    "SwapCached",
    "Active",
    "Inactive",
    "SwapTotal",
    "SwapFree",
    "Dirty",
    "Writeback",
    "AnonPages",
    "Mapped",
    "Shmem",
    "Slab",
    "SReclaimable",
    "SUnreclaim",
    "Committed_AS",
)
