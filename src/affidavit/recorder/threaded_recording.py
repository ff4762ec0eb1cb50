"""A recording that a thread of its own reads: what those of strace and of gVisor's sentry have in common."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa

from affidavit.events import empty_counts
from affidavit.recorder.batch_queue import BatchQueue, Clock
from affidavit.recorder.protocol import RecordSummary
from affidavit.recorder.rows import Rows
from affidavit.recorder.syscall_interpreter import Loss
from affidavit.recorder.thread_priority import raise_thread_priority


class _Transcript(Protocol):
    def finish(self) -> None: ...

    def counts(self) -> pa.Table: ...


T = TypeVar("T", bound=_Transcript)


class ThreadedRecording(ABC, Generic[T]):
    """The record of one sandbox, read by a thread that `_start` starts and whose work is `_read_to_end`.

    Args:
        recorder: name of the recorder.
        sandbox_name: the sandbox's.
        within_ms: see `affidavit.recorder.Recorder.open`.
    """

    def __init__(self, recorder: str, sandbox_name: str, within_ms: int) -> None:
        self._recorder = recorder
        self._rows = Rows()
        self._loss = Loss()
        self._transcript: T | None = None
        self._attached = threading.Event()
        self._closing = threading.Event()
        self._outbox = BatchQueue(self._rows, self._closing, within_ms / 1000)
        self._stop_at: float | None = None
        self._clock = Clock()
        self._thread = threading.Thread(target=self._read, name=f"{recorder}-{sandbox_name}", daemon=True)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Batches of events as they come; ends when what is read from has ended."""
        return self._outbox.batches()

    def stop(self) -> None:
        """The sandbox has no process left: the end of what is read from is waited for a while."""
        self._stop_at = time.monotonic()

    def _start(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()

    def _join(self) -> None:
        """End the thread; `_closing` is set."""
        if self._thread.is_alive():
            self._outbox.drop()
            self._thread.join(timeout=10)

    def _summary(self, gaps: tuple[str, ...], facts: Mapping[str, Any]) -> RecordSummary:
        return RecordSummary(
            recorder=self._recorder,
            events=self._rows.total,
            lost=self._loss.events,
            complete=not self._loss.reasons,
            reasons=tuple(self._loss.reasons),
            gaps=gaps,
            counts=self._transcript.counts() if self._transcript else empty_counts(),
            facts=facts,
        )

    def _read(self) -> None:
        raise_thread_priority()
        try:
            try:
                self._read_to_end()
            finally:
                if self._transcript is not None:
                    self._transcript.finish()
        except Exception as problem:  # A fault here must end in an incomplete record, never in a silent thread.
            self._loss.add(f"the recorder failed: {type(problem).__name__}: {problem}")
        finally:
            self._all_read()
            self._outbox.end()

    @abstractmethod
    def _read_to_end(self) -> None:
        """Read until there is no more, or `_closing` is set."""

    def _all_read(self) -> None:
        """Called in the thread once nothing more is read and the transcript is finished."""
