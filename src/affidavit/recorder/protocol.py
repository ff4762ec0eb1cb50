"""The interface of recorders."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from affidavit.errors import AffidavitError
from affidavit.sandbox import Availability, Entrance, ExecSpec, RuntimeHooks, Sandbox

__all__ = [
    "LATER_MS",
    "LIVE_MS",
    "Availability",
    "KeepsReady",
    "RecordSummary",
    "Recorder",
    "RecorderError",
    "Recording",
    "kept_ready",
]


class RecorderError(AffidavitError):
    """The recorder could not be started; the text says what to do."""


@dataclass(frozen=True)
class RecordSummary:
    """What the recorder says of a finished record.

    Attributes:
        recorder: its name.
        events: rows that it handed over.
        lost: events known to be lost, in the kernel, on the way or here.
        complete: the end-of-stream mark came, nothing was lost, every sequence number was there.
        reasons: why it is not complete, a sentence each; empty where it is.
        gaps: what this recorder can't see here, a sentence each.
        counts: system calls by process, COUNT_SCHEMA.
        facts: versions and settings, JSON values.
    """

    recorder: str
    events: int
    lost: int
    complete: bool
    reasons: tuple[str, ...]
    gaps: tuple[str, ...]
    counts: pa.Table
    facts: Mapping[str, Any]


LIVE_MS = 20
"""How old an event may be when it is handed over to one who acts on it, milliseconds."""
LATER_MS = 200
"""Likewise where nobody does before the end."""


class Recording(Protocol):
    """The record of one sandbox. Order of calls: hooks, (sandbox.create), attach, (sandbox.start), batches to its end,
    with `stop` from another thread after the sandbox's last process is gone, then `summary`, then `close`."""

    def hooks(self) -> RuntimeHooks:
        """What the runtime must be started with. Whatever can be loaded beforehand is loading by then."""

    def attach(self, sandbox: Sandbox, init_pid: int) -> None:
        """Begin. Returns when everything the sandbox does from now on will be in the record.

        Raises:
            RecorderError: it can't be.
        """

    def entrance(self, command: ExecSpec) -> Entrance:
        """The way in for a command that is about to enter the sandbox, which is started and runs. What it and its
        children do is recorded like what began in the sandbox: the first event is the execution of its program. A
        process that enters otherwise makes the record incomplete. May be called from any thread, until `stop`.

        Args:
            command: what the runtime will run.
        """

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Batches of EVENT_SCHEMA as they come; ends after `stop` when all is drained, or when the recorder died. Never
        raises for what a sandbox sends."""

    def stop(self) -> None:
        """Say that the sandbox has no process left: drain to the end-of-stream mark and end `batches`."""

    def summary(self) -> RecordSummary:
        """Only after `batches` has ended."""

    def close(self) -> None:
        """Remove helpers, programs, sockets, files. Harmless when called twice."""


class Recorder(Protocol):
    """A way of recording."""

    name: str

    def available(self) -> Availability:
        """Whether it works here: tried, not guessed, and cheap enough for each run."""

    def open(self, sandbox_name: str, within_ms: int = LIVE_MS) -> Recording:
        """A new recording; helpers begin to start.

        Args:
            sandbox_name: the sandbox's.
            within_ms: a batch is handed over so long after its first event, or sooner; each batch costs something.

        Raises:
            RecorderError: it can't be started.
        """


@runtime_checkable
class KeepsReady(Protocol):
    """A recorder whose helpers take long to start and can be got ready before a sandbox wants them. Each serves one
    recording."""

    def keep_ready(self, recordings: int) -> None:
        """Keep the helpers of so many recordings ready from now on, until `let_go`. Returns while they are starting;
        where they can't be started, `open` says so."""

    def let_go(self) -> None:
        """End those that nobody took. Harmless when called twice."""


@contextmanager
def kept_ready(recorder: Recorder, recordings: int) -> Iterator[None]:
    """Keep the helpers of so many recordings ready as long as the ``with`` lasts, where the recorder can."""
    if not isinstance(recorder, KeepsReady):
        yield
        return
    recorder.keep_ready(recordings)
    try:
        yield
    finally:
        recorder.let_go()
