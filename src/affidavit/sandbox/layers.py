"""Putting layers together: overlay mounts, and the folders that a sandbox needs to mount on."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from affidavit.sandbox import kernel
from affidavit.sandbox.protocol import SandboxError

# Nothing that would let the upper layer refer to the lower ones by anything but name; no fsync, for it is thrown away.
_OPTIONS = "redirect_dir=off,metacopy=off,index=off,xino=off,volatile"


def mount_overlay(lower: Sequence[Path], upper: Path, work: Path, target: Path, *, set_id: bool = False) -> None:
    """Mount an overlay. The folders are named by descriptor, so that a sandbox that reads its mount table learns no
    path of the machine, and names with ``:`` or ``,`` do no harm.

    Args:
        lower: topmost first.
        set_id: honour set-id bits of files; only for a sandbox in a user namespace of its own.

    Raises:
        SandboxError: the kernel refused.
    """
    with contextlib.ExitStack() as stack:

        def by_descriptor(folder: Path) -> str:
            fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            return f"/proc/self/fd/{fd}"

        try:
            layers = ":".join(by_descriptor(folder) for folder in lower)
            places = f"lowerdir={layers},upperdir={by_descriptor(upper)},workdir={by_descriptor(work)}"
            flags = kernel.MS_NODEV | (0 if set_id else kernel.MS_NOSUID)
            kernel.mount("overlay", target, "overlay", flags, f"{places},{_OPTIONS}")
        except OSError as problem:
            raise SandboxError(f"the overlay of {lower[0]} can't be mounted: {problem}; run as root") from None


def ensure_point(root: int, target: str, *, owner: tuple[int, int], mode: int = 0o755, file: bool = False) -> None:
    """Make a folder (or an empty file) in the root file system where there is none yet, and its parents.

    Args:
        root: descriptor of the root file system.
        target: absolute path in it.
        owner: user and group of the last component, if it is made; its parents belong to root.
        mode: of the last component, if it is made.

    Raises:
        SandboxError: a component is a symbolic link (it could lead anywhere) or something else than a folder.
    """
    parts = [part for part in target.split("/") if part]
    if not target.startswith("/") or not parts or {".", ".."} & set(parts):
        raise SandboxError(f"{target!r} is not an absolute path of a folder in the sandbox")
    here = os.dup(root)
    try:
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if last and file else os.O_DIRECTORY)
            try:
                there = os.open(part, flags, dir_fd=here)
            except FileNotFoundError:
                if last and file:
                    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=here))
                else:
                    os.mkdir(part, dir_fd=here)
                uid, gid = owner if last else (0, 0)
                os.chown(part, uid, gid, dir_fd=here, follow_symlinks=False)
                os.chmod(part, mode if last else 0o755, dir_fd=here)
                there = os.open(part, flags, dir_fd=here)
            os.close(here)
            here = there
    except OSError as problem:
        raise SandboxError(
            f"{target}: must be a folder in the root file system, no symbolic link on the way ({problem.strerror})"
        ) from None
    finally:
        os.close(here)
