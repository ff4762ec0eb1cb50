"""Writing bundles: whole or not at all."""

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.events import EVENT_SCHEMA
from affidavit.evidence import (
    BundleReader,
    BundleWriter,
    EvidenceError,
    SigningKey,
    canonical_json,
    strict_canonical_json,
    strict_json,
)
from affidavit.evidence.statement import read_statement
from affidavit.signing import read_envelope

from .conftest import Predicate, make_bundle

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_reading_gives_what_was_written(pristine: Path) -> None:
    with BundleReader(pristine) as reader:
        assert reader.parts() == ["agent", "grader"]
        assert reader.task["id"] == "small"
        assert b'"id":"small"' in reader.contract
        assert (reader.diff, reader.grade["score"], reader.environment["kernel"]) == ([], 1.0, "6")
        assert reader.verdict["verdict"] == "pass"
        assert reader.read("agent/stdout") == b"hello\n"
        table = reader.event_table("grader")
        assert table.schema.equals(EVENT_SCHEMA)
        assert table["path"].to_pylist() == ["/a/grader", "/b/grader"]
        assert sum(batch.num_rows for batch in reader.events()) == 2
        summary = reader.summary()
        assert (summary.recorder, summary.events, summary.complete) == ("ebpf", 2, True)
        assert summary.counts.to_pylist() == [{"pid": 1, "exe": "/bin/sh", "syscall": "read", "count": 3}]
        with pytest.raises(EvidenceError, match="larger than 3 bytes"):
            reader.read("agent/stdout", 3)


def test_nothing_is_left_of_what_was_not_sealed(tmp_path: Path) -> None:
    def broken() -> None:
        with BundleWriter(tmp_path / "b") as writer:
            writer.add("task.json", {})
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_the_name_appears_with_the_seal(tmp_path: Path, key: SigningKey) -> None:
    seen: list[bool] = []
    path = make_bundle(
        tmp_path / "run" / "b", key, tamper=lambda writer: seen.append((tmp_path / "run" / "b").exists())
    )
    assert seen == [False]
    assert [entry.name for entry in path.parent.iterdir()] == ["b"]


def test_a_part_that_broke_off_before_it_wrote_anything_is_no_obstacle(tmp_path: Path, key: SigningKey) -> None:
    path = make_bundle(tmp_path / "b", key, tamper=lambda writer: writer.file("solution/deep/stdout"))
    assert not (path / "solution").exists()


def test_a_name_that_is_taken(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(EvidenceError, match="already exists"):
        BundleWriter(tmp_path / "b")
    with pytest.raises(EvidenceError, match="already exists"):
        make_bundle(tmp_path / "c", key, tamper=lambda writer: (tmp_path / "c").mkdir())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["b", "c"]


def test_a_file_twice(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "b") as writer:
        writer.add("task.json", {})
        with pytest.raises(EvidenceError, match=r"task\.json: is in the bundle already"):
            writer.add("task.json", {})


@pytest.mark.parametrize("name", ["../x", "/x", "", "a/../x", "a//x", ".x", "a/.x", "x\n", "é", "a" * 101, "a/b/c/d/e"])
def test_names_that_no_file_may_have(tmp_path: Path, name: str) -> None:
    with BundleWriter(tmp_path / "b") as writer, pytest.raises(EvidenceError, match="not a valid name for a file"):
        writer.add(name, b"")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_part_is_named(tmp_path: Path, key: SigningKey) -> None:
    with BundleWriter(tmp_path / "b") as writer:
        writer.add("task.json", {})
        with pytest.raises(EvidenceError, match=r"contract\.json, diff\.json, .* not written"):
            writer.seal(key, Predicate())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("trial", -1),
        ("verdict", "good"),
        ("task", {"id": "small"}),
        ("run_id", None),
        ("note", float("nan")),
        ("note", "\ud800"),
        ("note", 1 << 60),
    ],
)
def test_a_wrong_fact_is_named(tmp_path: Path, key: SigningKey, fact: str, value: object) -> None:
    with pytest.raises(EvidenceError, match=r"b: can't be sealed: "):
        make_bundle(tmp_path / "b", key, **{fact: value})
    assert list(tmp_path.iterdir()) == []


def test_a_broken_trace_is_not_sealed(tmp_path: Path, key: SigningKey) -> None:
    with pytest.raises(EvidenceError, match=r"agent/events\.parquet"):
        make_bundle(tmp_path / "b", key, tamper=lambda writer: os.truncate(writer.file("agent/events.parquet"), 100))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(small_disk: Path, key: SigningKey) -> None:
    with pytest.raises(EvidenceError, match="the disk is full; make room or choose another output folder"):
        make_bundle(small_disk / "b", key, tamper=lambda writer: writer.add("agent/more", b"x" * 40_000))
    assert list(small_disk.iterdir()) == []


def test_any_text_can_stand_in_json(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "b") as writer:
        writer.add("x.json", {"text": "\udcff\x00\u2028"})
        assert strict_json(writer.file("x.json").read_bytes()) == {"text": "\udcff\x00\u2028"}
        with pytest.raises(EvidenceError, match=r"y\.json"):
            writer.add("y.json", {"number": float("nan")})
        with pytest.raises(EvidenceError, match=r"z\.json"):
            writer.add("z.json", {"bytes": b""})


@given(JSON)
def test_canonical_json_is_read_back_and_is_the_only_spelling(value: object) -> None:
    data = canonical_json(value)
    assert strict_canonical_json(data) == value
    assert canonical_json(strict_canonical_json(data)) == data
    for other in (data + b"\n", b" " + data):
        with pytest.raises(EvidenceError, match="canonical"):
            strict_canonical_json(other)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, "\ud800", {1: 2}, {1, 2}, object()])
def test_what_has_no_canonical_form(value: object) -> None:
    with pytest.raises(EvidenceError, match="no canonical JSON form"):
        canonical_json(value)


@given(st.binary())
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    with suppress(EvidenceError):
        strict_canonical_json(data)


@given(JSON)
def test_any_json_is_an_envelope_or_refused(value: object) -> None:
    payload = base64.b64encode(canonical_json(value)).decode()
    for envelope in (
        value,
        {"payload": value, "payloadType": value, "signatures": value},
        {"payload": payload, "payloadType": "", "signatures": [value]},
        {"payload": payload, "payloadType": "", "signatures": [{"keyid": value, "sig": value}]},
    ):
        with pytest.raises(EvidenceError):
            read_envelope(canonical_json(envelope))


@given(JSON)
def test_any_json_is_a_statement_or_refused(value: object) -> None:
    kind = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:affidavit:trial:v1"}
    file = {"name": "a", "digest": {"sha256": "0" * 64}, "annotations": {"size": 1}}
    for statement in (
        value,
        {**kind, "subject": value, "predicate": value},
        {**kind, "subject": [value], "predicate": {}},
        {**kind, "subject": [{**file, "name": value}], "predicate": {}},
        {**kind, "subject": [{**file, "digest": value}], "predicate": {}},
        {**kind, "subject": [file], "predicate": value},
        {**kind, "subject": [file], "predicate": {"traces": value, "task": value, "contract": value}},
    ):
        with pytest.raises(EvidenceError):
            read_statement(canonical_json(statement))


@pytest.mark.parametrize("text", [b'{"a":1,"a":1}', b"NaN", b"-Infinity", b"[" * 100_000, b"1" * 5000, b"1e999", b""])
def test_what_is_not_strict_json(text: bytes) -> None:
    with pytest.raises(EvidenceError):
        strict_canonical_json(text)
