"""The queue between a recorder's reading thread and the reader of its batches.

For recorders that read what another program says; the eBPF recorder reads where its batches are taken.
"""

import contextlib
import math
import queue
import threading
import time
from collections.abc import Iterator

import pyarrow as pa

from affidavit.recorder.rows import Rows
from affidavit.recorder.syscall_interpreter import Loss

_WAITING = 16
_BATCH_ROWS = 8192
_CLOCK_JUMP_NS = 1_000_000_000


class BatchQueue:
    """Batches that wait to be taken: a few, so that a reader who is slow slows the writer down.

    Args:
        rows: where the writing thread gathers them.
        closing: set where nobody takes anything any more.
        within_s: how long rows may wait to be more, seconds.
    """

    def __init__(self, rows: Rows, closing: threading.Event, within_s: float) -> None:
        self._rows = rows
        self._closing = closing
        self._within_s = within_s
        self._due: float | None = None
        self._batches: queue.Queue[pa.RecordBatch | None] = queue.Queue(maxsize=_WAITING)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Batches as they come, until `end` was called."""
        while (batch := self._batches.get()) is not None:
            yield batch

    def offer(self) -> float:
        """Hand over the rows so far where they are many or have waited long enough; seconds until they will have."""
        if self._due is None and len(self._rows):
            self._due = time.monotonic() + self._within_s
        left = math.inf if self._due is None else self._due - time.monotonic()
        if left > 0 and len(self._rows) < _BATCH_ROWS:
            return left
        self.hand_over()
        return math.inf

    def hand_over(self) -> None:
        """Let the rows so far be taken, where there are any; waits for room."""
        self._due = None
        if len(self._rows):
            self._put(self._rows.take())

    def end(self) -> None:
        """Hand over what is left, and nothing after it."""
        try:
            self.hand_over()
        finally:
            self._put(None)

    def drop(self) -> None:
        """Throw away what waits, so that the writing thread comes to its end."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._batches.get_nowait()

    def _put(self, batch: pa.RecordBatch | None) -> None:
        while True:
            try:
                self._batches.put(batch, timeout=0.2)
            except queue.Full:
                if self._closing.is_set():
                    return
            else:
                return


class Clock:
    """Turns times of CLOCK_REALTIME, nanoseconds, into such of CLOCK_MONOTONIC that never go back."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()
        self._latest = 0

    def check(self, loss: Loss) -> None:
        """See whether the machine's clock was set since the last look."""
        offset = time.time_ns() - time.monotonic_ns()
        if abs(offset - self._offset) > _CLOCK_JUMP_NS:
            loss.add("the machine's clock was set while the sandbox ran", 0)
        self._offset = offset

    def monotonic(self, time_ns: int) -> int:
        """The monotonic time of a time by the machine's clock."""
        self._latest = max(self._latest, time_ns - self._offset)
        return self._latest
