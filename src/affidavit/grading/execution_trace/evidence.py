"""What a record says for or against a check: pure functions of the record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from affidavit.contracts import PathMatcher, escape
from affidavit.events import Op
from affidavit.grading.execution_trace.processes import Execution, RecordedProcesses
from affidavit.grading.execution_trace.settings import OrderCheck, Program, RanCheck, WrittenCheck

READS = (Op.OPEN_READ,)
WRITES = (Op.OPEN_WRITE, Op.CREATE, Op.TRUNCATE)
_MOVES = (Op.RENAME, Op.LINK)
_LEAVES = (Op.UNLINK,)
_MOST_SHOWN = 20
_MOST_MOVES = 100
_MOST_NAMES = 100


class Touch(TypedDict):
    """An operation on a file, as EVENT_SCHEMA has it."""

    seq: int
    pid: int
    op: str
    path: str
    path2: str


@dataclass(frozen=True)
class CheckResult:
    """What was found.

    Attributes:
        score: from 0 to 1.
        message: a sentence.
        events: ``seq`` of those that prove it.
    """

    score: float
    message: str
    events: tuple[int, ...] = ()


@dataclass
class Record:
    """The agent's record and its processes."""

    events: pa.Table
    _runs: dict[Program, list[Execution]] = field(default_factory=dict)

    @cached_property
    def lineage(self) -> RecordedProcesses:
        return RecordedProcesses(self.events)

    @cached_property
    def _done(self) -> pa.Table:
        """What succeeded and moves data: path and path2 as plain text."""
        names = [str(op) for op in (*READS, *WRITES, *_MOVES, *_LEAVES)]
        op = pc.cast(self.events["op"], pa.utf8())
        keep = pc.and_(pc.is_in(op, value_set=pa.array(names, pa.utf8())), pc.greater_equal(self.events["ret"], 0))
        rows = self.events.select(["seq", "pid", "op", "path", "path2"]).filter(keep)
        for name in ("op", "path", "path2"):
            rows = rows.set_column(rows.schema.get_field_index(name), name, pc.cast(rows[name], pa.utf8()))
        return rows

    def touched(self, patterns: Sequence[str], ops: Sequence[Op], column: str = "path") -> list[Touch]:
        """The successful operations on files that match one of the patterns: each distinct path is matched once."""
        rows = self._done
        rows = rows.filter(pc.is_in(rows["op"], value_set=pa.array([str(op) for op in ops], pa.utf8())))
        distinct = pc.unique(rows[column]).drop_null()
        wanted = distinct.filter(pa.array(PathMatcher(patterns).mask(distinct)))
        found: list[Touch] = rows.filter(pc.is_in(rows[column], value_set=wanted)).to_pylist()
        return found

    def touched_elsewhere(self, path: str, since: int, before: int) -> int | None:
        """An event by which a file changes although nothing is done to its name after the event `since` and before
        `before`: a folder above it is moved away or another put there, or it has one more name (a hard link), by
        which it is opened for writing or moved on, whenever that is. None where there is none."""
        above = [escape(folder) for folder in _folders(path)]
        moved = [*self.touched(above, (Op.RENAME,)), *self.touched(above, (Op.RENAME,), "path2")] if above else []
        events: list[int] = [row["seq"] for row in moved if since < row["seq"] < before]
        here = (escape(path),)
        names: dict[str, int] = {row["path"]: row["seq"] for row in self.touched(here, (Op.LINK,), "path2")}
        names |= {row["path2"]: row["seq"] for row in self.touched(here, (Op.LINK,)) if row["seq"] != before}
        if len(names) > _MOST_NAMES:
            return max(names.values())
        for name, linked in names.items():
            rows = self.touched((escape(name),), (*WRITES, *_MOVES)) if name != path else []
            events += [row["seq"] for row in rows if row["seq"] > linked]
        return min(events, default=None)

    def runs(self, program: Program) -> list[Execution]:
        """Every run of a program that did all that is asked of it."""
        if program not in self._runs:
            self._runs[program] = self._find(program)
        return self._runs[program]

    def _find(self, program: Program) -> list[Execution]:
        executions = list(self.lineage.executions())
        exes = sorted({execution.exe for execution in executions if execution.exe})
        mask = PathMatcher(program.exe).mask(exes)
        right = {exe for exe, hit in zip(exes, mask, strict=True) if hit}
        runs = [
            run for run in executions if run.exe in right and _called(run, program.argv) and self._ended(run, program)
        ]
        for patterns, ops in ((program.reads, READS), (program.writes, WRITES)):
            for pattern in patterns:
                kept = self.within(runs, self._opened((pattern,), ops))
                runs = [run for run in runs if run in kept]
        return runs

    def _opened(self, patterns: Sequence[str], ops: Sequence[Op]) -> list[Touch]:
        found = self.touched(patterns, ops)
        if ops is WRITES:
            found += self.touched(patterns, _MOVES, "path2")
        return found

    def _ended(self, run: Execution, program: Program) -> bool:
        lived = self.lineage.processes[run.process]
        if program.exit_code is None:
            return True
        # The code is of what the process ran last.
        return lived.executions[-1] is run and lived.exit_code == program.exit_code

    def within(self, runs: Sequence[Execution], events: Iterable[Touch]) -> dict[Execution, int]:
        """Of `runs` those in which one of `events` took place, with the first one."""
        started = _by_process(runs)
        first: dict[Execution, int] = {}
        for event in events:
            for run in self._around(event, started):
                first.setdefault(run, event["seq"])
            if len(first) == len(runs):
                break
        return first

    def within_each(self, runs: Sequence[Execution], events: Iterable[Touch]) -> list[bool]:
        """For each of `events` whether it took place in one of `runs`."""
        started = _by_process(runs)
        return [any(True for _ in self._around(event, started)) for event in events]

    def _around(self, event: Touch, started: dict[int, list[Execution]]) -> Iterable[Execution]:
        process = self.lineage.at(event["pid"], event["seq"])
        if process is not None:
            for index, until in self.lineage.above(process, event["seq"]):
                yield from (run for run in started.get(index, ()) if run.seq < until)


def _folders(path: str) -> list[str]:
    """Those above a file, the root left out."""
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _by_process(runs: Sequence[Execution]) -> dict[int, list[Execution]]:
    started: dict[int, list[Execution]] = {}
    for run in runs:
        started.setdefault(run.process, []).append(run)
    return started


def _called(run: Execution, words: Sequence[str]) -> bool:
    given = run.argv[1:]
    return len(given) >= len(words) and all(
        fnmatchcase(word, wanted) for word, wanted in zip(given, words, strict=False)
    )


def ran(check: RanCheck, record: Record) -> CheckResult:
    runs = record.runs(check.program)
    events = tuple(run.seq for run in runs[:_MOST_SHOWN])
    enough = len(runs) >= check.min and (check.max is None or len(runs) <= check.max)
    return CheckResult(float(enough), f"{_named(check.program)} ran {len(runs)} times as asked", events)


def in_order(check: OrderCheck, record: Record) -> CheckResult:
    first, then = record.runs(check.first), record.runs(check.then)
    ended = min(((record.lineage.processes[run.process].ended, run.seq) for run in first), default=None)
    began = max((run.seq for run in then), default=None)
    if ended is not None and began is not None and ended[0] < began:
        message = f"{_named(check.first)} had ended when {_named(check.then)} began"
        return CheckResult(1.0, message, (ended[1], began))
    return CheckResult(0.0, f"no run of {_named(check.then)} began after one of {_named(check.first)} had ended")


def claimed(number: int, program: Program, record: Record) -> CheckResult:
    """A claim of `number` runs: the record shows as many, or it is worth nothing."""
    runs = record.runs(program)
    events = tuple(run.seq for run in runs[:_MOST_SHOWN])
    believed = len(runs) >= number
    return CheckResult(float(believed), f"{number} runs are claimed, the record shows {len(runs)}", events)


def written(check: WrittenCheck, record: Record) -> CheckResult:
    """Follow a file back, through renames, to what opened it for writing last."""
    path, before, moves = check.path, 1 << 62, 0
    while moves < _MOST_MOVES:
        writes = [row for row in record.touched((escape(path),), WRITES) if row["seq"] < before]
        moved = [row for row in record.touched((escape(path),), _MOVES, "path2") if row["seq"] < before]
        left = [row for row in record.touched((escape(path),), (*_LEAVES, Op.RENAME)) if row["seq"] < before]
        if not writes and not moved:
            return CheckResult(0.0, f"nothing in the record wrote {check.path}")
        last = max((*writes, *moved), key=lambda row: row["seq"])
        gone = [row["seq"] for row in left if row["seq"] > last["seq"]]
        if gone:
            return CheckResult(0.0, f"{check.path} was removed after it was written", (gone[0],))
        elsewhere = record.touched_elsewhere(path, last["seq"], before)
        if elsewhere is not None:
            return CheckResult(0.0, f"{check.path} may have been changed by another name", (last["seq"], elsewhere))
        if last["op"] not in _MOVES:
            # What was opened under that name before another file took it is another file.
            since = max((row["seq"] for row in (*moved, *left) if row["seq"] < last["seq"]), default=-1)
            return _by(check, record, [row for row in writes if row["seq"] > since], last)
        path, before, moves = last["path"], last["seq"], moves + 1
    return CheckResult(0.0, f"{check.path} was moved about too often to follow it")


def _by(check: WrittenCheck, record: Record, writes: Sequence[Touch], last: Touch) -> CheckResult:
    runs = record.runs(check.by)
    around = record.within(runs, [last])
    if not around:
        return CheckResult(0.0, f"{check.path} was not written last by {_named(check.by)}", (last["seq"],))
    inside = record.within_each(list(around), writes)
    earliest: dict[int | None, int] = {}
    for other, hit in zip(writes, inside, strict=True):
        if not hit:
            earliest.setdefault(record.lineage.at(other["pid"], other["seq"]), other["seq"])
    for process, seq in earliest.items():
        if process is None or record.lineage.alive_below(process, seq, last["seq"]):
            message = (
                f"{check.path} was opened for writing by something else that was there still, and may have written"
            )
            return CheckResult(0.0, message, (seq, last["seq"]))
    proof = [last["seq"]]
    for pattern in check.after_reading:
        read = [row for row in record.touched((pattern,), READS) if row["seq"] < last["seq"]]
        around_read = record.within(list(around), read)
        if not around_read:
            return CheckResult(
                0.0, f"{_named(check.by)} wrote {check.path}, but had not read {pattern} before", tuple(proof)
            )
        proof.append(min(around_read.values()))
    return CheckResult(1.0, f"{check.path} was written by {_named(check.by)}", tuple(sorted(proof)))


def _named(program: Program) -> str:
    return " ".join((" or ".join(program.exe), *program.argv))
