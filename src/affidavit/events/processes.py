"""The process tree of a record."""

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events.schema import Op


@dataclass
class Process:
    """One process of a record.

    Attributes:
        pid: process id, as the recorder counts.
        ppid: the parent's, when it was forked.
        exe: the last executable it ran, or None where it never called exec in the record.
        argv: arguments of that executable.
        started_ns, ended_ns: monotonic nanoseconds; None where the record does not show it.
        exit_code: what it exited with, None where the record does not show it.
        children: in order of start.
    """

    pid: int
    ppid: int
    exe: str | None = None
    argv: tuple[str, ...] = ()
    started_ns: int | None = None
    ended_ns: int | None = None
    exit_code: int | None = None
    children: list["Process"] = field(default_factory=list)


def process_tree(events: pa.Table) -> list[Process]:
    """The processes of a record as trees: those whose parent is not in the record are roots, in order of appearance.

    A pid that is used again after its exit is a new process.

    Args:
        events: rows of EVENT_SCHEMA, in order.
    """
    ops = pa.array([Op.FORK, Op.EXEC, Op.EXIT], pa.utf8())
    rows = events.filter(pc.is_in(pc.cast(events["op"], pa.utf8()), value_set=ops))
    rows = rows.select(["ts_ns", "pid", "tid", "ppid", "op", "ret", "exe", "argv"])
    live: dict[int, Process] = {}
    roots: list[Process] = []

    def known(pid: int, ppid: int) -> Process:
        if pid not in live:
            live[pid] = Process(pid, ppid)
            parent = live.get(ppid)
            (parent.children if parent else roots).append(live[pid])
        return live[pid]

    for row in rows.to_pylist():
        process = known(row["pid"], row["ppid"])
        match row["op"]:
            case Op.FORK if row["ret"] > 0:
                live.pop(row["ret"], None)
                known(row["ret"], row["pid"]).started_ns = row["ts_ns"]
            case Op.EXEC if row["ret"] >= 0:
                process.exe, process.argv = row["exe"], tuple(row["argv"] or ())
            case Op.EXIT if row["tid"] == row["pid"]:
                process.ended_ns, process.exit_code = row["ts_ns"], row["ret"]
                del live[row["pid"]]
    return roots
