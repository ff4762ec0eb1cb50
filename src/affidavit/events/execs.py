"""The commands that entered one sandbox, and which event belongs to which of them."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from affidavit.events.schema import Op

FIRST = 0
"""The sandbox's own first process, which no command let in, counts as the command of this number."""
UNEXPLAINED = -1
"""In place of a command's number: of a process that no command and no fork explains."""

AGENT = "agent"
"""The phase that is judged, and the origin of the commands that are judged in it."""

EXEC_SCHEMA: pa.Schema = pa.schema(
    [
        # 0 is the sandbox's own first process; rows stand in the order of the commands' ends.
        pa.field("id", pa.int32(), nullable=False),
        # setup or agent.
        pa.field("phase", pa.utf8(), nullable=False),
        # On whose behalf it ran: agent or harness.
        pa.field("origin", pa.utf8(), nullable=False),
        pa.field("argv", pa.list_(pa.utf8()), nullable=False),
        pa.field("uid", pa.int64(), nullable=False),
        pa.field("gid", pa.int64(), nullable=False),
        pa.field("cwd", pa.utf8(), nullable=False),
        # Its first process, as the record counts; null where it could not be run.
        pa.field("pid", pa.int32()),
        # Null where a signal ended it.
        pa.field("exit_code", pa.int32()),
        pa.field("signal", pa.int32()),
        pa.field("timed_out", pa.bool_(), nullable=False),
        # CLOCK_MONOTONIC of the machine, nanoseconds.
        pa.field("began_ns", pa.int64(), nullable=False),
        pa.field("ended_ns", pa.int64(), nullable=False),
        # Bytes of agent/stdout and agent/stderr that are its own, one command after the other; and that were dropped.
        pa.field("stdout_bytes", pa.int64(), nullable=False),
        pa.field("stderr_bytes", pa.int64(), nullable=False),
        pa.field("dropped_bytes", pa.int64(), nullable=False),
    ]
)


def is_judged(phase: str, origin: str) -> bool:
    """Whether the command is checked against the contract: only the agent's own, in the agent's phase, are."""
    return phase == AGENT and origin == AGENT


class ExecTracker:
    """Follows processes from the commands that entered a sandbox.

    The commands' processes are told by `enter`, at any time before the batch that holds their first row; their children
    are known by the rows of their forks. Live and after the fact it comes to the same.
    """

    def __init__(self) -> None:
        self._judged = {UNEXPLAINED}
        self._entering: dict[int, deque[int]] = defaultdict(deque)
        self._exec_of: dict[int, int] = {}
        self._ended: set[int] = set()
        self._members: set[tuple[int, int]] = set()
        self._strangers: set[int] = set()

    @classmethod
    def of(cls, execs: Iterable[Mapping[str, Any]]) -> "ExecTracker":
        """One that knows all commands: rows of EXEC_SCHEMA."""
        tracker = cls()
        for row in sorted(execs, key=lambda row: int(row["id"])):
            tracker.enter(row["id"], row["pid"], judged=is_judged(row["phase"], row["origin"]))
        return tracker

    def enter(self, number: int, pid: int | None, *, judged: bool) -> None:
        """Say which process entered for a command; None where it could not be run."""
        if judged:
            self._judged.add(number)
        if pid is not None:
            self._entering[pid].append(number)

    @property
    def strangers(self) -> int:
        """How many processes there were that no command and no fork explains."""
        return len(self._strangers)

    def alive(self, number: int) -> set[int]:
        """The processes of a command that have not ended, as far as the record goes."""
        return {pid for pid, one in self._exec_of.items() if one == number and pid not in self._ended}

    def numbers(self, batch: pa.RecordBatch) -> npt.NDArray[np.int32]:
        """The number of the command that each row belongs to, or UNEXPLAINED; batches come in the record's order."""
        pids = np.asarray(batch.column("pid"))
        returned = np.asarray(batch.column("ret"))
        ops = batch.column("op")
        names = ops.dictionary.to_pylist()
        codes = np.asarray(ops.indices)
        chosen = [code for code, name in enumerate(names) if name in (Op.FORK, Op.EXEC, Op.EXIT)]
        found = np.empty(batch.num_rows, np.int32)
        done = 0
        for row in np.flatnonzero(np.isin(codes, chosen)).tolist():
            name, pid = names[codes[row]], int(pids[row])
            if name == Op.FORK:
                if returned[row] <= 0:
                    continue
                child, number = int(returned[row]), self._exec_of.get(pid, UNEXPLAINED)
            elif self._entering.get(pid) and (pid not in self._exec_of or pid in self._ended):
                # Where it could not be run, its end may be all that there is of it.
                child, number = pid, self._entering[pid].popleft()
            else:
                if name == Op.EXIT:
                    self._ended.add(pid)
                continue
            if self._exec_of.get(child, number) != number:
                # The number of a process is used again: what came before is another's.
                done = self._fill(found, pids, done, row)
            self._exec_of[child] = number
            self._ended.discard(child)
            if name == Op.EXIT:
                self._ended.add(child)
            self._members.add((child, number))
        self._fill(found, pids, done, batch.num_rows)
        return found

    def _fill(self, found: npt.NDArray[np.int32], pids: npt.NDArray[Any], start: int, end: int) -> int:
        unique, places = np.unique(pids[start:end], return_inverse=True)
        numbers = np.array([self._exec_of.get(int(pid), UNEXPLAINED) for pid in unique], np.int32)
        self._strangers.update(int(pid) for pid, number in zip(unique, numbers, strict=True) if number == UNEXPLAINED)
        if len(unique):
            found[start:end] = numbers[places.reshape(-1)]
        return end

    def judged(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that are checked against the contract: those of judged commands, and the unexplained."""
        mask = np.isin(self.numbers(batch), sorted(self._judged))
        return batch if mask.all() else batch.filter(pa.array(mask))

    def judged_counts(self, counts: pa.Table) -> pa.Table:
        """Likewise of COUNT_SCHEMA, after the last batch."""
        known = {pid for pid, _ in self._members}
        judged = {pid for pid, number in self._members if number in self._judged}
        pids = counts.column("pid").to_pylist()
        return counts.filter(pa.array([pid in judged or pid not in known for pid in pids], pa.bool_()))
