"""The runtimes that affidavit knows."""

import functools
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Protocol

from affidavit.sandbox.cleaning import remove_stale
from affidavit.sandbox.container import OciSandbox
from affidavit.sandbox.protocol import Availability, Limits, RuntimeHooks, SandboxError, SandboxSpec, User
from affidavit.sandbox.rootfs import host_rootfs
from affidavit.sandbox.runtime import RuntimeCommand, gvisor, runc, runsc_flags
from affidavit.sandbox.state import state_dir


class Runtime(Protocol):
    """A way of running sandboxes.

    Attributes:
        name: as users choose it.
    """

    name: str

    def available(self) -> Availability:
        """Whether it works here: a sandbox is made and run."""

    def sandbox(self, spec: SandboxSpec, state: Path | None = None) -> OciSandbox:
        """A sandbox, not yet created. Raises SandboxError for what can't be.

        Args:
            spec: what is wanted.
            state: the state folder; state_dir() where None.
        """


class Runc:
    """runc: namespaces of the machine's own kernel."""

    name = "runc"

    def available(self) -> Availability:
        return _try(runc())

    def sandbox(self, spec: SandboxSpec, state: Path | None = None) -> OciSandbox:
        return OciSandbox(runc(), spec, state or state_dir())


class GVisor:
    """runsc: a kernel of its own in front of the machine's."""

    name = "gvisor"

    def available(self) -> Availability:
        return _try(self._command)

    def sandbox(self, spec: SandboxSpec, state: Path | None = None) -> OciSandbox:
        return OciSandbox(self._command, spec, state or state_dir())

    @functools.cached_property
    def _command(self) -> RuntimeCommand:
        flags = runsc_flags(gvisor("", "").path())
        # "uses which platform to use: systrap (default), ptrace, kvm": only kvm needs more than runsc itself.
        return gvisor("systrap" if "systrap" in flags else "ptrace", flags)


def runtimes() -> dict[str, Runtime]:
    """Every runtime by its name, the preferred first."""
    return {runtime.name: runtime for runtime in (Runc(), GVisor())}


def clean_stale(state: Path | None = None) -> tuple[str, ...]:
    """Remove what sandboxes left whose affidavit is gone (killed, or the machine was): processes, control groups,
    mounts, loop devices, files. Sandboxes of an affidavit that still runs are left alone.

    Args:
        state: the state folder; state_dir() where None.

    Returns:
        names of the sandboxes that were removed.

    Raises:
        SandboxError: one could not be removed; the others are.
    """
    return remove_stale(state or state_dir(), (runc(), gvisor("ptrace", "")))


def _try(command: RuntimeCommand) -> Availability:
    """Run a sandbox whose command prints a line, under `command`."""
    mend = f"apt install {command.binary}; run as root"
    try:
        version = subprocess.run([command.path(), "--version"], capture_output=True, text=True, check=True).stdout
        with tempfile.TemporaryDirectory(prefix="affidavit-") as folder:
            state = Path(folder)
            rootfs = host_rootfs(state, User())
            spec = SandboxSpec(
                name=f"doctor-{uuid.uuid4().hex[:12]}",
                rootfs=rootfs.layers,
                host_usr=rootfs.host_usr,
                argv=("/bin/sh", "-c", "echo $((6 * 7))"),
                env={"PATH": "/usr/bin:/bin"},
                limits=Limits(disk_mb=16),
            )
            with OciSandbox(command, spec, state) as sandbox:
                sandbox.create(RuntimeHooks())
                sandbox.start()
                ended = sandbox.wait(30)
                sandbox.kill()
                if ended is None or ended.code != 0 or sandbox.output().stdout != b"42\n":
                    return Availability(False, f"a trial sandbox did not run: {ended}, {sandbox.output()}", mend)
                gaps = _TMPFS_GAP if sandbox.disk == "tmpfs" else ()
    except (SandboxError, OSError, subprocess.CalledProcessError) as problem:
        return Availability(False, str(problem), mend)
    return Availability(True, version.splitlines()[0] if version else command.binary, gaps=gaps)


_TMPFS_GAP = (
    "no loop device or no mkfs.ext4: what a sandbox writes is held in memory and counts against its memory limit",
)
