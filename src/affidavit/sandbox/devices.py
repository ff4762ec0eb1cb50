"""The /dev of a sandbox in a user namespace, where nobody can make a device node.

Left to it, the runtime would bind the machine's own nodes, whose inodes all sandboxes would share, and with them locks.
"""

import os
import stat
from pathlib import Path

from affidavit.sandbox import kernel
from affidavit.sandbox.protocol import SandboxError

# Documentation/admin-guide/devices.txt
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_MOUNT_POINTS = ("pts", "shm")


def mount_dev(target: Path, root: int) -> None:
    """Mount a file system with the devices that the OCI runtime specification asks for.

    Args:
        target: a folder.
        root: user and group of all that is in it.

    Raises:
        SandboxError: the kernel refused.
    """
    try:
        kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, "mode=0755,size=64k")
        for name, number in _DEVICES.items():
            os.mknod(target / name, stat.S_IFCHR, os.makedev(*number))
            (target / name).chmod(0o666)
        for name, leads_to in _LINKS.items():
            (target / name).symlink_to(leads_to)
        for name in _MOUNT_POINTS:
            (target / name).mkdir(mode=0o755)
        for place in (target, *target.iterdir()):
            os.chown(place, root, root, follow_symlinks=False)
    except OSError as problem:
        raise SandboxError(f"{target}: a sandbox's devices can't be made: {problem.strerror}; run as root") from None
