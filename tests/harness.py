"""What the end-to-end tests share: tiny tasks, the command, trials, and a look at what a run left on the machine."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from affidavit.cli import main
from affidavit.evaluation import AccessOptions, Agent, Job, RunOptions, TrialResult, run_jobs
from affidavit.evidence import locate
from affidavit.gateway import NO_HOSTS, EgressSettings, GatewaySettings
from affidavit.sandbox import clean_stale, state_dir
from affidavit.tasks import load_task
from affidavit.trace import read_trace
from affidavit.verification import verify

AFFIDAVIT = Path(sys.executable).with_name("affidavit")
SOLVE = "echo 42 >/workspace/answer\n"
TEST = '[ "$(cat /workspace/answer)" = 42 ] && reward=1 || reward=0\necho $reward >/logs/verifier/reward.txt\n'
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class Way:
    """A runtime with a recorder."""

    runtime: str
    recorder: str

    def __str__(self) -> str:
        return f"{self.runtime}+{self.recorder}"

    @property
    def missing(self) -> str:
        """What is not installed here that it needs, empty where nothing is."""
        needed = {"runc": "runc", "gvisor": "runsc", "ptrace": "strace"}
        names = [needed[part] for part in (self.runtime, self.recorder) if part in needed]
        return ", ".join(sorted({name for name in names if shutil.which(name) is None}))


EBPF = Way("runc", "ebpf")
PTRACE = Way("runc", "ptrace")
GVISOR = Way("gvisor", "gvisor")
WAYS = (EBPF, PTRACE, GVISOR)


@dataclass(frozen=True)
class Home:
    """Affidavit's own folders, for these tests alone."""

    state: Path
    keys: Path

    @property
    def env(self) -> dict[str, str]:
        return {"AFFIDAVIT_STATE": str(self.state), "AFFIDAVIT_KEYS": str(self.keys)}


def share_images(state: Path) -> None:
    """Let a state folder of tests use the machine's images: that of /usr takes a minute and gigabytes."""
    images = state_dir() / "images"
    images.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "images").symlink_to(images)


@contextlib.contextmanager
def private_state(folder: Path) -> Iterator[Path]:
    """A state folder for sandboxes that a test makes by itself; what is left of them is removed."""
    if os.geteuid() != 0:
        pytest.skip("sandboxes need root")
    for part in ("layers", "runtimes", "sandboxes"):
        (folder / part).mkdir(mode=0o700)
    share_images(folder)
    yield folder
    clean_stale(folder)


def write_task(
    folder: Path,
    *,
    test: str = TEST,
    solve: str | None = SOLVE,
    files: Mapping[str, str] | None = None,
    contract: Mapping[str, Any] | str | None = None,
    timeout_s: float = 30,
    verifier_timeout_s: float = 30,
    memory_mb: int = 256,
    storage_mb: int = 32,
    rootfs: str = "host",
    graders: str = "",
) -> Path:
    """A task folder: "write 42 into the file answer", unless told otherwise.

    Args:
        folder: is made.
        test, solve: scripts for bash; no solution where None.
        files: further files by their path in the folder.
        contract: of contract.yaml; what every contract must say is added to a mapping.
        graders: ``[[affidavit.graders]]`` tables, and before them further keys of ``[affidavit]``.
    """
    toml = (
        f'version = "1.0"\n[agent]\ntimeout_sec = {timeout_s}\n[verifier]\ntimeout_sec = {verifier_timeout_s}\n'
        f"[environment]\nmemory_mb = {memory_mb}\nstorage_mb = {storage_mb}\n"
        f'[affidavit]\nrootfs = "{rootfs}"\n{graders}'
    )
    content = {"task.toml": toml, "instruction.md": "Write 42 into the file answer.\n"}
    content["tests/test.sh"] = f"#!/bin/bash\n{test}"
    if solve is not None:
        content["solution/solve.sh"] = f"#!/bin/bash\n{solve}"
    if isinstance(contract, Mapping):
        base = {"schema": "affidavit.contract/v1", "id": "tiny", "version": "1.0.0", "extends": ["affidavit:base"]}
        contract = json.dumps({**base, **contract})
    if contract is not None:
        content["contract.yaml"] = contract
    for name, text in {**content, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@dataclass(frozen=True)
class Ran:
    """What a call of the command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


class Command:
    """The command ``affidavit``."""

    def __init__(self, home: Home, cwd: Path) -> None:
        self._env = {**os.environ, **home.env}
        self._cwd = cwd
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: object) -> Ran:
        """In this process, which spares the time to load everything again."""
        out, err = io.StringIO(), io.StringIO()
        before, sys.argv = sys.argv, ["affidavit", *map(str, arguments)]
        status: object = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as leaving:
            status = leaving.code
        finally:
            sys.argv = before
        return Ran(status if isinstance(status, int) else int(status is not None), out.getvalue(), err.getvalue())

    def alone(self, *arguments: object, **env: str) -> Ran:
        """As a process of its own."""
        return self.program(AFFIDAVIT, *arguments, **env)

    def program(self, *arguments: object, **env: str) -> Ran:
        """Another program with the environment of these."""
        done = subprocess.run(
            [*map(str, arguments)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            cwd=self._cwd,
            env={**self._env, **env},
            timeout=120,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: object, **env: str) -> "subprocess.Popen[str]":
        """As a process of its own, in a session of its own, not waited for."""
        started = subprocess.Popen(
            [AFFIDAVIT, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._cwd,
            env={**self._env, **env},
            start_new_session=True,
        )
        self._started.append(started)
        return started

    def end(self) -> None:
        """End what was started and still runs."""
        for one in self._started:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
                one.communicate()
        reap_orphans()


class Silent:
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def doing(self, done: int, total: int, what: str) -> None:
        pass

    def finished(self, done: int, total: int, trial: TrialResult) -> None:
        pass


@dataclass(frozen=True)
class Outcome:
    """A trial, and a way to look into its bundle."""

    trial: TrialResult
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        return str(self.trial.judgement.verdict)

    @property
    def score(self) -> float | None:
        return self.trial.judgement.score

    @property
    def raw_score(self) -> float | None:
        return self.trial.judgement.raw_score

    @property
    def reasons(self) -> str:
        return "\n".join(self.trial.judgement.reasons)

    @property
    def rules(self) -> set[str]:
        return {violation.rule for violation in self.trial.judgement.violations}

    @property
    def evidence(self) -> dict[str, Any]:
        return self.trial.record.to_json()

    @property
    def bundle(self) -> Path:
        assert self.trial.bundle is not None, self.trial.judgement
        return self.trial.bundle

    def text(self, name: str) -> str:
        """A file of the bundle or of its private part."""
        return locate(self.bundle, name).read_bytes().decode("utf-8", "replace")

    def json(self, name: str) -> Any:
        return json.loads(locate(self.bundle, name).read_bytes())

    def events(self, stage: str = "agent") -> list[dict[str, Any]]:
        """The record of a stage, row by row."""
        rows: list[dict[str, Any]] = read_trace(locate(self.bundle, f"{stage}/events.parquet")).to_pylist()
        return rows

    def changed(self) -> dict[str, dict[str, Any]]:
        """The diff by path."""
        return {change["path"]: change for change in self.json("diff.json")}


@dataclass
class Trials:
    """Runs trials in this process."""

    home: Home
    folder: Path
    running: list[threading.Thread] = field(default_factory=list)

    def several(
        self,
        way: Way,
        task: Path,
        agent: Agent | str = "",
        *,
        trials: int = 1,
        model: GatewaySettings | None = None,
        allowed: EgressSettings = NO_HOSTS,
    ) -> list[Outcome]:
        """Put an agent to a task: the oracle, or a shell command. Every bundle that comes of it verifies."""
        chosen = agent if isinstance(agent, Agent) else Agent.shell(agent) if agent else Agent.named("oracle")
        progress = Silent()
        out = self.folder / f"runs-{uuid.uuid4().hex[:8]}"
        options = RunOptions(way.runtime, way.recorder, trials, 1, out, access=AccessOptions(model, allowed=allowed))
        result = run_jobs([Job(load_task(task), chosen)], options, progress)
        for trial in result.trials:
            for part in trial.steps or (trial,):
                if part.bundle is not None:
                    wrong = [check for check in verify(part.bundle).checks if not check.ok]
                    assert not wrong, (part.judgement, wrong)
        return [Outcome(trial, progress.notes) for trial in result.trials]

    def __call__(
        self,
        way: Way,
        task: Path,
        agent: Agent | str = "",
        *,
        model: GatewaySettings | None = None,
        allowed: EgressSettings = NO_HOSTS,
    ) -> Outcome:
        """One trial."""
        return self.several(way, task, agent, model=model, allowed=allowed)[0]

    @contextlib.contextmanager
    def started(self, way: Way, task: Path, agent: str) -> Iterator[Callable[[], Outcome]]:
        """A trial whose agent is at work: it must make the file /workspace/started and go on for a while."""
        done: list[Outcome | BaseException] = []

        def run() -> None:
            try:
                done.append(self(way, task, agent))
            except BaseException as error:
                done.append(error)

        def outcome() -> Outcome:
            thread.join(60)
            assert not thread.is_alive(), "the trial does not end"
            assert isinstance(done[0], Outcome), done[0]
            return done[0]

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        wait_for(lambda: done or at_work(self.home.state))
        assert not done, done
        yield outcome
        thread.join(60)


def at_work(state: Path) -> bool:
    """Whether an agent has made the file /workspace/started."""
    return any(state.glob("sandboxes/*/disk/upper/workspace/started"))


def wait_for(condition: Callable[[], Any], timeout_s: float = 30) -> Any:
    """What `condition` answers as soon as it is true."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.01)
    return answer


def wait_until_gone(look: Callable[[], list[str]], timeout_s: float = 30) -> None:
    """Wait until `look` finds nothing any more."""
    deadline = time.monotonic() + timeout_s
    while found := look():
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """``R``, ``S``, ``Z`` … as proc(5) has them, empty where the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    return chr(stat[stat.rindex(b")") + 2])


def processes(wanted: Callable[[int, bytes], bool]) -> list[int]:
    """pids of the processes that `wanted`, called with pid and command line, takes; zombies have no command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if wanted(int(entry.name), (entry / "cmdline").read_bytes()):
                    found.append(int(entry.name))
    return found


def parent(pid: int) -> int:
    """Parent of a process, 0 where it is gone."""
    return _stat(pid, 4)


def reap_orphans() -> None:
    """Wait for what has ended and was left to this process: whoever has held a sandbox adopts what runs leave that were
    killed."""
    for pid in processes(lambda pid, _: parent(pid) == os.getpid() and state_of(pid) == "Z"):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot, 0 where it is gone."""
    return _stat(pid, 22)


def _stat(pid: int, number: int) -> int:
    """A field of proc(5)'s stat, from the third on."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[number - 3])


def loaders(of: int) -> list[int]:
    """The eBPF loaders that a process has started and that still run."""
    return processes(lambda pid, line: b"affidavit-record" in line.split(b"\0")[0] and parent(pid) == of)


def ready_loaders(of: int) -> list[int]:
    """Those of them that wait for a sandbox: a loader that has one may run before all others."""
    found = []
    for pid in loaders(of):
        with contextlib.suppress(ProcessLookupError):
            if os.sched_getscheduler(pid) == os.SCHED_OTHER:
                found.append(pid)
    return found


def leftovers(state: Path, below: Path, owner: int | None = None) -> list[str]:
    """What runs left on the machine.

    Args:
        state: their state folder.
        below: a folder that their output lies in.
        owner: process that ran them; this one where None.
    """
    name = os.fsencode(state)
    found = [f"mount {line.split()[4]}" for line in _lines("/proc/self/mountinfo") if f"{state}/" in line]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if name in backing.read_bytes():
                found.append(f"loop device {backing.parent.parent.name}")
    runs = {path.name for path in below.rglob("*") if _RUN_ID.fullmatch(path.name)}
    groups = [*Path("/sys/fs/cgroup").glob("affidavit-*"), *Path("/sys/fs/cgroup").glob("*/affidavit-*")]
    found += [f"control group {group}" for group in groups if any(f"affidavit-{run}-" in group.name for run in runs)]
    for pid in processes(lambda pid, line: name in line and pid not in (os.getpid(), owner)):
        found.append(f"process {pid} {Path(f'/proc/{pid}/cmdline').read_bytes()!r}")
    found += [f"eBPF loader {pid}" for pid in loaders(owner or os.getpid())]
    for place in ("sandboxes", "trials", "runtimes/runc", "runtimes/gvisor"):
        found += [str(path) for path in (state / place).glob("*")]
    found += [str(path) for path in (state / "layers").glob(".new.*")]
    found += [str(path) for path in (state / "templates").glob("*.new")]
    found += [str(path) for path in below.rglob("*.tmp")]
    return found


def unmount_below(folder: Path) -> None:
    """Unmount whatever is still mounted in a folder."""
    points = [line.split()[4] for line in _lines("/proc/self/mountinfo") if f" {folder}/" in line]
    for point in reversed(points):
        subprocess.run(["umount", point], check=True)


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8", "surrogateescape").splitlines()
