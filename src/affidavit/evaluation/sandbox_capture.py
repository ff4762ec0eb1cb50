"""One sandbox from its first instruction to its frozen end, with its record on disk."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from affidavit.events import with_host_names
from affidavit.recorder import Recording, RecordSummary, raise_thread_priority
from affidavit.sandbox import Entrance, ExecSpec, Exit, Output, Sandbox
from affidavit.trace import TraceWriter

HostNames = Callable[[], Mapping[str, str]]
"""Host names by the addresses that stand for them in a sandbox, so far."""

# Wall clock against monotonic clock: what NTP slews in a trial stays far below this.
_CLOCK_JUMP_NS = 2_000_000_000
# A recorder that says nothing for so long after the sandbox's end, seconds, says nothing any more.
_SILENT_S = 30.0


@dataclass(frozen=True)
class Capture:
    """What came of a sandbox.

    Attributes:
        exit: how its command ended.
        output: what it wrote to its standard streams.
        summary: what the recorder says of the record.
        halted: the watcher had it killed.
        solution: of a sandbox that graded, how the one ended that held the solution meanwhile; None: there was none.
    """

    exit: Exit
    output: Output
    summary: RecordSummary
    halted: bool
    solution: Exit | None = None


def _clock_offset_ns() -> int:
    return time.time_ns() - time.monotonic_ns()


def capture(
    sandbox: Sandbox,
    recording: Recording,
    events: Path,
    *,
    timeout_s: float,
    cpu_ms: int | None = None,
    watch: Callable[[pa.RecordBatch], bool] | None = None,
    names: HostNames | None = None,
) -> Capture:
    """Create and start a sandbox under a recorder, write its record to `events`, and wait until nothing of it lives.

    The recorder has acknowledged before the first instruction of the command. A sandbox whose record breaks off is
    killed at once: nothing may run unseen.

    Args:
        sandbox: not created yet; the caller closes it.
        recording: just opened; the caller closes it.
        events: the Parquet file to write.
        timeout_s: wall time, seconds; the sandbox is killed when it is up.
        cpu_ms: the sandbox's bound on the CPU time of a process: the kernel too ends what is over it with SIGKILL.
        watch: sees each batch as it comes; True kills the sandbox.
        names: of the hosts that it can reach, which its record is to bear; None: it can reach none.

    Raises:
        SandboxError, RecorderError: it could not be made or recorded.
        TraceError: the record could not be written.
    """
    running = RunningCapture(sandbox, recording, events, cpu_ms=cpu_ms, watch=watch, names=names)
    running.start()
    try:
        sandbox.wait(timeout_s)
    except BaseException:
        running.stop()
        raise
    return running.end()


class RunningCapture:
    """A sandbox that runs under a recorder, from its first instruction on.

    Args:
        sandbox, recording, events, cpu_ms, watch, names: as `capture` has them.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        recording: Recording,
        events: Path,
        *,
        cpu_ms: int | None = None,
        watch: Callable[[pa.RecordBatch], bool] | None = None,
        names: HostNames | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._recording = recording
        self._cpu_ms = cpu_ms
        self._watch = watch
        self._names = names
        self._halted = threading.Event()
        self._stopping = threading.Event()
        self._failure: list[BaseException] = []
        self._writer = TraceWriter(events)
        self._drainer = threading.Thread(target=self._drain, name=f"record-{sandbox.name}", daemon=True)
        self._offset = 0

    @property
    def halted(self) -> bool:
        """Whether the watcher had it killed."""
        return self._halted.is_set()

    def start(self) -> int:
        """Create and start the sandbox; the recorder has acknowledged before the first instruction of its command.

        Returns:
            its first process, as the machine counts.

        Raises:
            SandboxError, RecorderError: it could not be made or recorded.
        """
        init = self._sandbox.create(self._recording.hooks())
        self._recording.attach(self._sandbox, init)
        self._offset = _clock_offset_ns()
        self._drainer.start()
        try:
            self._sandbox.start()
        except BaseException:
            self.stop()
            raise
        return init

    def entrance(self, command: ExecSpec) -> Entrance:
        """The recorder's, for a command that is about to enter the sandbox."""
        return self._recording.entrance(command)

    def halt(self) -> None:
        """Kill the sandbox, as the watcher may by its answer."""
        if not self._halted.is_set():
            self._halted.set()
            self._sandbox.kill()

    def _drain(self) -> None:
        raise_thread_priority()
        try:
            with self._writer:
                for recorded in self._recording.batches():
                    # Asked for now: an address stands for a name before anybody in the sandbox can know it.
                    batch = recorded if self._names is None else with_host_names(recorded, self._names())
                    # To the end, also after it has said to halt: what else there was counts too.
                    if self._watch is not None and self._watch(batch):
                        self.halt()
                    # A disk may be slow, and a halt must not wait for it.
                    self._writer.write(batch)
        except BaseException as error:
            self._failure.append(error)
        finally:
            if not self._stopping.is_set():
                # The record ended while the sandbox was still running, or could not be written.
                with suppress(Exception):
                    self._sandbox.kill()

    def stop(self) -> None:
        """Kill what lives of the sandbox and wait for the end of its record."""
        try:
            self._sandbox.kill()
        finally:
            self._stopping.set()
            self._recording.stop()
            _await_end(self._drainer, self._recording, self._writer)

    def end(self, *, killed_here: bool = False) -> Capture:
        """Likewise, and say what came of it.

        Args:
            killed_here: its end by SIGKILL is the caller's will.

        Raises:
            SandboxError, RecorderError, TraceError: it could not be recorded, or its record not be written.
        """
        self.stop()
        if self._failure:
            raise self._failure[0]
        writer = self._writer
        jump = abs(_clock_offset_ns() - self._offset)
        summary = self._recording.summary()
        if not (writer.continuous and writer.events == summary.events):
            reason = f"{writer.events} events were written of {summary.events}, or their sequence has a gap"
            summary = replace(summary, complete=False, reasons=(*summary.reasons, reason))
        if jump > _CLOCK_JUMP_NS:
            reason = f"the machine's clock jumped by {jump / 1e9:.1f} s during the record"
            summary = replace(summary, complete=False, reasons=(*summary.reasons, reason))
        how = self._sandbox.exit()
        if how.code is None and how.signal is None:
            summary = replace(summary, complete=False, reasons=(*summary.reasons, "the runtime died under the sandbox"))
        elif summary.complete and not (self.halted or killed_here) and _killed_from_outside(how, self._cpu_ms):
            summary = replace(summary, complete=False, reasons=("something outside of the sandbox killed it",))
        return Capture(how, self._sandbox.output(), summary, self.halted)


def _await_end(drainer: threading.Thread, recording: Recording, writer: TraceWriter) -> None:
    """Wait until the record is drained; a recorder that stands still is ended, which leaves the record incomplete."""
    before = -1
    while drainer.is_alive() and writer.events > before:
        before = writer.events
        drainer.join(_SILENT_S)
    if drainer.is_alive():
        recording.close()
        drainer.join()


def _killed_from_outside(how: Exit, cpu_ms: int | None) -> bool:
    """Whether a sandbox was killed though nobody ended it. No process in it can kill its first one
    (pid_namespaces(7))."""
    out_of_time = cpu_ms is not None and how.duration_ms * (os.cpu_count() or 1) >= cpu_ms
    return how.signal == signal.SIGKILL and not (how.oom or how.timed_out or out_of_time)
