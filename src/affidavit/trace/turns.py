"""The model's answer that each event of an agent followed: events joined with the decision log, by time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import GENERATING

_GATEWAY_PORT = 8080
_MOST_PROCESSES = 64


def turn_of_events(events: pa.Table, log: pa.Table) -> npt.NDArray[np.int64]:
    """For each event the turn whose answer was the last to be whole before it; 0: there was none yet.

    An agent acts on an answer after it has it. Where it asks several questions at once, what follows is put down to the
    one that was answered last.

    Args:
        events: of EVENT_SCHEMA.
        log: columns ``turn``, ``operation``, ``outcome``, ``status``, ``started_ns`` and ``ended_ns`` of MODEL_SCHEMA.
    """
    answered = pc.and_(
        pc.is_in(log["operation"], pa.array(GENERATING)),
        pc.and_(pc.equal(log["outcome"], "answered"), pc.equal(log["status"], 200)),
    )
    turns = log.filter(answered).sort_by("ended_ns")
    ends, numbers = turns["ended_ns"].to_numpy(), turns["turn"].to_numpy().astype(np.int64)
    at = events["ts_ns"].to_numpy() + clock_difference(events, log)
    places = np.searchsorted(ends, at, side="right")
    numbered: npt.NDArray[np.int64] = np.concatenate([np.zeros(1, np.int64), numbers])[places]
    return numbered


def clock_difference(events: pa.Table, log: pa.Table) -> int:
    """What to add to the time of an event to have it on the clock of the log, nanoseconds.

    It is the same clock, but for gVisor's sentry, which has one of its own: there the agent's connections to the
    gateway are compared with its requests, and the shortest time between the two is taken for none.

    Args:
        events: columns ``ts_ns``, ``op``, ``port`` and ``source`` of EVENT_SCHEMA.
        log: column ``started_ns`` of MODEL_SCHEMA.
    """
    sources = pc.unique(events["source"].combine_chunks()) if len(events) else pa.array([], pa.utf8())
    if not any(str(source).startswith("gvisor/") for source in sources.to_pylist()):
        return 0
    to_gateway = pc.and_(pc.equal(events["op"].cast(pa.utf8()), "connect"), pc.equal(events["port"], _GATEWAY_PORT))
    connected = np.sort(events.filter(to_gateway)["ts_ns"].to_numpy())
    asked = np.sort(log["started_ns"].to_numpy())
    if not len(connected) or not len(asked):
        return 0
    if len(connected) == len(asked):
        return int((asked - connected).min())
    return int(asked[0] - connected[0])


def ancestry(events: pa.Table, seq: int) -> Iterator[tuple[int, list[str]]]:
    """The processes that led to an event, the first ancestor first: pid and what each was running at that time (empty
    where the record has no exec of it).

    Args:
        events: of EVENT_SCHEMA, in order.
        seq: of the event.
    """
    rows = events.filter(pc.less_equal(events["seq"], seq)).select(["pid", "ppid", "op", "ret", "argv"])
    parents = dict(zip(rows["pid"].to_pylist(), rows["ppid"].to_pylist(), strict=True))
    execs = rows.filter(pc.and_(pc.equal(rows["op"].cast(pa.utf8()), "exec"), pc.greater_equal(rows["ret"], 0)))
    runs = dict(zip(execs["pid"].to_pylist(), execs["argv"].to_pylist(), strict=True))
    chain: list[int] = []
    pid: Any = rows["pid"][-1].as_py()
    while pid in parents and pid not in chain and len(chain) < _MOST_PROCESSES:
        chain.append(pid)
        pid = parents[pid]
    return ((pid, runs.get(pid) or []) for pid in reversed(chain))
