"""A running sandbox that commands enter, and the command that each of its processes belongs to."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from affidavit.evaluation.sandbox_capture import RunningCapture
from affidavit.events import FIRST, ExecTracker
from affidavit.sandbox import Entrance, ExecEnd, ExecSpec, OciSandbox, RuntimeHooks


@dataclass(frozen=True)
class Ran:
    """A command that has ended.

    Attributes:
        end: how.
        pid: as the record counts; None where it could not be run.
        began_ns, ended_ns: CLOCK_MONOTONIC.
    """

    end: ExecEnd
    pid: int | None
    began_ns: int
    ended_ns: int


class EnteredSandbox:
    """A sandbox under a recorder. Commands may come from any thread, also at the same time.

    Args:
        judge: sees what judged commands did, in the record's order, once it is known which processes have entered for
            which commands; True ends the sandbox.
        first_judged: whether what the sandbox's first process does is judged.
    """

    def __init__(self, judge: Callable[[pa.RecordBatch], bool], *, first_judged: bool = False) -> None:
        self._judge = judge
        self._first_judged = first_judged
        self._tracker = ExecTracker()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._held: list[pa.RecordBatch] = []
        self._entering = 0
        self._running = 0

    def start(self, capture: RunningCapture, sandbox: OciSandbox) -> None:
        """Let the sandbox's first process go, which is no command's.

        Raises:
            SandboxError, RecorderError: it could not be made or recorded.
        """
        self._capture, self._sandbox = capture, sandbox
        self._hold()
        try:
            capture.start()
            self._tracker.enter(FIRST, sandbox.first_process, judged=self._first_judged)
        finally:
            self._release()

    def run(self, spec: ExecSpec, number: int, data: bytes, timeout_s: float, *, judged: bool) -> Ran:
        """Run a command to its end.

        Args:
            spec: what runs.
            number: the command's.
            data: its standard input.
            timeout_s: when it is up, the command and all that it started are killed.
            judged: whether what it does is.

        Raises:
            SandboxError: the runtime fails.
        """
        with self._lock:
            self._running += 1
        entrance = _Entrance(self, self._capture.entrance(spec), number, judged=judged)
        began = time.monotonic_ns()
        try:
            end = self._sandbox.exec(
                spec, data=data, timeout_s=timeout_s, entrance=entrance, tree=lambda pid: self._alive(number)
            )
            return Ran(end, entrance.pid, began, time.monotonic_ns())
        finally:
            entrance.let_go()
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def settle(self, patience_s: float) -> bool:
        """Wait until all commands are known to have ended and what they did was seen; False where that takes longer."""
        with self._changed:
            settled = self._changed.wait_for(lambda: self._running == 0, patience_s)
            self._see_held()
            return settled

    def watch(self, batch: pa.RecordBatch) -> bool:
        """Take a batch of the record; True ends the sandbox."""
        with self._lock:
            self._held.append(batch)
            return self._see_held()

    def _see_held(self) -> bool:
        if self._entering:
            return False
        held, self._held = self._held, []
        halt = False
        for batch in held:
            judged = self._tracker.judged(batch)
            if judged.num_rows:
                halt |= self._judge(judged)
        return halt

    def _alive(self, number: int) -> set[int]:
        with self._lock:
            return self._tracker.alive(number)

    def _hold(self) -> None:
        """Hold batches back: they may show a process before it is known which command it belongs to."""
        with self._lock:
            self._entering += 1

    def _release(self, number: int = FIRST, pid: int | None = None, *, judged: bool = False) -> None:
        """It is known: the process has entered, or `pid` is None."""
        with self._lock:
            if pid is not None:
                self._tracker.enter(number, pid, judged=judged)
            self._entering -= 1
            halt = self._see_held()
        if halt:
            self._capture.halt()


class _Entrance:
    """One command's way into the sandbox: the recorder's, and what must be known here."""

    def __init__(self, sandbox: EnteredSandbox, inner: Entrance, number: int, *, judged: bool) -> None:
        self.pid: int | None = None
        self._sandbox = sandbox
        self._inner = inner
        self._number = number
        self._judged = judged
        self._holding = False

    def hooks(self) -> RuntimeHooks:
        self._sandbox._hold()
        self._holding = True
        return self._inner.hooks()

    def entered(self, launcher: int, pid: int | None) -> None:
        self._inner.entered(launcher, pid)
        self.pid = pid
        if self._holding:
            self._holding = False
            self._sandbox._release(self._number, pid, judged=self._judged)

    def let_go(self) -> None:
        """Where the runtime never came so far."""
        if self._holding:
            self._holding = False
            self._sandbox._release()
