"""Merkle leaves depend on the events and on nothing else."""

import struct
from collections.abc import Iterator
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.events import EVENT_SCHEMA
from affidavit.trace import EVENTS_PER_LEAF, TraceError, leaves, trace_leaves

_TEXT = st.sampled_from(["", "/", "/workspace/a.py", "/tmp/ü\\xff\n", "x" * 300])
_INT = {8: st.integers(-(2**63), 2**63 - 1), 4: st.integers(-(2**31), 2**31 - 1)}


def _values(field: pa.Field) -> st.SearchStrategy[object]:
    if pa.types.is_list(field.type):
        return st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=3))
    if pa.types.is_dictionary(field.type):
        return st.one_of(st.none(), _TEXT) if field.nullable else _TEXT
    whole = _INT[field.type.bit_width // 8]
    return st.one_of(st.none(), whole) if field.nullable else whole


ROWS = st.lists(st.fixed_dictionaries({field.name: _values(field) for field in EVENT_SCHEMA}), max_size=12)


def batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    columns = []
    for field in EVENT_SCHEMA:
        values = [row[field.name] for row in rows]
        if pa.types.is_dictionary(field.type):
            columns.append(pa.array(values, pa.utf8()).dictionary_encode())
        else:
            columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


def _event(seq: int, **changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        field.name: None if field.nullable else ("open_read" if pa.types.is_dictionary(field.type) else 0)
        for field in EVENT_SCHEMA
    }
    return {**row, "seq": seq, **changes}


@given(ROWS, st.lists(st.integers(0, 12), max_size=4), st.booleans())
def test_same_events_give_the_same_leaves_however_they_are_cut(
    rows: list[dict[str, object]], cuts: list[int], sliced: bool
) -> None:
    whole = list(trace_leaves([batch(rows)]))
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    # Slices share a dictionary and have an offset.
    parts = [batch(rows).slice(a, b - a) if sliced else batch(rows[a:b]) for a, b in pairwise(edges)]
    assert list(trace_leaves(parts)) == whole


@given(ROWS, st.integers(0, 12))
def test_rows_in_the_middle_of_a_batch(rows: list[dict[str, object]], start: int) -> None:
    assert list(trace_leaves([batch(rows).slice(start)])) == list(trace_leaves([batch(rows[start:])]))


@given(ROWS.filter(bool), st.data())
def test_one_changed_value_changes_the_leaf(rows: list[dict[str, object]], data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(range(len(rows))))
    field = data.draw(st.sampled_from(list(EVENT_SCHEMA)))
    changed = [dict(row) for row in rows]
    changed[row][field.name] = data.draw(_values(field))
    assert (list(trace_leaves([batch(rows)])) == list(trace_leaves([batch(changed)]))) == (rows == changed)


@settings(max_examples=20)
@given(st.integers(0, 3 * EVENTS_PER_LEAF + 5), st.integers(1, 2 * EVENTS_PER_LEAF))
def test_a_leaf_is_1024_events(count: int, step: int) -> None:
    table = batch([_event(seq) for seq in range(count)])
    leaves = list(trace_leaves(table.slice(start, step) for start in range(0, count, step)))
    sizes = [struct.unpack_from("<I", leaf, len(b"affidavit.events/1\n"))[0] for leaf in leaves]
    assert sum(sizes) == count
    assert all(size == EVENTS_PER_LEAF for size in sizes[:-1])
    assert all(0 < size <= EVENTS_PER_LEAF for size in sizes)


def test_more_than_a_block_of_events() -> None:
    count = 70_000
    columns = [
        pa.array(range(count), pa.int64()) if field.name == "seq" else pa.array([value] * count, field.type)
        for field, value in zip(EVENT_SCHEMA, _event(0, path="/a").values(), strict=True)
    ]
    table = pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)
    at_once = list(trace_leaves([table]))
    assert len(at_once) == -(-count // EVENTS_PER_LEAF)
    assert list(trace_leaves(table.slice(start, 999) for start in range(0, count, 999))) == at_once


def test_the_bytes_are_those_of_the_documentation() -> None:
    """docs/bundle.md, Merkle leaves: written out by hand for two events."""
    rows = [_event(0, path="/a", port=80, argv=["x", None]), _event(1, ret=-2)]
    (leaf,) = trace_leaves([batch(rows)])
    text = b"".join

    def names(*values: str | None, nullable: bool = True) -> bytes:
        nulls = bytes(value is None for value in values) if nullable else b""
        data = [(value or "").encode() for value in values]
        return nulls + text(struct.pack("<I", len(item)) for item in data) + text(data)

    nothing = names(None, None)
    expected = [
        b"affidavit.events/1\n" + struct.pack("<I", 2),
        struct.pack("<qq", 0, 1),  # seq
        struct.pack("<qq", 0, 0),  # ts_ns
        struct.pack("<6i", 0, 0, 0, 0, 0, 0),  # pid, tid, ppid
        names("open_read", "open_read", nullable=False),  # op
        names("/a", None),  # path
        nothing,  # path2
        struct.pack("<qq", 0, 0),  # flags
        struct.pack("<ii", 0, 0),  # mode
        struct.pack("<qq", 0, -2),  # ret
        nothing,  # addr
        b"\0\1" + struct.pack("<ii", 80, 0),  # port
        nothing,  # proto
        nothing,  # exe
        b"\0\1" + struct.pack("<II", 2, 0) + names("x", None),  # argv
        nothing,  # comm
        struct.pack("<4q", 0, 0, 0, 0),  # uid, gid
        names("open_read", "open_read", nullable=False),  # source
    ]
    assert leaf == text(expected)


def test_another_schema_is_refused() -> None:
    with pytest.raises(TraceError, match="event schema"):
        list(trace_leaves([pa.record_batch({"seq": [1]})]))


@given(ROWS)
def test_long_arguments_give_the_same_leaves(rows: list[dict[str, object]]) -> None:
    """A block that pyarrow can't join is encoded a few rows at a time."""
    expected = list(trace_leaves([batch(rows)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaves, "_MOST_BLOCK_BYTES", -1)
        patch.setattr(leaves, "_FEW_ROWS", 5)
        assert list(trace_leaves([batch(rows)])) == expected


def test_no_more_of_long_arguments_is_kept_than_a_leaf_needs() -> None:
    rows, word = 64, "x" * (64 << 10)
    most = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal most
        for start in range(0, 4 * EVENTS_PER_LEAF, rows):
            yield batch([_event(start + row, argv=[word]) for row in range(rows)])
            most = max(most, pa.total_allocated_bytes() - before)

    before = pa.total_allocated_bytes()
    assert sum(1 for _ in trace_leaves(batches())) == 4
    assert most < 2 * EVENTS_PER_LEAF * len(word)
