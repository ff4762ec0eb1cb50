"""A small bundle with real traces."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import settings
from pydantic import ConfigDict

from affidavit.events import COUNT_SCHEMA, EVENT_SCHEMA
from affidavit.evidence import BundleReader, BundleWriter, SigningKey, canonical_json, new_key
from affidavit.evidence.document import Document
from affidavit.grading import Grade, Graded
from affidavit.recorder import RecordSummary
from affidavit.trace import TraceWriter
from affidavit.verification import Judgement, Verdict

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

CONTRACT = {"id": "small", "schema": "affidavit.contract/v1", "version": "1.0.0"}
CONTRACT_FACTS = {
    "id": "small",
    "version": "1.0.0",
    "digest": "sha256:" + hashlib.sha256(canonical_json(CONTRACT)).hexdigest(),
    "signed_by": None,
}


def trace(paths: list[str]) -> pa.RecordBatch:
    rows = len(paths)
    columns = []
    for field in EVENT_SCHEMA:
        if field.name == "seq":
            column = pa.array(range(rows), pa.int64())
        elif field.name == "path":
            column = pa.array(paths).dictionary_encode()
        elif field.nullable:
            column = pa.nulls(rows, field.type)
        elif pa.types.is_dictionary(field.type):
            column = pa.array(["open_read"] * rows).dictionary_encode()
        else:
            column = pa.array([1] * rows, field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


class Predicate(Document):
    """Whatever a test wants to have signed."""

    model_config = ConfigDict(extra="allow")


def judged(score: float | None, complete: bool) -> Judgement:
    if not complete or score is None:
        return Judgement(Verdict.INCONCLUSIVE, None, score, (), ())
    return Judgement(Verdict.PASS if score == 1 else Verdict.FAIL, score, score, (), ())


def recompute(reader: BundleReader) -> Judgement:
    """Judges the small bundles of these tests again."""
    complete = all(reader.summary(part).complete for part in reader.parts())
    return judged(reader.grade["score"], complete)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return new_key(tmp_path_factory.mktemp("keys"))


def make_bundle(
    path: Path,
    key: SigningKey,
    *,
    paths: tuple[str, ...] = ("/a", "/b"),
    score: float | None = 1.0,
    complete: bool = True,
    tamper: Callable[[BundleWriter], None] = lambda writer: None,
    **facts: Any,
) -> Path:
    verdict = judged(score, complete).to_json()
    with BundleWriter(path) as writer:
        for part in ("agent", "grader"):
            batch = trace([f"{name}/{part}" for name in paths])
            with TraceWriter(writer.file(f"{part}/events.parquet")) as events:
                events.write(batch)
            counts = pa.table({"pid": [1], "exe": ["/bin/sh"], "syscall": ["read"], "count": [3]}).cast(COUNT_SCHEMA)
            reasons = () if complete else ("2 events were lost",)
            lost = 0 if complete else 2
            summary = RecordSummary("ebpf", batch.num_rows, lost, complete, reasons, (), counts, {"version": 1})
            writer.add_summary(part, summary)
            writer.add(f"{part}/stdout", b"hello\n")
            writer.add(f"{part}/stderr", b"")
        writer.add("task.json", {"id": "small", "digest": "sha256:" + "1" * 64})
        writer.add("contract.json", canonical_json(CONTRACT))
        writer.add("diff.json", [])
        grade = Grade(score, error=None if score is not None else "no reward")
        graders = [Graded("tests", "test_run", 1.0, None, True, grade).to_json()]
        writer.add("grade.json", {"score": score, "graders": graders})
        writer.add("verdict.json", verdict)
        writer.add("environment.json", {"kernel": "6", "agent": "oracle"})
        tamper(writer)
        stated = {
            "run_id": "r1",
            "trial": 0,
            "agent": "oracle",
            "task": {"id": "small", "digest": "sha256:" + "1" * 64},
            "contract": CONTRACT_FACTS,
            **{name: verdict[name] for name in ("verdict", "score", "raw_score")},
            **facts,
        }
        return writer.seal(key, Predicate(**stated))


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "pristine", key)
