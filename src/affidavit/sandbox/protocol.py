"""The interface of sandboxes and runtimes."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from affidavit.errors import AffidavitError

Profile = Literal["strict", "container"]
"""What a sandbox is like inside. ``strict``: nobody has privileges, and the root file system is read-only but for some
folders. ``container``: as in Docker, root of a user namespace may do what Docker's root may, and everything is
writable."""


class SandboxError(AffidavitError):
    """The machinery could not make or run a sandbox; the text says what to do. Never the agent's fault."""


@dataclass(frozen=True)
class Availability:
    """Whether something works on this machine.

    Attributes:
        works: whether it does.
        detail: version or what was found.
        fix: what to do where it does not, empty where it does.
        gaps: what it can't do or see here, a sentence each.
        unproven: why ``auto`` takes another one that works, a clause; empty where it need not.
    """

    works: bool
    detail: str
    fix: str = ""
    gaps: tuple[str, ...] = ()
    unproven: str = ""


@dataclass(frozen=True)
class Limits:
    """Bounds on what runs in a sandbox.

    Attributes:
        wall_ms: wall time, enforced by the caller of :meth:`Sandbox.wait`.
        cpu_ms: CPU time of one process (RLIMIT_CPU, rounded up to seconds), None for no bound.
        memory_mb: memory of the whole sandbox, MiB (cgroup).
        pids: processes and threads at the same time (cgroup).
        cpus: CPU cores' worth of time (cgroup quota), None for no bound.
        disk_mb: what the sandbox may write to its root file system, MiB.
        output_bytes: what is kept of standard output and of standard error, each; the rest is counted and dropped.
        open_files: RLIMIT_NOFILE.
    """

    wall_ms: int = 600_000
    cpu_ms: int | None = None
    memory_mb: int = 2048
    pids: int = 512
    cpus: float | None = None
    disk_mb: int = 2048
    output_bytes: int = 4 << 20
    open_files: int = 4096


@dataclass(frozen=True)
class Mount:
    """A read-only folder or file of the host, of which a copy appears in the sandbox.

    Attributes:
        source: folder or file on the host, as it is when the sandbox is created; only what affidavit itself prepared
            for the sandbox, never a path of the user's.
        target: absolute path in the sandbox.
    """

    source: Path
    target: str


@dataclass(frozen=True)
class SharedFolder:
    """A folder that sandboxes share; what is in it belongs to the sandboxes' own numbers of users.

    Attributes:
        source: the folder on the host, which nothing but sandboxes and their preparation writes to.
        target: absolute path in the sandbox.
        writable: whether this sandbox may write it.
    """

    source: Path
    target: str
    writable: bool


@dataclass(frozen=True)
class User:
    """Who the sandbox's processes run as; root has no privileges either, but for :attr:`SandboxSpec.capabilities`."""

    uid: int = 1000
    gid: int = 1000
    name: str = "agent"
    home: str = "/home/agent"


@dataclass(frozen=True)
class EarlierChanges:
    """What an earlier sandbox changed, for one that goes on from there.

    Attributes:
        layer: its changed layer, as `carry_over` writes one; never written to.
        below_new: those layers of the new sandbox that the earlier one did not have. What is in them is there, whatever
            the earlier sandbox left in its place.
    """

    layer: Path
    below_new: tuple[Path, ...] = ()


@dataclass(frozen=True)
class SandboxSpec:
    """One sandbox, wanted.

    Attributes:
        name: unique on this machine; letters, digits, '-', '_'.
        rootfs: lower layers of the overlay, topmost first; each is a folder, never written to.
        host_usr: have a copy of the machine's /usr, read-only (the ``host`` root file system).
        argv: the command, absolute path first.
        env: the whole environment.
        cwd: working directory.
        user: who runs it.
        writable: absolute folders that are writable; everything else of the root file system is read-only.
        mounts: read-only folders.
        scratch: absolute folders that are empty and writable at the start and are kept apart from the diff
            (``/logs/verifier`` for the grader); readable afterwards through :meth:`Sandbox.scratch`.
        limits: see Limits.
        deny_syscalls: names, beside those that no sandbox allows.
        capabilities: names as in ``CAP_SETUID``, for a sandbox that runs as root; none for an agent's.
        network: path of the network namespace that it is in (:attr:`NetworkNamespace.path`), which must be there until
            it is created; empty: one of its own, with nothing but loopback.
        network_owner: path of the user namespace that owns `network` (:attr:`NetworkNamespace.owner_path`); it becomes
            the sandbox's. Empty: the machine's own does.
        first_user: who runs `argv`, where that is somebody else than `user`, who owns the folders.
        profile: see Profile; in ``container``, `writable` and `capabilities` are not asked.
        earlier: changes that it begins with and that count as its own; None: there are none. They take no room of
            `limits`.
        shared: folders that other sandboxes have too; what is in them is no part of the changed layer.
        imports: modules of the machine's Python that what begins in it imports, as `files_of_imports` takes them: with
            `host_usr`, they are read from the disk while it is made. Nothing of an agent's may choose them.
    """

    name: str
    rootfs: Sequence[Path]
    argv: Sequence[str]
    env: Mapping[str, str]
    host_usr: bool = False
    cwd: str = "/"
    user: User = User()
    writable: Sequence[str] = ()
    mounts: Sequence[Mount] = ()
    scratch: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    deny_syscalls: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    network: str = ""
    network_owner: str = ""
    first_user: User | None = None
    profile: Profile = "strict"
    earlier: EarlierChanges | None = None
    shared: Sequence[SharedFolder] = ()
    imports: Sequence[str] = ()


@dataclass
class Streams:
    """Standard input and output for process 1 of a sandbox, in place of none and of a bounded one.

    Attributes:
        stdin, stdout: descriptors, which the sandbox closes here once its process 1 has them. `stdout` may be -1: it is
            the bounded one.
        said: what counts as its standard output, asked for once it has ended; only where `stdout` was given.
    """

    stdin: int
    stdout: int = -1
    said: Callable[[], bytes] = bytes

    def close(self) -> None:
        """Close both. Harmless when called twice."""
        for descriptor in (self.stdin, self.stdout):
            if descriptor >= 0:
                os.close(descriptor)
        self.stdin = self.stdout = -1


@dataclass(frozen=True)
class RuntimeHooks:
    """What a recorder needs of the runtime before a sandbox is created.

    Attributes:
        flags: global flags of the runtime (runsc: ``--pod-init-config=…``, ``--strace`` …).
        wrapper: argv to put in front of the runtime's ``create`` (strace).
        refusals: unix socket that wants the seccomp listener (``linux.seccomp.listenerPath``) and answers EPERM to
            every call that the filter asks it about instead of refusing it; empty for none. A runtime without
            listeners passes over it.
    """

    flags: tuple[str, ...] = ()
    wrapper: tuple[str, ...] = ()
    refusals: str = ""


@dataclass(frozen=True)
class Exit:
    """How a sandbox's command ended.

    Attributes:
        code: exit code, None where a signal ended it or it was killed.
        signal: number of the signal that ended it, None where none did.
        timed_out: it was still running when `timeout_s` was up.
        oom: the memory bound killed a process of the sandbox.
        duration_ms: wall time from start to end.
    """

    code: int | None
    signal: int | None
    timed_out: bool
    oom: bool
    duration_ms: int


@dataclass(frozen=True)
class Output:
    """What a sandbox wrote to its standard streams; `dropped` bytes past the bound are not kept."""

    stdout: bytes
    stderr: bytes
    dropped: int


@dataclass(frozen=True)
class ExecSpec:
    """A command in a sandbox, wanted.

    Attributes:
        argv: the command; a name without a slash is looked up on the PATH of `env`, in the sandbox.
        env: the whole environment.
        cwd: working directory.
        user: who runs it.
        terminal: give it a pseudo-terminal as its standard streams, which joins output and errors.
        output_bytes: what is kept of standard output and of standard error, each; the rest is counted and dropped.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str = "/"
    user: User = User()
    terminal: bool = False
    output_bytes: int = Limits.output_bytes


class Entrance(Protocol):
    """What a recorder wants to do, and to know, when a process enters a running sandbox."""

    def hooks(self) -> RuntimeHooks:
        """What the runtime's ``exec`` must be started with; only the wrapper counts."""

    def entered(self, launcher: int, pid: int | None) -> None:
        """The runtime is done.

        Args:
            launcher: the runtime's own process, which was the parent of what entered.
            pid: the process that entered, as the recorder counts: on the machine, or in the sandbox where the runtime
                has a kernel of its own. None where none came of it.
        """


class Unrecorded:
    """The entrance of a sandbox that no recorder watches."""

    def hooks(self) -> RuntimeHooks:
        """None."""
        return RuntimeHooks()

    def entered(self, launcher: int, pid: int | None) -> None:
        """Nobody wants to know."""


@dataclass(frozen=True)
class ExecEnd:
    """How a command ended that ran in a running sandbox, and what it wrote.

    Attributes:
        code: exit code, None where a signal ended it or it was killed. 126 and 127 also stand for a command that could
            not be run, or was not found; `stderr` then ends with the runtime's words.
        signal: number of the signal that ended it, None where none did. gVisor tells of 128 and the signal as `code`.
        timed_out: it was killed, with all that it had started, because its time was up.
        duration_ms: wall time.
        stdout, stderr: the first bytes of each; all in `stdout` where it had a terminal.
        dropped: bytes past the bound, which are not kept.
    """

    code: int | None
    signal: int | None
    timed_out: bool
    duration_ms: int
    stdout: bytes
    stderr: bytes
    dropped: int


class Sandbox(Protocol):
    """A sandbox, from `create` to `close`. Used as a context manager it closes itself, whatever happens."""

    name: str
    runtime: str

    @property
    def earlier_links(self) -> Mapping[bytes, bytes]:
        """Where the symlinks lead that an earlier sandbox left it, by their absolute paths; once it was created."""

    @property
    def enters_by_program(self) -> bool:
        """Whether a command that enters is at first a program of ours, which puts the sandbox's filter on itself."""

    def __enter__(self) -> "Sandbox": ...

    def __exit__(self, *exc: object) -> None: ...

    def create(self, hooks: RuntimeHooks) -> int:
        """Make it; its init waits before the first instruction of the command.

        Returns:
            pid of the init as the machine counts.

        Raises:
            SandboxError: the runtime refused.
        """

    def start(self) -> None:
        """Let the command begin. Raises SandboxError."""

    def wait(self, timeout_s: float) -> Exit | None:
        """Wait for the command's end, `timeout_s` seconds at most; None where it still runs then."""

    def kill(self) -> None:
        """Kill every process of it; returns when none is left. Harmless when none is."""

    def exit(self) -> Exit:
        """How the command ended; only after `wait` answered or `kill` returned."""

    def output(self) -> Output:
        """What it wrote; only after its end."""

    def upper(self) -> Path:
        """The changed layer (overlayfs format: whiteouts are 0:0 character devices, opaque folders bear
        ``trusted.overlay.opaque=y``); frozen, only after its end."""

    def scratch(self, target: str) -> Path:
        """The host's folder behind a scratch folder, once it was created. Its content is hostile, and before the
        sandbox's end it may change under the reader's hands."""

    def root_fd(self) -> int:
        """An O_PATH descriptor of the root as the sandbox's init sees it, between `create` and `close`; the caller
        closes it. Names are looked up below it with openat2(2) RESOLVE_IN_ROOT."""

    def close(self) -> None:
        """Remove every trace of it from the machine: processes, cgroups, mounts, files. Harmless when called twice."""
