"""The runtimes that affidavit knows."""

import functools
import subprocess
import uuid
from pathlib import Path
from typing import Protocol

from affidavit.plugins import Group, load_plugin, plugins
from affidavit.sandbox.cache import remove_unfinished_layers
from affidavit.sandbox.cleaning import remove_stale
from affidavit.sandbox.container import OciSandbox
from affidavit.sandbox.packed import remove_unfinished_images
from affidavit.sandbox.protocol import Availability, Limits, RuntimeHooks, SandboxError, SandboxSpec, Streams, User
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

    def sandbox(self, spec: SandboxSpec, state: Path | None = None, streams: Streams | None = None) -> OciSandbox:
        """A sandbox, not yet created. Raises SandboxError for what can't be.

        Args:
            spec: what is wanted.
            state: the state folder; state_dir() where None.
            streams: of its process 1, see Streams.
        """


class Runc:
    """runc: namespaces of the machine's own kernel."""

    name = "runc"

    def available(self) -> Availability:
        return _try(runc(), ())

    def sandbox(self, spec: SandboxSpec, state: Path | None = None, streams: Streams | None = None) -> OciSandbox:
        return OciSandbox(runc(), spec, state or state_dir(), streams)


class GVisor:
    """runsc: a kernel of its own in front of the machine's."""

    name = "gvisor"

    def available(self) -> Availability:
        try:
            command = self._command
        except SandboxError as problem:
            return Availability(False, str(problem), "apt install runsc; run as root")
        return _try(command, _GVISOR_GAPS if "--oci-seccomp" in command.flags else (*_GVISOR_GAPS, _NO_FILTER))

    def sandbox(self, spec: SandboxSpec, state: Path | None = None, streams: Streams | None = None) -> OciSandbox:
        return OciSandbox(self._command, spec, state or state_dir(), streams)

    @functools.cached_property
    def _command(self) -> RuntimeCommand:
        flags = runsc_flags(gvisor("", "").path())
        # "uses which platform to use: systrap (default), ptrace, kvm": only kvm needs more than runsc itself.
        return gvisor("systrap" if "systrap" in flags else "ptrace", flags)


def runtimes() -> dict[str, Runtime]:
    """Every runtime by its name, the preferred first; those of plug-ins last.

    Raises:
        PluginError: one that is installed can't be loaded.
    """
    built_in: dict[str, Runtime] = {runtime.name: runtime for runtime in (Runc(), GVisor())}
    plugged_in = {name: entry for name, entry in plugins(Group.RUNTIMES).items() if name not in built_in}
    return built_in | {name: load_plugin(entry)() for name, entry in plugged_in.items()}


def clean_stale(state: Path | None = None) -> tuple[str, ...]:
    """Remove what sandboxes left whose affidavit is gone (killed, or the machine was): processes, control groups,
    mounts, loop devices, files; and layers and images that it was just making. Sandboxes of an affidavit that still
    runs are left alone.

    Args:
        state: the state folder; state_dir() where None.

    Returns:
        names of the sandboxes that were removed.

    Raises:
        SandboxError: one could not be removed; the others are.
    """
    state = state or state_dir()
    remove_unfinished_layers(state)
    remove_unfinished_images(state)
    return remove_stale(state, (runc(), gvisor("ptrace", "")))


def _try(command: RuntimeCommand, gaps: tuple[str, ...]) -> Availability:
    """Run a sandbox that says what works in it, under `command`."""
    fix = f"apt install {command.binary}; run as root"
    try:
        version = subprocess.run([command.path(), "--version"], capture_output=True, text=True, check=True).stdout
        state = state_dir()
        rootfs = host_rootfs(state, User())
        spec = SandboxSpec(
            name=f"doctor-{uuid.uuid4().hex[:12]}",
            rootfs=rootfs.layers,
            host_usr=rootfs.host_usr,
            argv=("/bin/sh", "-c", "echo works; ls /tmp >/tmp/list && echo lists"),
            env={"PATH": "/usr/bin:/bin"},
            writable=("/tmp",),
            limits=Limits(disk_mb=16),
        )
        with OciSandbox(command, spec, state) as sandbox:
            sandbox.create(RuntimeHooks())
            sandbox.start()
            ended = sandbox.wait(30)
            sandbox.kill()
            said = sandbox.output().stdout.split()
            if ended is None or b"works" not in said:
                return Availability(False, f"a trial sandbox did not run: {ended}, {sandbox.output()}", fix)
            if b"lists" not in said:
                gaps += (_NO_STATX,)
            if sandbox.disk == "tmpfs":
                gaps += (_NO_LOOP,)
    except (SandboxError, OSError, subprocess.CalledProcessError) as problem:
        return Availability(False, str(problem), fix)
    return Availability(True, version.splitlines()[0] if version else command.binary, gaps=gaps)


_NO_LOOP = "no loop device or no mkfs.ext4: what a sandbox writes is held in memory and counts against its memory limit"
_NO_STATX = (
    "this release of runsc refuses statx(2) with AT_NO_AUTOMOUNT, so that ls PATH and stat PATH of coreutils 9 fail in "
    "the sandbox"
)
_GVISOR_GAPS = (
    "a command that a signal ended shows as exit code 128 plus the signal",
    "the bound on a process's CPU time is not enforced (seen with release 20221219): only that on wall time is",
    "the bound on processes is not exact: the sentry's own threads count, and where it is reached the sandbox ends",
)
_NO_FILTER = (
    "this release of runsc has no --oci-seccomp: what a contract denies of system calls is recorded, not refused"
)
