"""Delivering alerts beside a run."""

import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from affidavit.alerts.destinations import DeliveryError, Destination

# Between attempts, seconds; one more attempt than pauses.
PAUSES = (0.5, 1.0, 2.0, 4.0)
# More than any run has to say before somebody has taken it.
_MOST_WAITING = 1000


@dataclass(frozen=True)
class Undelivered:
    """Alerts that a destination did not get: its name, how many, and why the last of them."""

    destination: str
    count: int
    why: str


class Alerts:
    """Tells each destination, in a thread of its own, of what it is given.

    Args:
        destinations: where alerts are sent.
        pauses: between attempts, seconds.
    """

    def __init__(self, destinations: Sequence[Destination] = (), pauses: Sequence[float] = PAUSES) -> None:
        self._lines = [_Line(destination, pauses) for destination in destinations]

    def __len__(self) -> int:
        return len(self._lines)

    def tell(self, alert: Mapping[str, Any]) -> None:
        """Take up an alert, and return at once. ``id``, ``schema`` and ``at`` are added to it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        whole = {"schema": "affidavit.alert/v1", "id": str(uuid.uuid4()), "at": now, **alert}
        for line in self._lines:
            line.take(whole)

    def close(self, patience_s: float = 15.0) -> list[Undelivered]:
        """Wait until all is delivered or given up, so long at most, and say what was not."""
        until = time.monotonic() + patience_s
        for line in self._lines:
            line.end()
        return [failed for line in self._lines if (failed := line.wait(until))]


class _Line:
    """What waits for one destination."""

    def __init__(self, destination: Destination, pauses: Sequence[float]) -> None:
        self._destination = destination
        self._pauses = pauses
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue(_MOST_WAITING)
        self._given_up = threading.Event()
        self._lock = threading.Lock()
        self._taken = self._delivered = 0
        self._why = "there was no time left"
        # A daemon: one that hangs in a delivery can't keep the command from ending.
        self._thread = threading.Thread(target=self._work, name=f"alert-{destination.name}", daemon=True)
        self._thread.start()

    def take(self, alert: Mapping[str, Any]) -> None:
        self._taken += 1
        try:
            self._waiting.put_nowait(alert)
        except queue.Full:
            self._failed(f"more than {_MOST_WAITING} were waiting")

    def end(self) -> None:
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            self._given_up.set()

    def wait(self, until: float) -> Undelivered | None:
        self._thread.join(max(0.0, until - time.monotonic()))
        self._given_up.set()
        with self._lock:
            missing = self._taken - self._delivered
            return Undelivered(self._destination.name, missing, self._why) if missing else None

    def _work(self) -> None:
        while not self._given_up.is_set() and (alert := self._waiting.get()) is not None:
            self._deliver(alert, self._destination.send)

    def _deliver(self, alert: Mapping[str, Any], send: Callable[[Mapping[str, Any]], None]) -> None:
        for pause in (*self._pauses, None):
            try:
                send(alert)
            except DeliveryError as error:
                self._failed(str(error))
                if pause is None or not error.again or self._given_up.wait(pause):
                    return
            except Exception as error:
                # A notification library's own fault must not end the deliveries to come.
                self._failed(repr(error))
                return
            else:
                with self._lock:
                    self._delivered += 1
                return

    def _failed(self, why: str) -> None:
        with self._lock:
            self._why = " ".join(why.split())[:300]
