"""Traces on disk: what is written comes back, whole or not at all, and nothing that is read can do harm."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.events import COUNT_SCHEMA, EVENT_SCHEMA
from affidavit.trace import (
    TraceError,
    TraceWriter,
    query,
    read_counts,
    read_trace,
    trace_batches,
    trace_leaves,
    write_counts,
)

_FIXED = {"seq": 0, "ts_ns": 5, "pid": 7, "tid": 7, "ppid": 1, "flags": 0, "mode": 0, "ret": 3, "uid": 0, "gid": 0}


def events(count: int, paths: Sequence[str | None] = ("/a", None, "/b\n")) -> pa.RecordBatch:
    columns = []
    for field in EVENT_SCHEMA:
        if field.name == "seq":
            values: list[object] = list(range(count))
        elif field.name == "path":
            values = [paths[i % len(paths)] for i in range(count)] if paths else []
        elif field.name == "argv":
            values = [["sh", "-c"] if i % 3 == 0 else None for i in range(count)]
        elif field.name in ("op", "source", "exe"):
            values = [["open_read", "exec", "exit"][i % 3] for i in range(count)]
        else:
            values = [_FIXED.get(field.name)] * count
        if pa.types.is_dictionary(field.type):
            columns.append(pa.array(values, pa.utf8()).dictionary_encode())
        else:
            columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


def write(path: Path, batches: Iterable[pa.RecordBatch]) -> Path:
    with TraceWriter(path) as writer:
        for item in batches:
            writer.write(item)
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 40), st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=1))))
def test_what_is_written_comes_back(tmp_path: Path, parts: list[tuple[int, list[str | None]]]) -> None:
    batches = [events(count, paths) for count, paths in parts]
    path = write(tmp_path / "t.parquet", batches)
    table = read_trace(path)
    assert table.schema.equals(EVENT_SCHEMA, check_metadata=True)
    assert table.to_pylist() == pa.Table.from_batches(batches, EVENT_SCHEMA).to_pylist()
    assert list(trace_leaves(trace_batches(path))) == list(trace_leaves(batches))


def test_many_tiny_batches_and_a_growing_dictionary(tmp_path: Path) -> None:
    names = [f"/f{i}" for i in range(3000)]
    whole = events(3000, names)
    path = write(tmp_path / "t.parquet", (whole.slice(i, 1) for i in range(3000)))
    assert read_trace(path)["path"].to_pylist() == names
    assert pq.ParquetFile(path).metadata.num_row_groups == 1


def test_a_flood_of_one_row_batches_is_joined_in_memory(tmp_path: Path) -> None:
    whole = events(256)
    with TraceWriter(tmp_path / "t.parquet") as writer:
        before = pa.total_allocated_bytes()
        for i in range(4096):
            writer.write(whole.take([i % 256]))
        assert pa.total_allocated_bytes() - before < 4 << 20


def test_row_groups_are_bounded_and_hold_only_their_own_names(tmp_path: Path) -> None:
    names = pa.array([f"/{i:0200}" for i in range(140_000)])
    path_index = EVENT_SCHEMA.get_field_index("path")
    base = events(140_000)
    indices = pa.array([i // 70_000 for i in range(140_000)], pa.int32())
    base = base.set_column(path_index, EVENT_SCHEMA.field("path"), pa.DictionaryArray.from_arrays(indices, names))
    path = write(tmp_path / "t.parquet", (base.slice(i, 1000) for i in range(0, 140_000, 1000)))
    assert path.stat().st_size < 200_000  # the dictionary alone is 28 MB
    metadata = pq.ParquetFile(path).metadata
    assert max(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)) <= 140_000
    assert read_trace(path)["path"].to_pylist()[69_999:70_001] == [names[0].as_py(), names[1].as_py()]


def test_a_gap_in_seq_is_noticed(tmp_path: Path) -> None:
    whole = events(6)
    for batches, continuous in (
        ([whole.slice(0, 2), whole.slice(2)], True),
        ([whole.slice(0, 2), whole.slice(3)], False),
        ([whole.slice(1)], False),
        ([whole.take([0, 2, 1, 3])], False),
        ([], True),
    ):
        with TraceWriter(tmp_path / "t.parquet") as writer:
            for batch in batches:
                writer.write(batch)
        assert writer.continuous == continuous


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield events(5)
        raise OSError("elsewhere")

    with pytest.raises(OSError, match="elsewhere"):
        write(tmp_path / "t.parquet", broken())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_there_before_the_end(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t.parquet") as writer:
        writer.write(events(5))
        assert not (tmp_path / "t.parquet").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(small_disk: Path) -> None:
    noise = [os.urandom(100).hex() for _ in range(2000)]
    with pytest.raises(TraceError, match=r"t\.parquet: can't be written: the disk is full; make room") as caught:
        write(small_disk / "t.parquet", [events(2000, noise)])
    assert "\n" not in str(caught.value)
    assert list(small_disk.iterdir()) == []
    counts = pa.table({"pid": [1] * 2000, "exe": noise, "syscall": noise, "count": [1] * 2000}, schema=COUNT_SCHEMA)
    with pytest.raises(TraceError, match="the disk is full"):
        write_counts(small_disk / "c.parquet", counts)
    assert list(small_disk.iterdir()) == []


def test_a_full_disk_in_the_middle_of_a_trace(small_disk: Path) -> None:
    noise = [os.urandom(100).hex() for _ in range(140_000)]
    with pytest.raises(TraceError, match="the disk is full"):
        write(small_disk / "t.parquet", [events(140_000, noise), events(5)])
    assert list(small_disk.iterdir()) == []


def test_a_quota_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def over_quota(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", over_quota)
    with pytest.raises(TraceError, match="the disk quota is used up"):
        write(tmp_path / "t.parquet", [events(1)])
    assert list(tmp_path.iterdir()) == []


def test_a_batch_of_another_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="event schema"):
        write(tmp_path / "t.parquet", [pa.record_batch({"seq": [1]})])


def test_counts_come_back(tmp_path: Path) -> None:
    counts = pa.table({"pid": [1, 2], "exe": ["/bin/sh", None], "syscall": ["read", "write"], "count": [3, 2**40]})
    write_counts(tmp_path / "c.parquet", counts.cast(COUNT_SCHEMA))
    assert read_counts(tmp_path / "c.parquet").equals(counts.cast(COUNT_SCHEMA), check_metadata=True)
    with pytest.raises(TraceError, match="count schema"):
        write_counts(tmp_path / "d.parquet", counts.drop(["exe"]))


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", ".", "missing"):
        with pytest.raises(TraceError):
            read_trace(tmp_path / name)
        with pytest.raises(TraceError):
            read_counts(tmp_path / name)


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"seq": [1]}), tmp_path / "t.parquet")
    with pytest.raises(TraceError, match="columns"):
        read_trace(tmp_path / "t.parquet")


def test_a_null_where_none_may_be_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_batches([events(3)])
    loose = pa.schema([field.with_nullable(True) for field in EVENT_SCHEMA])
    index = EVENT_SCHEMA.get_field_index("pid")
    table = table.cast(loose).set_column(index, loose.field("pid"), pa.array([1, None, 2], pa.int32()))
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TraceError, match="pid has no value"):
        read_trace(tmp_path / "t.parquet")


def test_a_value_out_of_range_is_refused(tmp_path: Path) -> None:
    index = EVENT_SCHEMA.get_field_index("pid")
    table = pa.Table.from_batches([events(1)]).set_column(index, "pid", pa.array([2**40]))
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TraceError, match="damaged"):
        read_trace(tmp_path / "t.parquet")


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    index = EVENT_SCHEMA.get_field_index("comm")
    bad = pa.Array.from_buffers(pa.utf8(), 1, pa.array([b"\xff"]).buffers())
    table = pa.Table.from_batches([events(1)]).set_column(index, "comm", bad)
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TraceError):
        read_trace(tmp_path / "t.parquet")


# Runs in its own process: a damaged file must not bring it down either.
_DAMAGE = """
import random, sys
from pathlib import Path
from affidavit.trace import TraceError, read_trace, query
path, damaged = Path(sys.argv[1]), Path(sys.argv[2])
good, chance = path.read_bytes(), random.Random(1)
expected = read_trace(path)
refused = 0
for attempt in range(150):
    data = bytearray(good)
    for _ in range(chance.choice([1, 1, 3, 20])):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if attempt % 10 == 0:
        data = data[: chance.randrange(len(data))]
    damaged.write_bytes(data)
    try:
        read_trace(damaged)
    except TraceError as error:
        assert "\\n" not in str(error)
        refused += 1
    try:
        query(damaged, "SELECT count(DISTINCT path), max(seq) FROM events")
    except TraceError as error:
        assert "\\n" not in str(error)
print(refused)
"""


def test_a_damaged_file_never_crashes_the_reader(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", [events(100)])
    done = subprocess.run(
        [sys.executable, "-c", _DAMAGE, path, tmp_path / "damaged.parquet"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


class TestQuery:
    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        counts = pa.table({"pid": [1], "exe": ["/bin/sh"], "syscall": ["read"], "count": [9]}).cast(COUNT_SCHEMA)
        for part, rows in (("agent", 6), ("grader", 2)):
            (tmp_path / part).mkdir()
            write(tmp_path / part / "events.parquet", [events(rows)])
            write_counts(tmp_path / part / "counts.parquet", counts)
        return tmp_path

    def test_tables_of_all_parts(self, bundle: Path) -> None:
        sql = (
            "SELECT (SELECT count(*) FROM events) AS a, (SELECT count(*) FROM grader_events) AS g, "
            "(SELECT sum(count) FROM counts)::INT AS c, (SELECT max(count) FROM grader_counts) AS gc"
        )
        assert query(bundle, sql).to_pylist() == [{"a": 6, "g": 2, "c": 9, "gc": 9}]

    def test_names_are_text_and_argv_a_list(self, bundle: Path) -> None:
        rows = query(bundle, "SELECT argv[1] AS first FROM events WHERE path = '/a' AND op LIKE 'open%' ORDER BY seq")
        assert rows.to_pylist() == [{"first": "sh"}, {"first": "sh"}]
        assert query(bundle, "SELECT path FROM events").schema.field("path").type == pa.utf8()

    def test_one_trace(self, bundle: Path) -> None:
        assert query(bundle / "grader" / "events.parquet", "SELECT count(*) AS n FROM events").to_pylist() == [{"n": 2}]

    @pytest.mark.parametrize(
        "sql",
        [
            "SELEC 1",
            "SELECT * FROM nothing",
            "SELECT * FROM read_text('/etc/passwd')",
            "SELECT * FROM '/etc/passwd'",
            "COPY (SELECT 1) TO '/tmp/affidavit-query-test.csv'",
            "ATTACH '/tmp/affidavit-query-test.db'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
            "SELECT * FROM sql",
            "",
            "SELECT 1/'x'",
        ],
    )
    def test_what_is_wrong_or_reaches_out_is_one_line(self, bundle: Path, sql: str) -> None:
        with pytest.raises(TraceError) as caught:
            query(bundle, sql)
        assert "\n" not in str(caught.value)
        assert not Path("/tmp/affidavit-query-test.csv").exists()

    def test_the_private_part_lies_elsewhere(self, bundle: Path, tmp_path: Path) -> None:
        published = tmp_path / "published"
        published.mkdir()
        (bundle / "agent").rename(published / "agent")
        (bundle / "grader").rename(bundle / "control-2")
        rows = query(published, "SELECT count(*) AS n FROM control_2_events", bundle).to_pylist()
        assert rows == [{"n": 2}]
        with pytest.raises(TraceError, match="private part, which is not beside it"):
            query(published, "SELECT count(*) AS n FROM control_2_events")

    def test_a_query_changes_nothing(self, bundle: Path) -> None:
        before = (bundle / "agent" / "events.parquet").read_bytes()
        for sql in ("DROP VIEW events", "CREATE TABLE t AS SELECT 1 AS x", "DELETE FROM events"):
            with pytest.raises(TraceError):
                query(bundle, sql)
        assert (bundle / "agent" / "events.parquet").read_bytes() == before

    def test_a_bundle_without_a_trace(self, tmp_path: Path) -> None:
        with pytest.raises(TraceError, match=r"holds no agent/events\.parquet"):
            query(tmp_path, "SELECT 1")

    def test_a_fifo_does_not_hold_it_up(self, bundle: Path) -> None:
        (bundle / "agent" / "counts.parquet").unlink()
        os.mkfifo(bundle / "agent" / "counts.parquet")
        with pytest.raises(TraceError, match="query failed"):
            query(bundle, "SELECT * FROM counts")
