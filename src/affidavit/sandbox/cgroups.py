"""Control groups of sandboxes, version 1, version 2 or both at once (cgroups(7))."""

import contextlib
import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from affidavit.sandbox.protocol import SandboxError


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy: its folder and, for version 1, its controllers; none for version 2."""

    root: Path
    controllers: frozenset[str]


def hierarchies() -> tuple[Hierarchy, ...]:
    """The hierarchies mounted on this machine, each once."""
    found: dict[str, Hierarchy] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        device, root, folder = before.split(" ")[2:5]
        if root != "/":
            continue
        controllers = frozenset(options.split(",")) - {"rw", "ro"} if kind == "cgroup" else frozenset()
        found.setdefault(device, Hierarchy(Path(folder), controllers))
    return tuple(found.values())


def cgroup_path(name: str) -> str:
    """Path of a sandbox's control group below each hierarchy's root."""
    return f"/affidavit-{name}"


def oom_kills(name: str) -> int:
    """How many processes the memory bound of a sandbox killed."""
    path = cgroup_path(name).lstrip("/")
    for hierarchy in hierarchies():
        if "memory" in hierarchy.controllers:
            file = hierarchy.root / path / "memory.oom_control"
        elif not hierarchy.controllers:
            file = hierarchy.root / path / "memory.events"
        else:
            continue
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def hasten(name: str) -> None:
    """Give a sandbox that is being killed all the processor time there is: dying takes some, and a flood of processes
    with a small share, or a bound of its own, would take long to."""
    folder = cgroup_path(name).lstrip("/")
    for hierarchy in hierarchies():
        if "cpu" in hierarchy.controllers:
            settings = {"cpu.cfs_quota_us": "-1", "cpu.shares": "262144"}
        elif not hierarchy.controllers:
            settings = {"cgroup.kill": "1", "cpu.max": "max", "cpu.weight": "10000"}
        else:
            continue
        for file, value in settings.items():
            # Version 2 has the files of those controllers only that are turned on there.
            with contextlib.suppress(OSError):
                (hierarchy.root / folder / file).write_text(value)


def remove_cgroups(name: str) -> None:
    """Kill what still runs in a sandbox's control groups and remove them.

    Raises:
        SandboxError: one can't be removed.
    """
    path = cgroup_path(name).lstrip("/")
    for hierarchy in hierarchies():
        top = hierarchy.root / path
        if top.is_dir():
            for folder, _, _ in os.walk(top, topdown=False):
                _remove_one(Path(folder))


def _remove_one(folder: Path) -> None:
    deadline = time.monotonic() + 10
    pause = 0.001
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as problem:
            if problem.errno != errno.EBUSY or time.monotonic() > deadline:
                raise SandboxError(f"{folder}: the control group can't be removed: {problem.strerror}") from None
        else:
            return
        # A zombie's group stays busy until the zombie is reaped, hence the pause.
        with contextlib.suppress(OSError):
            for pid in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
