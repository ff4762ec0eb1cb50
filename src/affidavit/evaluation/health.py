"""Health checks: what must succeed in a sandbox before its agent begins.

The sandbox is there, with what its image's entrypoint started, and its first process waits at a pipe. The checks enter
as commands of the harness: they are recorded and not judged, and what they leave running is theirs. No code of an
agent's is in the sandbox by then. Then the first process reads a line, and becomes the agent.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import pyarrow as pa

from affidavit.evaluation.entered import EnteredSandbox, Ran
from affidavit.evaluation.exec_log import Entry, ExecLog
from affidavit.evaluation.sandbox_capture import Capture, HostNames, RunningCapture
from affidavit.events import AGENT, FIRST
from affidavit.recorder import Recording
from affidavit.sandbox import Change, ExecEnd, ExecSpec, Limits, OciSandbox, SandboxError, Streams, User, diff
from affidavit.tasks import HealthCheck, Task

HELD = ("/bin/sh", "-c", 'read -r _ && exec "$@" </dev/null', "sh")
"""What a command is put behind that is to wait until its sandbox is healthy."""

# A trial's reason has 300 letters.
_MOST_SHOWN = 80
_MOST_SAID = 100
_LOOK_S = 0.05
_SYNC_S = 120.0
_SETTLE_S = 60.0


@dataclass(frozen=True)
class CheckRun:
    """One attempt of a check.

    Attributes:
        code: exit status; None where a signal ended it.
        timed_out: it was killed, its time was up.
        said: what it wrote.
    """

    code: int | None
    timed_out: bool
    said: bytes

    @property
    def end(self) -> str:
        """How it ended, and its last words."""
        status = "a signal" if self.code is None else f"exit status {self.code}"
        how = "it took too long" if self.timed_out else status
        said = " ".join(self.said.decode("utf-8", "replace").split())[-_MOST_SAID:]
        return f"{how}: {said}" if said else f"{how}, and it said nothing"


def await_health(
    checks: Sequence[HealthCheck],
    attempt: Callable[[HealthCheck], CheckRun],
    pause: Callable[[float], None],
) -> None:
    """Run checks, one after the other, until each has succeeded once.

    Args:
        checks: the checks.
        attempt: runs one, once.
        pause: lets so many seconds pass.

    Raises:
        SandboxError: one never did; and what the others raise.
    """
    for check in checks:
        began, failures = time.monotonic(), 0
        while True:
            early = time.monotonic() - began < check.start_period_s
            ran = attempt(check)
            if ran.code == 0 and not ran.timed_out:
                break
            failures += not early
            if failures >= check.retries:
                shown = " ".join(check.command.split())[:_MOST_SHOWN]
                times = "1 attempt" if check.retries == 1 else f"{check.retries} attempts in a row"
                raise SandboxError(
                    f"{check.place}: the sandbox did not become healthy: {shown}: failed in {times}; the last: "
                    f"{ran.end}"
                )
            pause(check.start_interval_s if early else check.interval_s)


class HeldStart:
    """The start of a sandbox whose command, put behind `HELD`, waits for the checks.

    Attributes:
        streams: for the sandbox.
        setup: once it has begun: what was changed until then, and by no agent in a step before.
    """

    def __init__(self, task: Task, watch: Callable[[pa.RecordBatch], bool]) -> None:
        """
        Args:
            task: with its checks.
            watch: sees all of the record but what the checks did; True ends the sandbox.
        """
        self._checks = task.environment.health_checks
        user = task.environment.image_user or task.environment.user
        self._user = User(*astuple(user))
        self._entered = EnteredSandbox(watch, first_judged=True)
        self._log = ExecLog(Limits.output_bytes)
        self._numbers = FIRST
        self.setup: tuple[Change, ...] = ()
        reading, self._gate = os.pipe2(os.O_CLOEXEC)
        self.streams = Streams(reading)

    @classmethod
    def of(cls, task: Task, watch: Callable[[pa.RecordBatch], bool] = lambda batch: False) -> "HeldStart | None":
        """The start that a task wants; None where it has no checks."""
        return cls(task, watch) if task.environment.health_checks else None

    def capture(
        self,
        sandbox: OciSandbox,
        recording: Recording,
        events: Path,
        *,
        timeout_s: float,
        cpu_ms: int | None,
        names: HostNames | None,
    ) -> Capture:
        """As `affidavit.evaluation.capture`; `timeout_s` counts from the agent's begin.

        Raises:
            SandboxError: the sandbox did not become healthy; and what `capture` raises.
        """
        running = RunningCapture(sandbox, recording, events, cpu_ms=cpu_ms, watch=self._entered.watch, names=names)
        began = time.monotonic_ns()
        self._entered.start(running, sandbox)
        try:
            await_health(self._checks, lambda check: self._attempt(sandbox, check), lambda s: _pause(sandbox, s))
            if sandbox.runtime == "gvisor":
                # gVisor's sentry may hold what was written back.
                self._run(sandbox, ("sync",), _SYNC_S)
            begins_with = {change.path: change for change in sandbox.began_with}
            found = diff(sandbox.layer(), sandbox.layers)
            self.setup = tuple(one for one in found if begins_with.get(one.path) != one)
            sandbox.count_from_now()
            # Where its reader is gone, the sandbox has ended.
            with suppress(BrokenPipeError):
                os.write(self._gate, b"\n")
            sandbox.wait(timeout_s)
        except BaseException:
            running.stop()
            raise
        finally:
            os.close(self._gate)
        captured = running.end()
        if not self._entered.settle(_SETTLE_S):
            raise SandboxError("a health check does not end although its sandbox has ended")
        spec, how, output = sandbox.spec, captured.exit, captured.output
        end = ExecEnd(
            how.code, how.signal, how.timed_out, how.duration_ms, output.stdout, output.stderr, output.dropped
        )
        ended = time.monotonic_ns()
        self._log.add(
            Entry(FIRST, AGENT, AGENT, spec.argv, spec.user, spec.cwd, sandbox.first_process, began, ended, end)
        )
        return captured

    def execs(self) -> pa.Table:
        """The checks and the agent as commands, EXEC_SCHEMA; once it has ended."""
        return self._log.table()

    def _attempt(self, sandbox: OciSandbox, check: HealthCheck) -> CheckRun:
        end = self._run(sandbox, check.argv, check.timeout_s).end
        return CheckRun(end.code, end.timed_out, end.stdout + b"\n" + end.stderr)

    def _run(self, sandbox: OciSandbox, argv: tuple[str, ...], timeout_s: float) -> Ran:
        _see_alive(sandbox)
        self._numbers += 1
        spec, who = sandbox.spec, self._user
        own = {} if who == spec.user else {"HOME": who.home, "USER": who.name, "LOGNAME": who.name}
        command = ExecSpec(argv, {**spec.env, **own}, spec.cwd, who)
        ran = self._entered.run(command, self._numbers, b"", timeout_s, judged=False)
        # What the agent wrote is in the bundle, and nothing else beside it.
        said = len(ran.end.stdout) + len(ran.end.stderr)
        end = replace(ran.end, stdout=b"", stderr=b"", dropped=ran.end.dropped + said)
        entry = Entry(self._numbers, "setup", "harness", argv, who, spec.cwd, ran.pid, ran.began_ns, ran.ended_ns, end)
        self._log.add(entry)
        return ran


def _pause(sandbox: OciSandbox, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        _see_alive(sandbox)
        time.sleep(min(left, _LOOK_S))


def _see_alive(sandbox: OciSandbox) -> None:
    if sandbox.ended:
        raise SandboxError("the sandbox ended before it was healthy: its entrypoint may have ended it")
