"""The commands of a session as they come, and what they wrote."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from affidavit.events import EXEC_SCHEMA, encode_name, is_judged
from affidavit.sandbox import ExecEnd, User

# Of one command's words; what is longer is cut here and stands whole among the events.
_MOST_WORDS_BYTES = 64 << 10


@dataclass(frozen=True)
class Entry:
    """A command that has ended.

    Attributes:
        number: from 0.
        phase: ``setup`` or ``agent``.
        origin: ``agent`` or ``harness``.
        argv, user, cwd: what ran.
        pid: as the record counts; None where it could not be run.
        began_ns, ended_ns: CLOCK_MONOTONIC.
        end: how it ended; None for the sandbox's own first process.
    """

    number: int
    phase: str
    origin: str
    argv: Sequence[str]
    user: User
    cwd: str
    pid: int | None
    began_ns: int
    ended_ns: int
    end: ExecEnd | None


class ExecLog:
    """All of them; of what they wrote it keeps so many bytes of standard output and of standard error, each.

    Args:
        bound: those bytes, of all commands together.
    """

    def __init__(self, bound: int) -> None:
        self.dropped = 0
        self._bound = bound
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._streams = (bytearray(), bytearray())
        self._last_code: tuple[int, int | None] = (-1, 0)

    def add(self, entry: Entry) -> None:
        """Take a command that has ended; from any thread."""
        end = entry.end
        with self._lock:
            kept = []
            for stream, content in zip(self._streams, (end.stdout, end.stderr) if end else (b"", b""), strict=True):
                part = content[: max(0, self._bound - len(stream))]
                stream += part
                kept.append(len(part))
            dropped = len(end.stdout) + len(end.stderr) + end.dropped - sum(kept) if end else 0
            self.dropped += dropped
            if end is not None and is_judged(entry.phase, entry.origin) and entry.number > self._last_code[0]:
                self._last_code = (entry.number, 128 + (end.signal or 9) if end.code is None else end.code)
            self._rows.append(
                {
                    "id": entry.number,
                    "phase": entry.phase,
                    "origin": entry.origin,
                    "argv": _words(entry.argv),
                    "uid": entry.user.uid,
                    "gid": entry.user.gid,
                    "cwd": _text(entry.cwd),
                    "pid": entry.pid,
                    "exit_code": end.code if end else None,
                    "signal": end.signal if end else None,
                    "timed_out": end.timed_out if end else False,
                    "began_ns": entry.began_ns,
                    "ended_ns": entry.ended_ns,
                    "stdout_bytes": kept[0],
                    "stderr_bytes": kept[1],
                    "dropped_bytes": dropped,
                }
            )

    def streams(self) -> tuple[bytes, bytes]:
        """What the commands wrote, in the order of their ends."""
        return bytes(self._streams[0]), bytes(self._streams[1])

    def last_code(self) -> int | None:
        """How the agent's last command ended, as a shell tells it; 0 where it ran none."""
        return self._last_code[1]

    def table(self) -> pa.Table:
        """Rows of EXEC_SCHEMA, in the order of their ends."""
        return pa.Table.from_pylist(self._rows, EXEC_SCHEMA)


def _text(text: str) -> str:
    return encode_name(text.encode("utf-8", "surrogateescape"))


def _words(argv: Sequence[str]) -> list[str]:
    """The words, spelled as events spell them, as many as fit."""
    left, kept = _MOST_WORDS_BYTES, []
    for word in argv:
        spelled = _text(word[:left])
        if len(spelled) > left:
            break
        kept.append(spelled)
        left -= len(spelled)
    return kept
