"""A place of bounded size for what a sandbox writes.

An ext4 image on a loop device: its pages can be written back, so they don't count against the memory of the sandbox for
good, as those of a tmpfs would. The image is a sparse copy of a template and has no name once it is mounted; the loop
device goes with the mount. Where there is no loop device or no mkfs.ext4, a tmpfs stands in.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from affidavit.sandbox import kernel
from affidavit.sandbox.protocol import SandboxError
from affidavit.sandbox.state import locked

_SMALLEST_MB = 8
_FILES_PER_MB = 128
# One inode for 8 KiB, for trees of many small files; no journal, for nothing outlives a crash.
_MKFS = ("mkfs.ext4", "-q", "-F", "-m", "0", "-i", str((1 << 20) // _FILES_PER_MB), "-O", "^has_journal,^resize_inode")
_MKFS_EXTENDED = ("-E", "lazy_itable_init=1,nodiscard,root_owner=0:0")


@contextmanager
def bounded_folder(target: Path, size_mb: int, state: Path) -> Iterator[None]:
    """Have an empty file system of `size_mb` MiB on the folder `target`, as long as the ``with`` lasts.

    Raises:
        SandboxError: it can't be had.
    """
    mount_disk(target, size_mb, state)
    try:
        yield
    finally:
        kernel.unmount(target)


def mount_disk(target: Path, size_mb: int, state: Path) -> str:
    """Mount an empty file system of `size_mb` MiB on the folder `target`.

    Returns:
        its kind, ``ext4`` or ``tmpfs``.

    Raises:
        SandboxError: neither can be had.
    """
    try:
        _mount_ext4(target, max(size_mb, _SMALLEST_MB), state)
    except (OSError, subprocess.CalledProcessError):
        try:
            options = f"mode=0755,size={size_mb}m,nr_inodes={size_mb * _FILES_PER_MB}"
            kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
        except OSError as problem:
            raise SandboxError(f"no place for the sandbox's files: {problem}; affidavit must run as root") from None
        return "tmpfs"
    return "ext4"


def _mount_ext4(target: Path, size_mb: int, state: Path) -> None:
    template = _template(size_mb, state / "templates")
    with tempfile.TemporaryFile(dir=target.parent) as image:
        with template.open("rb", buffering=0) as source:
            kernel.copy_sparse(source.fileno(), image.fileno())
        device, path = kernel.attach_loop(image.fileno())
    try:
        # nosuid and nodev also hold for whatever is bound from it.
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount(path, target, "ext4", flags, "noinit_itable,nobarrier,errors=remount-ro")
    finally:
        os.close(device)


def _template(size_mb: int, folder: Path) -> Path:
    template = folder / f"ext4-{size_mb}m-1.img"
    if not template.exists():
        with locked(folder / "lock"):
            if not template.exists():
                fresh = template.with_suffix(".new")
                with fresh.open("wb") as image:
                    image.truncate(size_mb << 20)
                subprocess.run(
                    [*_MKFS, *_MKFS_EXTENDED, str(fresh)], check=True, capture_output=True, stdin=subprocess.DEVNULL
                )
                fresh.rename(template)
    return template
