"""Control groups of sandboxes, version 1, version 2 or both at once (cgroups(7))."""

import contextlib
import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from affidavit.sandbox.protocol import SandboxError

# A group of processes that are being killed may not get frozen: they are killed all the same.
_FREEZE_S = 5.0


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


class ExecCgroup:
    """The control group of one command that enters a sandbox, below the sandbox's own: whatever it starts is in it,
    also what has left its session or lost its parent.

    Args:
        name: the sandbox's.
        number: the command's.
    """

    def __init__(self, name: str, number: int) -> None:
        own = f"exec-{number}"
        self._controller = ""
        self._folder: Path | None = None
        for hierarchy in hierarchies():
            # Version 1's freezer where there is one: a runtime puts its sandboxes into version 1 then.
            if "freezer" in hierarchy.controllers or (not hierarchy.controllers and self._folder is None):
                self._controller = "freezer" if hierarchy.controllers else ""
                self._folder = hierarchy.root / cgroup_path(name).lstrip("/") / own
                if hierarchy.controllers:
                    break

    def make(self) -> str:
        """Make it; the argument of the runtime's ``exec --cgroup``. Raises SandboxError."""
        try:
            if self._folder is None:
                raise FileNotFoundError(errno.ENOENT, "no freezer and no cgroup2 is mounted")
            self._folder.mkdir()
        except OSError as problem:
            raise SandboxError(f"{self._folder}: can't make a control group: {problem.strerror}") from None
        return f"{self._controller}:{self._folder.name}" if self._controller else self._folder.name

    def kill(self) -> None:
        """Kill every process in it; none can have a child meanwhile that gets away."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            if not self._controller:
                (self._folder / "cgroup.kill").write_text("1")
                return
            state, members = self._folder / "freezer.state", self._folder / "cgroup.procs"
            try:
                deadline = time.monotonic() + _FREEZE_S
                state.write_text("FROZEN")
                while state.read_text().strip() != "FROZEN" and time.monotonic() < deadline:
                    time.sleep(0.001)
                for pid in members.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            finally:
                state.write_text("THAWED")

    def remove(self) -> None:
        """Remove it where nothing is in it any more; else it goes with the sandbox."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.rmdir()


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
