"""Which command of a session an event belongs to."""

import pyarrow as pa

from affidavit.events import COUNT_SCHEMA, EVENT_SCHEMA, ExecTracker


def batch(*rows: tuple[int, str, int]) -> pa.RecordBatch:
    """Events of (pid, op, ret)."""
    base = {"tid": 1, "ppid": 0, "flags": 0, "mode": 0, "uid": 0, "gid": 0, "source": "x", "ts_ns": 0}
    return pa.RecordBatch.from_pylist(
        [{**base, "seq": seq, "pid": pid, "op": op, "ret": ret} for seq, (pid, op, ret) in enumerate(rows)],
        EVENT_SCHEMA,
    )


def tracker(*entered: tuple[int, int, bool]) -> ExecTracker:
    made = ExecTracker()
    for number, pid, judged in entered:
        made.enter(number, pid, judged=judged)
    return made


def test_children_belong_to_the_command_of_their_parent() -> None:
    known = tracker((0, 1, False), (1, 10, True))
    rows = batch(
        (1, "exec", 0), (10, "exec", 0), (10, "fork", 11), (11, "fork", 12), (10, "exit", 0), (12, "create", 3)
    )
    assert known.numbers(rows).tolist() == [0, 1, 1, 1, 1, 1]
    assert known.alive(1) == {11, 12}
    assert known.strangers == 0


def test_batches_go_on_where_the_last_one_ended() -> None:
    known = tracker((1, 10, True), (2, 20, False))
    assert known.numbers(batch((10, "exec", 0), (10, "fork", 11))).tolist() == [1, 1]
    assert known.numbers(batch((11, "create", 3), (20, "exec", 0), (11, "fork", -11))).tolist() == [1, 2, 1]


def test_a_number_that_is_used_again_belongs_to_whom_it_is_given() -> None:
    known = tracker((1, 10, True), (2, 10, False))
    rows = batch(
        (10, "exec", 0), (10, "exec", 0), (10, "create", 3), (10, "exit", 0), (10, "exec", 0), (10, "create", 3)
    )
    assert known.numbers(rows).tolist() == [1, 1, 1, 1, 2, 2]
    forked = tracker((1, 10, True), (2, 20, False))
    rows = batch(
        (10, "exec", 0), (20, "exec", 0), (10, "fork", 30), (30, "exit", 0), (20, "fork", 30), (30, "create", 3)
    )
    assert forked.numbers(rows).tolist() == [1, 2, 1, 1, 2, 2]


def test_what_nothing_explains_is_judged_and_told() -> None:
    known = tracker((1, 10, False), (2, 20, True))
    rows = batch((10, "exec", 0), (20, "exec", 0), (99, "create", 3))
    assert known.judged(rows).column("pid").to_pylist() == [20, 99]
    assert known.strangers == 1


def test_a_command_that_could_not_be_run_may_have_nothing_but_its_end() -> None:
    known = tracker((1, 10, False), (2, 11, True))
    assert known.numbers(batch((10, "exit", 127), (11, "exec", 0), (11, "fork", 10))).tolist() == [1, 2, 2]
    # Its number is used again by a child of another one.
    assert known.numbers(batch((10, "exec", 0))).tolist() == [2]
    assert known.strangers == 0


def test_counts_are_those_of_judged_processes() -> None:
    known = tracker((1, 10, False), (2, 20, True))
    known.judged(batch((10, "exec", 0), (20, "exec", 0), (20, "fork", 21), (10, "fork", 11)))
    pids = (10, 11, 20, 21, 99)
    counts = pa.Table.from_pylist([{"pid": pid, "syscall": "read", "count": 1} for pid in pids], COUNT_SCHEMA)
    assert known.judged_counts(counts).column("pid").to_pylist() == [20, 21, 99]
