"""Carries frames between process 1 of the tests' sandbox and process 1 of the solution's.

A frame is ``struct '>IBI'``: session, kind, length of the payload, and the payload (``inside/README.md``). The relay
looks at no payload but those that are meant for the host. What comes from the solution's sandbox is hostile: a frame
that no session asked for, of another kind or too long, ends that sandbox's part, and every open session with it.
"""

import os
import selectors
import struct
import threading
from dataclasses import dataclass, field

from affidavit.sandbox import Limits, Streams

_HEAD = struct.Struct(">IBI")
_OPEN, _DATA, _CLOSE, _RESULT = 1, 2, 3, 4
_MOST_PAYLOAD = 1 << 20
# What waits for a reader that is slow; beyond it the writer has to wait.
_MOST_WAITING = 4 << 20
_MOST_SESSIONS = 10_000


@dataclass
class _Side:
    """One sandbox's pipes, as the host holds them: `source` is read, `sink` is written; -1 once closed."""

    source: int
    sink: int
    read: bytearray = field(default_factory=bytearray)
    waiting: bytearray = field(default_factory=bytearray)

    def frames(self) -> list[tuple[int, int, bytes]]:
        """The whole frames that have come. Raises ValueError for one that is too long."""
        found = []
        at = 0
        while len(self.read) - at >= _HEAD.size:
            session, kind, length = _HEAD.unpack_from(self.read, at)
            if length > _MOST_PAYLOAD:
                raise ValueError("a frame that is too long")
            end = at + _HEAD.size + length
            if len(self.read) < end:
                break
            found.append((session, kind, bytes(self.read[at + _HEAD.size : end])))
            at = end
        del self.read[:at]
        return found

    def close(self) -> None:
        for descriptor in (self.source, self.sink):
            if descriptor >= 0:
                os.close(descriptor)
        self.source = self.sink = -1
        self.waiting.clear()


class Relay:
    """The channel of one test run. A context manager: its thread has ended and its pipes are closed afterwards.

    Attributes:
        tests, solution: the standard streams for process 1 of the two sandboxes.
        broken: why the solution's sandbox was cut off; None where it was not.
    """

    def __init__(self) -> None:
        to_tests, from_host = os.pipe2(os.O_CLOEXEC)
        from_tests, to_host = os.pipe2(os.O_CLOEXEC)
        self.tests = Streams(to_tests, to_host, self._finished)
        self._tests = _Side(from_tests, from_host)
        to_solution, from_host = os.pipe2(os.O_CLOEXEC)
        from_solution, to_host = os.pipe2(os.O_CLOEXEC)
        self.solution = Streams(to_solution, to_host)
        self._solution = _Side(from_solution, from_host)
        self._results = bytearray()
        self.broken: str | None = None
        self._sessions: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> "Relay":
        for side in (self._tests, self._solution):
            os.set_blocking(side.source, False)
            os.set_blocking(side.sink, False)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        for streams in (self.tests, self.solution):
            streams.close()
        self.finish()
        for side in (self._tests, self._solution):
            side.close()
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)

    def _finished(self) -> bytes:
        """The tests' sandbox has ended: what its verifier printed, cut at `Limits.output_bytes`."""
        self.finish()
        return bytes(self._results)

    def finish(self) -> None:
        """The tests' sandbox has ended: take its last words, and end the standard input of the solution's process 1.
        Harmless when called twice."""
        if self._thread.is_alive():
            os.write(self._woken, b"\n")
            self._thread.join()

    def _run(self) -> None:
        self._selector.register(self._wake, selectors.EVENT_READ)
        while True:
            self._watch()
            for key, events in self._selector.select():
                if key.fd == self._wake:
                    self._take_last()
                    self._cut_off(None)
                    return
                side = self._tests if key.fd in (self._tests.source, self._tests.sink) else self._solution
                if events & selectors.EVENT_WRITE:
                    self._write(side)
                elif events & selectors.EVENT_READ:
                    self._read(side)

    def _watch(self) -> None:
        """Register what can go on: reading, unless the other side is behind; writing what waits."""
        wanted = {}
        for side, other in ((self._tests, self._solution), (self._solution, self._tests)):
            if side.source >= 0 and len(other.waiting) < _MOST_WAITING:
                wanted[side.source] = selectors.EVENT_READ
            if side.sink >= 0 and side.waiting:
                wanted[side.sink] = selectors.EVENT_WRITE
        for descriptor in [*self._selector.get_map()]:
            if descriptor != self._wake and descriptor not in wanted:
                self._selector.unregister(descriptor)
        for descriptor, event in wanted.items():
            if descriptor not in self._selector.get_map():
                self._selector.register(descriptor, event)

    def _take_last(self) -> None:
        """Read what the verifier said last: its sandbox has ended, and the pipe may still hold it."""
        while self._tests.source >= 0 and self._read(self._tests):
            pass

    def _read(self, side: _Side) -> bool:
        """Take what is there of a side's frames; whether anything was."""
        try:
            data = os.read(side.source, 1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._unwatch(side.source)
            os.close(side.source)
            side.source = -1
            if side is self._solution:
                self._cut_off("its process 1 ended")
            return False
        side.read += data
        try:
            frames = side.frames()
            for session, kind, payload in frames:
                if side is self._tests:
                    self._from_tests(session, kind, payload)
                else:
                    self._from_solution(session, kind, payload)
        except ValueError as error:
            side.read.clear()
            if side is self._solution:
                self._cut_off(f"it sent {error}")
        return True

    def _from_tests(self, session: int, kind: int, payload: bytes) -> None:
        if kind == _RESULT:
            self._results += payload[: Limits.output_bytes - len(self._results)]
            return
        if kind == _OPEN and len(self._sessions) < _MOST_SESSIONS and session not in self._sessions:
            self._sessions.add(session)
        elif kind == _CLOSE:
            self._sessions.discard(session)
        elif kind != _DATA or session not in self._sessions:
            return
        if self._solution.sink < 0:
            self._send(self._tests, session, _CLOSE, b"")
            self._sessions.discard(session)
            return
        self._send(self._solution, session, kind, payload)

    def _from_solution(self, session: int, kind: int, payload: bytes) -> None:
        if kind not in (_DATA, _CLOSE):
            raise ValueError(f"a frame of kind {kind}")
        if kind == _CLOSE and payload:
            raise ValueError("an end of a session with a payload")
        if session not in self._sessions:
            # A session that the tests closed meanwhile.
            return
        if kind == _CLOSE:
            self._sessions.discard(session)
        self._send(self._tests, session, kind, payload)

    def _send(self, side: _Side, session: int, kind: int, payload: bytes) -> None:
        if side.sink < 0:
            return
        side.waiting += _HEAD.pack(session, kind, len(payload)) + payload
        self._write(side)

    def _write(self, side: _Side) -> None:
        try:
            while side.waiting:
                del side.waiting[: os.write(side.sink, memoryview(side.waiting)[: 1 << 16])]
        except BlockingIOError:
            return
        except OSError:
            # Nobody reads there any more.
            self._unwatch(side.sink)
            os.close(side.sink)
            side.sink = -1
            side.waiting.clear()
            if side is self._solution:
                self._cut_off("its process 1 ended")

    def _cut_off(self, why: str | None) -> None:
        """End the solution's part: no frame goes there any more, and the tests' open sessions are closed."""
        if self._solution.sink >= 0:
            if why is not None and self.broken is None:
                self.broken = why
            self._unwatch(self._solution.sink)
            os.close(self._solution.sink)
            self._solution.sink = -1
            self._solution.waiting.clear()
        for session in [*self._sessions]:
            self._send(self._tests, session, _CLOSE, b"")
        self._sessions.clear()

    def _unwatch(self, descriptor: int) -> None:
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)
