"""The command lines of OCI runtimes, and where they differ."""

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from affidavit.sandbox.protocol import ExecSpec, SandboxError
from affidavit.sandbox.seccomp import seccomp_profile, sentry_filter, sentry_profile

_STEP_S = 60.0
# As whom runsc runs its sentry and what it starts.
_NOBODY = 65534
# How Go begins to tell of its end. The sentry's warnings come to the same file: of a raw socket that it refused, say.
_PANIC = re.compile(rb"^(?:panic|fatal error|SIG[A-Z]+): ", re.MULTILINE)
_PANIC_BYTES = 1 << 20
_NO_NETWORK = "--network=none"

ENTER = Path(__file__).parent / "enter" / "_build" / "affidavit-enter"
"""The program that puts a filter of system calls on itself and becomes a command (enter/enter.c)."""

ENTER_AT = "/.enter"
"""Where a sandbox has it: below the root itself, so that no folder that leads there can be moved."""


@dataclass(frozen=True)
class RuntimeCommand:
    """How a runtime is called.

    Attributes:
        name: of the runtime, as users choose it.
        binary: its program, looked up on PATH.
        flags: global flags for each of its commands.
        spare_pids: its own threads that count against a sandbox's bound on processes.
        spare_memory_mb: its own memory that counts against a sandbox's bound.
        init_has_root: whether the pid it gives is a process that sees the sandbox's root file system.
        filters_entrants: whether a sandbox's filter of system calls holds for commands that enter it, too.
        enters_by_program: whether ENTER puts the filter on them, since the runtime does not.
        has_container_profile: whether sandboxes of the container profile can be made with it.
    """

    name: str
    binary: str
    flags: tuple[str, ...] = ()
    spare_pids: int = 0
    spare_memory_mb: int = 0
    init_has_root: bool = True
    filters_entrants: bool = True
    enters_by_program: bool = False
    has_container_profile: bool = True

    def root(self, state: Path) -> Path:
        """Where the runtime keeps its own records."""
        return state / "runtimes" / self.name

    def environment(self) -> dict[str, str]:
        """The whole environment of the runtime."""
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

    def path(self) -> str:
        """Absolute path of the program. Raises SandboxError where there is none."""
        found = shutil.which(self.binary, path=self.environment()["PATH"])
        if found is None:
            raise SandboxError(f"{self.binary} is not installed; install it (Debian: apt install {self.binary})")
        return found

    def call(self, state: Path, *arguments: str, flags: Collection[str] = ()) -> list[str]:
        """argv of one of its commands."""
        return [self.path(), "--root", str(self.root(state)), *self.flags, *flags, *arguments]

    def create(self, state: Path, name: str, bundle: Path, pid_file: Path, flags: Collection[str]) -> list[str]:
        """argv that creates a sandbox."""
        return self.call(state, "create", "--bundle", str(bundle), "--pid-file", str(pid_file), name, flags=flags)

    def run(self, step: str, state: Path, *arguments: str) -> None:
        """Run one of its commands to its end. Raises SandboxError."""
        try:
            done = subprocess.run(
                self.call(state, step, *arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self.environment(),
                cwd="/",
                timeout=_STEP_S,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise SandboxError(f"{self.binary} {step} did not end within {_STEP_S:.0f} s") from None
        if done.returncode != 0:
            text = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
            raise SandboxError(f"{self.binary} {step} failed: {text.splitlines()[-1] if text else done.returncode}")

    def forget(self, state: Path, name: str) -> None:
        """Remove the runtime's record of a sandbox that has no process left; nothing where it has none."""
        for record in _entries(self.root(state)):
            if _belongs(record.name, name):
                if record.is_dir():
                    shutil.rmtree(record, ignore_errors=True)
                else:
                    record.unlink(missing_ok=True)

    def seccomp(self, deny: Collection[str], listener: str = "") -> dict[str, Any]:
        """The filter of system calls, with further calls to deny; `listener` is passed over where the runtime can't
        hand over a filter's listener."""
        return seccomp_profile(deny, listener=listener if listener and _asks(self.path()) else "")

    def entering(self, command: ExecSpec, deny: Collection[str]) -> ExecSpec:
        """What the runtime is asked to let into a sandbox, so that a command runs there under its filter; `deny`
        names the further calls that it refuses."""
        if not self.enters_by_program:
            return command
        return replace(command, argv=(ENTER_AT, sentry_filter(deny).hex(), *command.argv))

    def networked(self) -> Self:
        """The runtime, for a sandbox whose network namespace the host has sockets in."""
        return self

    def decode_exit(self, folder: Path | None, status: int) -> tuple[int | None, int | None]:
        """Exit code or signal of the command, from the exit status of the process whose pid the runtime gave."""
        return status, None

    def reap_orphans(self, sessions: Collection[int]) -> None:
        """Wait for helpers of the runtime, which this process has inherited, to end: those of the given sessions."""
        for pid in _children():
            if pid in sessions or _session(pid) not in sessions:
                continue
            deadline = time.monotonic() + 5
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(pid, os.WNOHANG)[0] == 0:
                    if time.monotonic() > deadline:
                        os.kill(pid, signal.SIGKILL)
                    time.sleep(0.001)

    def reap_entering(self, init: int) -> None:
        """Take the ends of runc's helpers that were broken off, with which nobody else has to do: this process has
        inherited them. The init of a sandbox does not end before what was entering it (pid_namespaces(7)).

        Args:
            init: the sandbox's, killed.
        """
        namespace = None
        with contextlib.suppress(OSError):
            namespace = Path(f"/proc/{init}/ns/pid").readlink()
        for pid in _children():
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                if name == "runc:[1:CHILD]" or (
                    name == "runc:[2:INIT]" and Path(f"/proc/{pid}/ns/pid").readlink() == namespace
                ):
                    os.waitpid(pid, os.WNOHANG)


class RunscCommand(RuntimeCommand):
    """gVisor's runsc: the pid that it gives is its sentry's, which ends with the status of the sandbox's init."""

    def create(self, state: Path, name: str, bundle: Path, pid_file: Path, flags: Collection[str]) -> list[str]:
        return super().create(state, name, bundle, pid_file, (f"--panic-log={bundle}/panic", *flags))

    def seccomp(self, deny: Collection[str], listener: str = "") -> dict[str, Any]:
        return sentry_profile(deny)

    def networked(self) -> Self:
        """Socket calls go to the machine's kernel, in that namespace: gVisor's own network stack, which it would have
        otherwise, does not know of the host's sockets."""
        return replace(self, flags=tuple("--network=host" if flag == _NO_NETWORK else flag for flag in self.flags))

    def decode_exit(self, folder: Path | None, status: int) -> tuple[int | None, int | None]:
        with contextlib.suppress(OSError):
            if folder is not None and _panicked(folder / "bundle" / "panic"):
                return None, None
        return status, None

    def reap_orphans(self, sessions: Collection[int]) -> None:
        """Also the stubs of the ptrace platform, in which the sandbox's programs ran. They lead sessions of their own;
        what tells them is that they run as nobody, and that nobody here holds a pidfd of them, as of a sentry."""
        super().reap_orphans(sessions)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            held = _held_pids()
            dying = False
            for pid in _children():
                if pid not in held and _uid(pid) == _NOBODY:
                    with contextlib.suppress(ChildProcessError):
                        dying |= os.waitpid(pid, os.WNOHANG)[0] == 0
            if not dying:
                return
            time.sleep(0.002)


def _panicked(log: Path) -> bool:
    """Whether a sentry's panic log tells of one."""
    with log.open("rb") as file:
        text = file.read(_PANIC_BYTES)
        return bool(_PANIC.search(text) or file.read(1))


def runc() -> RuntimeCommand:
    """runc, which uses the kernel's namespaces."""
    return RuntimeCommand("runc", "runc")


def gvisor(platform: str, known_flags: str) -> RunscCommand:
    """runsc.

    Args:
        platform: how it intercepts system calls.
        known_flags: what ``runsc flags`` prints; releases differ.
    """
    flags = [
        _NO_NETWORK,
        f"--platform={platform}",
        # Its own overlay would keep the changes from ours.
        "--overlay2=none" if "-overlay2 " in known_flags else "--overlay=false",
        # Nobody but the sandbox changes the files while it runs: its gofer may cache.
        "--file-access-mounts=exclusive",
    ]
    filters = "-oci-seccomp" in known_flags
    if filters:
        flags.append("--oci-seccomp")
    by_program = filters and os.uname().machine == "x86_64" and ENTER.is_file()
    return RunscCommand(
        "gvisor",
        "runsc",
        tuple(flags),
        spare_pids=1024,
        spare_memory_mb=256,
        init_has_root=False,
        filters_entrants=by_program,
        enters_by_program=by_program,
        has_container_profile=False,
    )


@functools.cache
def _asks(path: str) -> bool:
    """Whether a runtime knows listeners of filters (``runc features``, from 1.1 on)."""
    done = subprocess.run([path, "features"], capture_output=True, stdin=subprocess.DEVNULL, timeout=_STEP_S)
    return b'"SCMP_ACT_NOTIFY"' in done.stdout


def runsc_flags(path: str) -> str:
    """What ``runsc flags`` prints, empty where it fails."""
    done = subprocess.run([path, "flags"], capture_output=True, stdin=subprocess.DEVNULL, timeout=_STEP_S)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _belongs(record: str, name: str) -> bool:
    # runc: a folder of the name; runsc: NAME_sandbox:NAME.state and .lock (older releases: a folder, too).
    return record == name or record.startswith((f"{name}_sandbox:{name}.", f"{name}.state", f"{name}.lock"))


def _children() -> list[int]:
    pids: list[int] = []
    for task in _entries(Path("/proc/self/task")):
        with contextlib.suppress(OSError):
            pids += map(int, (task / "children").read_text().split())
    return pids


def _held_pids() -> set[int]:
    """Processes of which this one holds a pidfd (proc(5), fdinfo)."""
    pids: set[int] = set()
    for info in _entries(Path("/proc/self/fdinfo")):
        with contextlib.suppress(OSError):
            pids.update(int(line[4:]) for line in info.read_text().splitlines() if line.startswith("Pid:"))
    return pids


def _uid(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return -1
    return int(status.partition("\nUid:")[2].split(maxsplit=1)[0])


def _session(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return -1
    return int(stat[stat.rindex(b")") + 2 :].split()[3])
