"""One session, from its sandbox's first process to the sealed bundle."""

import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

import pyarrow.compute as pc

from affidavit.alerts import Alerts
from affidavit.errors import AffidavitError
from affidavit.evaluation import (
    AccessOptions,
    Agent,
    Capture,
    CheckRun,
    ChooseRuntime,
    EnteredSandbox,
    Entry,
    ExecLog,
    Interrupted,
    Job,
    PolicyOptions,
    RunningCapture,
    RunOptions,
    Stage,
    Stages,
    Trial,
    Work,
    await_health,
    changed_texts,
    check_has_no_services,
    check_has_no_steps,
    open_workplace,
    prepared_run,
    take_over,
    what_failed,
)
from affidavit.events import AGENT, FIRST, Op, encode_name, is_judged
from affidavit.evidence import BundleWriter
from affidavit.sandbox import (
    Change,
    ExecSpec,
    Exit,
    LayerFiles,
    OciSandbox,
    Output,
    SandboxSpec,
    User,
    carry_over,
    diff,
)
from affidavit.session.result import ExecResult
from affidavit.session.users import find_user
from affidavit.tasks import HealthCheck, Task, load_task
from affidavit.trace import trace_batches
from affidavit.verification import Judgement

# The sandbox's first process does nothing but wait for orphans. It is root, who has no privileges there either, so that
# no command of the agent's user can end it.
_IDLE = "while :; do sleep 2147483647 & wait $!; done"
_ROOT = User(0, 0, "root", "/root")
_PATH = re.compile(r"/[^\0]{0,4095}")
_SETUP_S = 3600.0
# Phases in which the harness's commands run in a sandbox of their own, and the stage that this is.
_AFTER = ("frozen", "graded")
_SCORING = "scoring"
_AFTERMATH_S = 600.0
_FILE_BYTES = 64 << 20
_FILE_S = 120.0
_KEPT_BYTES = 4 << 20
_LAST_EXECS_S = 60.0
_UNFILTERED_GAP = (
    "a session's commands are not under the sandbox's own filter of system calls: the sentry does for them what it "
    "does for any program without privileges; a mount makes the record incomplete"
)


@dataclass(frozen=True)
class _Asked:
    """A command as a harness asks for it; None: the task's.

    Attributes:
        argv: the command.
        user, cwd, env: see `Session.exec`.
        data: its standard input.
        terminal: whether it gets a pseudo-terminal.
        keep: bytes of its output that are kept.
    """

    argv: Sequence[str]
    user: str | None = None
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    data: bytes = b""
    terminal: bool = False
    keep: int = _KEPT_BYTES


class SessionError(AffidavitError):
    """A session was asked for what can't be, at this time or at all; the text says what to do."""


def open_session(
    task: Task | Path | str,
    *,
    runtime: str = "auto",
    recorder: str = "auto",
    contract: Path | str | None = None,
    out: Path | str = "runs",
    agent: str = "session",
    access: AccessOptions | None = None,
) -> "Session":
    """A session for a task: a sandbox, recorded from outside, in which a harness runs an agent's commands one by one.

    Used as a context manager: the sandbox begins with the ``with`` and is gone after it, and so is a bundle that was
    not sealed. Needs root, because it makes sandboxes.

    Args:
        task: a task, or its folder.
        runtime: its name, or ``auto`` for the best that works here.
        recorder: its name, or ``auto`` for the best that works here.
        contract: a contract's file, in place of the task's own.
        out: the folder that gets a folder for the session, with the bundle in it.
        agent: the agent's name, for the evidence.
        access: what can be reached from the sandbox: a model (`open_models`), hosts. None: what the task allows, and no
            model.

    Raises:
        TaskError: there is no such task.
        RunError: the session can't be held as asked. Nothing was run.
    """
    opened = task if isinstance(task, Task) else load_task(Path(task))
    policy = PolicyOptions(contract=None if contract is None else str(contract))
    options = RunOptions(runtime, recorder, 1, 1, Path(out), policy, access or AccessOptions())
    return Session(opened, options, agent)


class Session:
    """A session; see `open_session`. Commands may come from any thread, also at the same time; all else is for one."""

    def __init__(self, task: Task, options: RunOptions, agent: str, choose: ChooseRuntime | None = None) -> None:
        check_has_no_steps([task], "a session")
        check_has_no_services([task], "a session")
        if not agent.strip() or agent == "oracle":
            raise SessionError(f"agent={agent!r}: name who works in the session; oracle is the task's own solution")
        self._stack = ExitStack()
        # A session is a run of one trial, planned before its sandbox is there.
        job = Job(task, Agent(agent, _IDLE))
        self._ready = self._stack.enter_context(prepared_run([job], options, choose=choose))
        self._machinery = self._ready.machinery(Alerts(()))
        self._log = ExecLog(_KEPT_BYTES)
        self._lock = threading.RLock()
        self._entered = EnteredSandbox(lambda batch: self._trial.found(self._judge.feed(batch)))
        self._scoring: EnteredSandbox | None = None
        self._numbers = 0
        self._aftermaths = 0
        self._left: Path | None = None
        self._phase = "new"
        self._live, self._after = ExitStack(), ExitStack()
        self._setup: tuple[Change, ...] = ()
        self._has_setup = False
        self._work_began: float | None = None
        self._timed_out = False
        self._work: Work | None = None
        self._unfiltered = False
        self._judgement: Judgement | None = None
        self._opened_at = 0.0
        self._why = "the session was left before it was sealed"
        self._killed = False

    def __enter__(self) -> "Session":
        if self._phase != "new":
            raise SessionError("a session is entered once: open another one")
        try:
            self._open()
        except BaseException as error:
            self._broke(error)
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._broke(error)
        self.close()

    def _broke(self, error: BaseException) -> None:
        """Keep an error as the reason why the session ends; what breaks in one that was killed is no other reason."""
        if not self._killed and not isinstance(error, Interrupted):
            self._why = what_failed(error, (self._machinery.state, self._ready.trials[0].run.folder))

    def _open(self) -> None:
        (plan,) = self._ready.trials
        self._opened = self._ready.open_folder()
        self._stack.callback(os.close, self._opened)
        self._attempt = self._ready.run.ledger.trial(plan.trial.name)
        self._trial = Trial(plan, self._machinery, self._attempt)
        self._stack.callback(self._abort)
        self._bundle = self._stack.enter_context(BundleWriter(plan.folder / "bundle"))
        self._place = self._stack.enter_context(open_workplace(self._machinery.state, plan.folder))
        self._stages = self._stack.enter_context(Stages(self._machinery))
        self._trial.learn_footprint(self._place, self._stages)
        self._judge = self._trial.new_judge()
        self._stage = self._stages.open(AGENT, self._trial.within_ms)
        self._stack.push(self._live)
        self._stack.push(self._after)
        self._ways = self._live.enter_context(self._trial.ways_out(self._place, self._stage.sandbox, host_asks=True))
        spec = self._trial.agent_spec(self._place, self._stage.sandbox, self._ways)
        self._spec = spec
        self._user, self._env, self._cwd = spec.user, spec.env, spec.cwd
        self._wall_s = spec.limits.wall_ms / 1000
        events = self._bundle.file(f"{AGENT}/events.parquet")
        first = replace(spec, first_user=_ROOT)
        held = self._stages.hold(self._stage, first, events, self._entered.watch, self._ways.names)
        running, sandbox = self._live.enter_context(held)
        self._attempt.sandbox_made()
        self._capture: RunningCapture = running
        self._sandbox: OciSandbox = sandbox
        # gVisor puts a sandbox's filter of system calls on what begins with it, and not on what its exec lets in.
        self._unfiltered = not sandbox.filters_entrants
        self._phase, self._opened_at = "setup", time.monotonic()
        began = time.monotonic_ns()
        self._entered.start(running, sandbox)
        # Its helpers get ready while the agent works. Not before: while one recorder loads its programs, the kernel
        # lets no process begin for a tenth of a second.
        self._grader = self._trial.open_grader(self._stages)
        self._log.add(
            Entry(FIRST, "setup", "harness", spec.argv, _ROOT, spec.cwd, sandbox.first_process, began, began, None)
        )
        await_health(plan.task.environment.health_checks, self._check_health, time.sleep)

    def _check_health(self, check: HealthCheck) -> CheckRun:
        self._has_setup = True
        environment = self._ready.trials[0].task.environment
        who = environment.image_user or environment.user
        done = self._run("setup", "harness", _Asked(check.argv, f"{who.uid}:{who.gid}"), check.timeout_s)
        return CheckRun(done.exit_code, done.timed_out, done.stdout + b"\n" + done.stderr)

    # --- commands ---

    def setup(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes = b"",
        timeout_s: float = _SETUP_S,
    ) -> ExecResult:
        """Run a command that gets the sandbox ready for the agent, before the agent's first. It is recorded and not
        judged; what it changes and the agent leaves as it is counts as there from the start.

        Args:
            argv: as `exec` has it.
            user: as `exec` has it.
            cwd: as `exec` has it.
            env: as `exec` has it.
            input: as `exec` has it.
            timeout_s: as `exec` has it.

        Raises:
            SessionError: the agent has begun already, or the command can't be what it is.
        """
        if self._phase != "setup":
            raise SessionError(f"setup comes before the agent's first command, and this session is in {self._phase}")
        self._has_setup = True
        return self._run("setup", "harness", _Asked(argv, user, cwd, env, input), timeout_s)

    def exec(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes = b"",
        timeout_s: float | None = None,
        terminal: bool = False,
        origin: str = AGENT,
    ) -> ExecResult:
        """Run a command of the agent's.

        Args:
            argv: the command; a name without a slash is looked up on the PATH.
            user: a name, a number, or both of user and group as in ``1000:1000``; the task's where None.
            cwd: absolute; the task's working directory where None.
            env: beside the task's environment, and in place of what has the same name there.
            input: its standard input.
            timeout_s: when it is up, the command and all that it started are killed. The task's time for the agent,
                from its first command on, is a bound too.
            terminal: give it a pseudo-terminal.
            origin: ``harness`` for what the harness does for itself meanwhile (looking at logs): it is recorded and not
                judged. What it does for the agent is the agent's. After `freeze` only the harness's commands run, in a
                sandbox of their own: over what the agent left, as grading sees it, with no process of the agent's.

        Raises:
            SessionError: the session is not open, the agent's time is up, the contract halted it, or the command can't
                be what it is.
            SandboxError: the runtime fails.
        """
        if origin not in (AGENT, "harness"):
            raise SessionError(f"origin={origin!r}: is agent or harness")
        asked = _Asked(argv, user, cwd, env, input, terminal)
        if self._phase in _AFTER:
            bound = _SETUP_S if timeout_s is None else timeout_s
            return self._run(self._phase, origin, asked, bound)
        self._begin_work()
        left = self._time_left()
        bound = left if timeout_s is None else min(timeout_s, left)
        result = self._run(AGENT, origin, asked, bound)
        self._timed_out |= result.timed_out and bound == left
        return result

    def write_file(self, path: str, content: bytes, *, user: str | None = None, origin: str = AGENT) -> None:
        """Write a file of the sandbox, whole or not at all, by a command in it: it is recorded as one, and judged as
        one unless it comes before the agent's first `exec`, as part of the setup. A link of that name is replaced and
        not followed.

        Args:
            path: absolute; its folder must be there.
            content: 64 MiB at most.
            user: as `exec` has it.
            origin: as `exec` has it.

        Raises:
            SessionError: it can't be written.
        """
        if len(content) > _FILE_BYTES:
            raise SessionError(f"{path}: {len(content)} bytes are more than {_FILE_BYTES >> 20} MiB: write it in parts")
        script = 'umask 022; t="$1.$$.new"; cat >"$t" && mv -fT -- "$t" "$1" || { rm -f -- "$t"; exit 1; }'
        argv = ("/bin/sh", "-c", script, "write_file", _checked_path(path))
        result = self._file(_Asked(argv, user, data=content), origin)
        if result.exit_code != 0:
            raise SessionError(f"{path}: can't be written: {_last_line(result)}")

    def read_file(self, path: str, *, most: int = _FILE_BYTES, user: str | None = None, origin: str = AGENT) -> bytes:
        """A file of the sandbox, read by a command in it: it is recorded and judged as `write_file` is. Links lead
        where they lead in the sandbox.

        Of a frozen session no process reads it, and no link is followed.

        Args:
            path: absolute.
            most: bytes; a larger one is an error.
            user: as `exec` has it.
            origin: as `exec` has it.

        Raises:
            SessionError: it can't be read, or is larger.
        """
        if self._phase == "frozen" and origin != "harness":
            return self._frozen_file(_checked_path(path), most)
        argv = ("head", "-c", str(most + 1), "--", _checked_path(path))
        result = self._file(_Asked(argv, user, keep=most + 1), origin)
        if result.exit_code != 0:
            raise SessionError(f"{path}: can't be read: {_last_line(result)}")
        if len(result.stdout) > most or result.truncated:
            raise SessionError(f"{path}: is larger than {most} bytes")
        return result.stdout

    def _frozen_file(self, path: str, most: int) -> bytes:
        files = LayerFiles((self._sandbox.upper(), *self._sandbox.layers))
        try:
            return files.read(encode_name(os.fsencode(path)), most)
        except OSError as problem:
            raise SessionError(f"{path}: can't be read: {problem.strerror}") from None

    def _file(self, asked: _Asked, origin: str) -> ExecResult:
        if self._phase == "setup":
            self._has_setup = True
            return self._run("setup", "harness", asked, _FILE_S)
        if self._phase in _AFTER:
            return self._run(self._phase, origin, asked, _FILE_S)
        return self._run(AGENT, origin, asked, min(_FILE_S, self._time_left()))

    def _time_left(self) -> float:
        """What is left of the agent's time, seconds. Raises SessionError where nothing is."""
        left = (self._work_began or 0.0) + self._wall_s - time.monotonic()
        if left <= 0:
            self._timed_out = True
            raise SessionError(f"the agent's time, {self._wall_s:.0f} s, is up: freeze the session")
        return left

    def _begin_work(self) -> None:
        """The agent's first command: what is there now counts as there from the start."""
        with self._lock:
            if self._phase != "setup":
                return
            self._phase = AGENT
            if self._has_setup:
                self._setup = self._changes_so_far()
                self._bundle.add("setup.json", [asdict(change) for change in self._setup])
            self._work_began = time.monotonic()

    def _changes_so_far(self) -> tuple[Change, ...]:
        # gVisor's sentry may hold what was written back.
        self._run("setup", "harness", _Asked(("sync",), cwd="/"), _FILE_S)
        return diff(self._sandbox.layer(), self._sandbox.layers)

    def _run(self, phase: str, origin: str, asked: _Asked, timeout_s: float) -> ExecResult:
        if self._phase not in ("setup", AGENT, *_AFTER):
            raise SessionError(f"no command can run: this session is {self._phase}")
        if phase in _AFTER and origin != "harness":
            raise SessionError(f"no command can run but the harness's (origin='harness'): this session is {phase}")
        if self._capture.halted and phase not in _AFTER:
            raise SessionError("the contract halted this session: freeze it")
        entered = self._open_scoring() if phase in _AFTER else self._entered
        spec = self._command(asked)
        with self._lock:
            self._numbers += 1
            number = self._numbers
        try:
            ran = entered.run(spec, number, asked.data, timeout_s, judged=is_judged(phase, origin))
        except AffidavitError:
            if self._capture.halted and phase not in _AFTER:
                raise SessionError("the contract halted this session: freeze it") from None
            raise
        end = ran.end
        if phase not in _AFTER:
            self._log.add(
                Entry(number, phase, origin, asked.argv, spec.user, spec.cwd, ran.pid, ran.began_ns, ran.ended_ns, end)
            )
        return ExecResult(
            number, end.stdout, end.stderr, _exit_code(end.code, end.signal), end.timed_out, end.dropped > 0
        )

    def _command(self, asked: _Asked) -> ExecSpec:
        """The command of the sandbox. Raises SessionError."""
        argv, env = asked.argv, asked.env or {}
        if isinstance(argv, str) or not argv or not all(isinstance(word, str) and "\0" not in word for word in argv):
            raise SessionError(f"argv={argv!r}: is a list of words, without NUL characters, at least one")
        who = self._user if asked.user is None else self._known_user(asked.user)
        own = {} if who == self._user else {"HOME": who.home, "USER": who.name, "LOGNAME": who.name}
        folder = self._cwd if asked.cwd is None else _checked_path(asked.cwd)
        return ExecSpec(tuple(argv), {**self._env, **own, **env}, folder, who, asked.terminal, asked.keep)

    def _known_user(self, name: str) -> User:
        if name in (self._user.name, str(self._user.uid), f"{self._user.uid}:{self._user.gid}"):
            return self._user
        root = (self._sandbox if self._scoring is None else self._after_sandbox).root_fd()
        try:
            found = find_user(root, name)
        finally:
            os.close(root)
        if found is None:
            raise SessionError(f"user={name!r}: the sandbox has no such user in /etc/passwd: give UID or UID:GID")
        return found

    # --- scoring ---

    def _harness_sandbox(self, name: str, layer: Path) -> tuple[Stage, SandboxSpec, Path]:
        """A sandbox for commands of the harness, over what the agent left and without a network: its stage, what it is
        made of, and where its record goes.

        Args:
            name: the stage's.
            layer: what the agent left.
        """
        stage = self._stages.open(name)
        spec = replace(self._spec, name=stage.sandbox, rootfs=(layer, *self._spec.rootfs), network="", network_owner="")
        return stage, spec, self._bundle.file(f"{name}/events.parquet")

    def _open_scoring(self) -> EnteredSandbox:
        """The sandbox of what the harness runs after the agent's work: what that left, as grading sees it."""
        with self._lock:
            if self._scoring is None:
                assert self._work is not None
                self._after_stage, spec, events = self._harness_sandbox(_SCORING, self._work.layer)
                entered = EnteredSandbox(lambda batch: False)
                first = replace(spec, first_user=_ROOT)
                held = self._stages.hold(self._after_stage, first, events, entered.watch)
                self._after_capture, self._after_sandbox = self._after.enter_context(held)
                entered.start(self._after_capture, self._after_sandbox)
                self._scoring = entered
            return self._scoring

    def _end_scoring(self) -> None:
        """End it, and put its record into the bundle."""
        with self._lock:
            if self._scoring is None:
                return
            captured = self._after_capture.end(killed_here=not self._after_sandbox.ended)
            if not self._scoring.settle(_LAST_EXECS_S):
                raise SessionError("a command does not end although its sandbox has ended")
            self._trial.keep(self._bundle, self._after_stage.name, captured)
            self._stages.ended(self._after_stage)
            self._after.close()

    # --- the end ---

    def freeze(self) -> None:
        """End the sandbox: no process of it lives after this, and what it changed stays as it is.

        Raises:
            SessionError: the session is frozen already, or was never entered.
            SandboxError, RecorderError, TraceError, EvidenceError: the machinery failed.
        """
        if self._phase not in ("setup", AGENT):
            raise SessionError(f"only a session in which commands can run is frozen, and this one is {self._phase}")
        self._begin_work()
        self._phase = "frozen"
        died = self._sandbox.ended
        captured = self._capture.end(killed_here=not died)
        self._attempt.finished()
        # Their processes are gone: what is left is to note how they ended.
        if not self._entered.settle(_LAST_EXECS_S):
            raise SessionError("a command does not end although its sandbox has ended")
        stdout, stderr = self._log.streams()
        took = round((time.monotonic() - (self._work_began or self._opened_at)) * 1000)
        how = Exit(self._log.last_code(), None, self._timed_out, captured.exit.oom, took)
        summary = captured.summary
        if self._unfiltered:
            summary = replace(summary, gaps=(*summary.gaps, _UNFILTERED_GAP))
            mounts = self._mounts()
            if mounts:
                reason = f"{mounts} mounts were made in the sandbox: names may have led elsewhere"
                summary = replace(summary, complete=False, reasons=(*summary.reasons, reason))
        captured = Capture(how, Output(stdout, stderr, self._log.dropped), summary, captured.halted)
        self._trial.keep(self._bundle, self._stage.name, captured)
        self._trial.close_ways(self._bundle, self._ways)
        execs = self._log.table()
        self._bundle.add_execs(execs)
        carried = self._place / "carried"
        own, carried_over = take_over(self._sandbox, self._judge, carried, self._setup)
        setup = {change.path: change for change in self._setup}
        texts = changed_texts(self._sandbox.upper(), self._sandbox.layers, own, setup)
        self._work = Work(captured, own, carried_over, carried, execs, texts)
        self._stages.ended(self._stage)

    def aftermath(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = _AFTERMATH_S,
    ) -> ExecResult:
        """Run a command of the harness over what the agent left; freezes the session where it is not.

        It runs in a sandbox of its own, without a network, over a copy of the frozen files. It is recorded and not
        judged. What it changes is gone with it. No process of the agent lives, but a program that the agent put in
        place of another one is run where it is asked for.

        Args:
            argv: as `exec` has it.
            user: as `exec` has it.
            cwd: as `exec` has it.
            env: as `exec` has it.
            timeout_s: when it is over, the command and all that it started are killed.

        Returns:
            What came of it; `id` counts the calls of this method.

        Raises:
            SessionError: the session was graded already, or the command can't be what it is.
            SandboxError, RecorderError, TraceError, EvidenceError: the machinery failed.
        """
        if self._phase in ("setup", AGENT):
            self.freeze()
        if self._phase != "frozen":
            raise SessionError(f"the aftermath comes before the grading, and this session is {self._phase}")
        command = self._command(_Asked(argv, user, cwd, env))
        if self._left is None:
            left = self._place / "left"
            upper, lower = self._sandbox.upper(), self._sandbox.layers
            carry_over(upper, lower, diff(upper, lower), lambda change: True, left)
            self._left = left
        self._aftermaths += 1
        stage, spec, events = self._harness_sandbox(f"aftermath-{self._aftermaths}", self._left)
        spec = replace(
            spec,
            # A name without a slash is looked up by this shell.
            argv=("/bin/sh", "-c", 'exec "$@"', "sh", *command.argv),
            env=command.env,
            cwd=command.cwd,
            user=command.user,
            limits=replace(spec.limits, wall_ms=round(timeout_s * 1000)),
        )
        with self._stages.run(stage, spec, events) as (captured, _):
            self._trial.keep(self._bundle, stage.name, captured)
        ended, output = captured.exit, captured.output
        code = _exit_code(ended.code, ended.signal)
        return ExecResult(
            self._aftermaths, output.stdout, output.stderr, code, ended.timed_out, truncated=output.dropped > 0
        )

    def _mounts(self) -> int:
        """How many mounts the record shows that were made."""
        count = 0
        for batch in trace_batches(self._bundle.file(f"{AGENT}/events.parquet")):
            made = pc.and_(
                pc.equal(batch.column("op").dictionary_decode(), Op.MOUNT), pc.greater_equal(batch["ret"], 0)
            )
            count += pc.sum(made).as_py() or 0
        return count

    def grade(self) -> Judgement:
        """Judge what the agent did and grade what it left, in clean sandboxes; freezes the session where it is not.

        Raises:
            SessionError: the session was graded already.
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
        """
        if self._phase in ("setup", AGENT):
            self.freeze()
        if self._phase != "frozen" or self._work is None:
            raise SessionError(f"a frozen session is graded, once, and this one is {self._phase}")
        self._live.close()
        self._phase = "graded"
        self._judgement = self._trial.conclude(
            self._bundle, self._place, self._stages, self._judge, self._work, self._grader
        )
        return self._judgement

    def seal(self) -> Path:
        """Sign the evidence, and the statement of the run of one trial that the session is; grades the session where it
        is not.

        Returns:
            the bundle's folder, which ``affidavit verify`` takes.

        Raises:
            SessionError: the session was sealed already.
            RunError: the run's folder can't be written.
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
        """
        if self._phase in ("setup", AGENT, "frozen"):
            self.grade()
        if self._judgement is None or self._phase != "graded":
            raise SessionError(f"a graded session is sealed, once, and this one is {self._phase}")
        self._phase = "sealed"
        self._end_scoring()
        bundle = self._trial.seal(self._bundle, self._judgement)
        result = self._ready.result((self._trial.result(self._judgement, bundle),))
        self._ready.write(self._opened, result, self._ready.run.ledger.finish())
        return bundle

    @property
    def workdir(self) -> str:
        """The task's working directory in the sandbox; known once the session is entered."""
        return self._cwd

    @property
    def model_environment(self) -> dict[str, str]:
        """Environment variables with which programs outside the sandbox ask the session's model, recorded like the
        agent's own requests: ``OPENAI_BASE_URL``, ``OPENAI_API_KEY`` and so on, and ``AFFIDAVIT_MODEL``. Known once the
        session is entered and good until it is frozen; empty where it has no model. The key is the session's own."""
        model = None if self._phase == "new" else self._ways.model
        return {} if model is None else dict(model.environment)

    @property
    def phase(self) -> str:
        """``new``, ``setup``, ``agent``, ``frozen``, ``graded``, ``sealed`` or ``closed``."""
        return self._phase

    def kill(self, why: str) -> None:
        """Kill every sandbox of the session, from any thread: what goes on in another one breaks off. `close` is still
        to be called, by the thread that the session is for.

        Args:
            why: what the ledger says of a session that was not sealed, one line.
        """
        self._why, self._killed = why, True
        self._machinery.live.stop()

    def close(self) -> None:
        """End the sandbox and remove what was not sealed; the ledger keeps that it was begun. Harmless when called
        twice."""
        if self._phase != "sealed":
            self._phase = "closed"
        # Whoever closes a session that was killed knows that.
        with suppress(Interrupted):
            self._stack.close()

    def _abort(self) -> None:
        """Enter into the ledger that the session ended without a bundle, where it did: as an error, or as the violation
        that was found before."""
        if self._trial.sealed is None:
            judgement = self._trial.broken_off(self._why)
            self._attempt.aborted(self._why, judgement.verdict.value, judgement.score)


def _checked_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise SessionError(f"{path!r}: is not an absolute path in the sandbox")
    return path


def _exit_code(code: int | None, signal: int | None) -> int:
    return code if code is not None else 128 + (signal or 9)


def _last_line(result: ExecResult) -> str:
    if result.timed_out:
        return "it took too long"
    lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else f"exit status {result.exit_code}"
