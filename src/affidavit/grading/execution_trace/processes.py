"""The processes of a record: their descent, and the programs that ran in them."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import Op

_NEVER = 1 << 62
# Forks between a process and one that it descends from; nothing honest goes deeper.
_DEEPEST = 1000


@dataclass(frozen=True)
class Execution:
    """A process began to run a program.

    Attributes:
        seq: the event.
        process: index of the process.
        exe: the executable, as the kernel tells it; empty where it did not.
        argv: its command line; cut where it was too long for the record.
    """

    seq: int
    process: int
    exe: str
    argv: tuple[str, ...]


@dataclass
class Lived:
    """A process from its start to its end; a pid that is used again is another one.

    Attributes:
        pid: as recorded.
        parent: index of the process that forked it; None where the record does not tell.
        started: ``seq`` of the fork, or of the first event.
        ended: ``seq`` of its end; beyond every event where it did not end.
        exit_code: None where it did not end, or where a signal ended it.
        executions: what it ran, in order.
        children: indices, in order.
    """

    pid: int
    parent: int | None
    started: int
    ended: int = _NEVER
    exit_code: int | None = None
    executions: list[Execution] = field(default_factory=list)
    children: list[int] = field(default_factory=list)


class _Row(TypedDict):
    """A fork, an execution or an end, as EVENT_SCHEMA has it."""

    seq: int
    pid: int
    tid: int
    ppid: int
    op: str
    ret: int
    flags: int
    exe: str | None
    argv: list[str] | None


class RecordedProcesses:
    """The processes of a record.

    Attributes:
        processes: in order of appearance.
    """

    def __init__(self, events: pa.Table) -> None:
        """
        Args:
            events: EVENT_SCHEMA, in order.
        """
        self.processes: list[Lived] = []
        self._of_pid: dict[int, list[int]] = {}
        live: dict[int, int] = {}
        for row in _comings_and_goings(events):
            seq, pid, ppid = row["seq"], row["pid"], row["ppid"]
            index = live.get(pid)
            if index is None:
                index = live[pid] = self._born(pid, live.get(ppid), seq)
            process = self.processes[index]
            match row["op"]:
                case Op.FORK if row["ret"] > 0:
                    child = live.get(row["ret"])
                    # The child's first event may stand before its parent's.
                    if child is None or self.processes[child].parent != index:
                        live[row["ret"]] = self._born(row["ret"], index, seq)
                case Op.EXEC if row["ret"] >= 0:
                    argv = tuple(row["argv"] or ())
                    process.executions.append(Execution(seq, index, row["exe"] or "", argv))
                case Op.EXIT if row["tid"] == pid:
                    process.ended = seq
                    process.exit_code = row["ret"] if not row["flags"] else None
                    del live[pid]

    def _born(self, pid: int, parent: int | None, seq: int) -> int:
        self.processes.append(Lived(pid, parent, seq))
        index = len(self.processes) - 1
        self._of_pid.setdefault(pid, []).append(index)
        if parent is not None:
            self.processes[parent].children.append(index)
        return index

    def at(self, pid: int, seq: int) -> int | None:
        """The process that had a pid at an event; None where the record shows none."""
        indices = self._of_pid.get(pid, [])
        place = bisect_right(indices, seq, key=lambda index: self.processes[index].started)
        return indices[place - 1] if place else (indices[0] if indices else None)

    def executions(self) -> Iterator[Execution]:
        """Every program that was run, by process."""
        for process in self.processes:
            yield from process.executions

    def above(self, process: int, seq: int) -> Iterator[tuple[int, int]]:
        """A process and those that it descends from, each with the event up to which what it did concerns `process`:
        `seq` for itself, and when its line was forked off for those above. It goes 1,000 processes up at most."""
        current: int | None = process
        for _ in range(_DEEPEST):
            if current is None:
                return
            yield current, seq
            seq = self.processes[current].started
            current = self.processes[current].parent

    def alive_below(self, process: int, since: int, at: int) -> bool:
        """Whether a process, or one that it forked after the event `since`, had not ended at the event `at`."""
        waiting = [process]
        while waiting:
            index = waiting.pop()
            lived = self.processes[index]
            if lived.ended > at:
                return True
            waiting += [child for child in lived.children if since < self.processes[child].started < at]
        return False


def _comings_and_goings(events: pa.Table) -> list[_Row]:
    ops = pa.array([Op.FORK, Op.EXEC, Op.EXIT], pa.utf8())
    rows = events.filter(pc.is_in(pc.cast(events["op"], pa.utf8()), value_set=ops))
    found: list[_Row] = rows.select([*_Row.__annotations__]).to_pylist()
    return found
