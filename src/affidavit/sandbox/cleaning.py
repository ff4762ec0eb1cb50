"""Removing what sandboxes leave on the machine."""

import contextlib
import os
import re
import select
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from affidavit.sandbox import kernel
from affidavit.sandbox.cgroups import remove_cgroups
from affidavit.sandbox.protocol import SandboxError
from affidavit.sandbox.runtime import RuntimeCommand
from affidavit.sandbox.state import locked, owner_gone, sandboxes_dir

_MOUNT_POINTS = ("disk", "merged", "layer-usr/usr", "layer-*", "mount-*", "mapped-*", "dev")


def remove_sandbox(folder: Path, state: Path, commands: Sequence[RuntimeCommand]) -> None:
    """Remove every trace of a sandbox: processes, control groups, the runtime's record, mounts (and with them loop
    devices), files. Each is tried even where one before it failed.

    The runtimes' own ``delete`` is not asked: all that it does is done here, also where the runtime is broken or gone,
    and it would wait for processes that were not reaped yet.

    Args:
        folder: the sandbox's folder, named after it.
        state: the state folder.
        commands: the runtimes that may know the sandbox.

    Raises:
        SandboxError: something could not be removed.
    """
    problems: list[str] = []
    try:
        remove_cgroups(folder.name)
    except SandboxError as problem:
        problems.append(str(problem))
    try:
        for command in commands:
            command.forget(state, folder.name)
        unmount_below(folder)
        # Never recursively: were one of them still mounted, this must fail.
        for pattern in _MOUNT_POINTS:
            for point in folder.glob(pattern):
                point.rmdir()
        shutil.rmtree(folder / "bundle", ignore_errors=True)
        for entry in sorted(folder.iterdir(), key=lambda path: path.name == "owner.json"):
            entry.unlink()
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError as problem:
        problems.append(f"{folder}: can't be removed: {problem.strerror}")
    if problems:
        raise SandboxError("; ".join(problems))


def unmount_below(folder: Path) -> None:
    """Unmount all that is mounted in a folder; loop devices go with it. Raises OSError."""
    for mounted in reversed(_mounts_below(folder)):
        kernel.unmount(mounted)


def remove_stale(state: Path, commands: Sequence[RuntimeCommand]) -> tuple[str, ...]:
    """Remove the sandboxes whose owner is gone.

    Returns:
        their names.

    Raises:
        SandboxError: one could not be removed; the others are.
    """
    removed: list[str] = []
    problems: list[str] = []
    folder = sandboxes_dir(state)
    if not folder.is_dir():
        return ()
    with locked(state / "clean.lock"):
        for sandbox in sorted(folder.iterdir()):
            if not owner_gone(sandbox):
                continue
            try:
                _kill_launchers(sandbox)
                remove_sandbox(sandbox, state, commands)
            except SandboxError as problem:
                problems.append(str(problem))
            else:
                removed.append(sandbox.name)
    if problems:
        raise SandboxError("; ".join(problems))
    return tuple(removed)


def _kill_launchers(folder: Path) -> None:
    """Kill what was just making a sandbox when its owner died, and would go on with it."""
    bundle = os.fsencode(folder / "bundle")
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(int(process.name))
                try:
                    if bundle in (process / "cmdline").read_bytes().split(b"\0"):
                        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                        select.select([pidfd], [], [], 5)
                finally:
                    os.close(pidfd)


def _mounts_below(folder: Path) -> list[str]:
    """Mount points below a folder in the order in which they were mounted."""
    inside = os.fsencode(folder.resolve()) + b"/"
    points: list[str] = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        point = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), line.split(b" ")[4])
        if point.startswith(inside):
            points.append(os.fsdecode(point))
    return points
