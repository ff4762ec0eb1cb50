"""The decision log as a file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from affidavit.events import MODEL_SCHEMA, ModelRow
from affidavit.trace import ModelLog, TraceError, model_batches, model_chain, write_model_log


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            **{field.name: "" for field in MODEL_SCHEMA if pa.types.is_string(field.type)},
            "turn": turn,
            "started_ns": turn,
            "answered_ns": None if turn == 2 else turn,
            "ended_ns": turn,
            "status": 200,
            "stripped": ["web_search"],
            "input_tokens": 1,
            "output_tokens": 2,
            "estimated": False,
            "request": b"\xff" * turn,
            "response": b"{}",
        }
        for turn in range(1, count + 1)
    ]


def rewritten(path: Path, change: Iterable[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist([*change], MODEL_SCHEMA), path)


def test_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "model.parquet"
    written = write_model_log(path, rows(3))
    assert written.turns == 3
    assert model_chain(model_batches(path), "x") == written
    read = [row for batch in model_batches(path) for row in batch.to_pylist()]
    assert [{name: value for name, value in row.items() if name != "hash"} for row in read] == rows(3)
    assert read[-1]["hash"] == written.head


def test_an_empty_log_has_a_head_too(tmp_path: Path) -> None:
    path = tmp_path / "model.parquet"
    assert write_model_log(path, []) == model_chain(model_batches(path), "x") == ModelLog(0, bytes(32))


def test_the_chain_is_as_the_documentation_says(tmp_path: Path) -> None:
    first = write_model_log(tmp_path / "one", rows(1)).head
    # docs/bundle.md, computed by hand.
    assert first.hex() == "4ac09bbde3651725e1ba0ba52a9d0b4e8eed5ff243aebdc69431ac9b12be8858"


@pytest.mark.parametrize("column", ["status", "reason", "request", "answered_ns", "stripped"])
def test_a_changed_row_is_found(tmp_path: Path, column: str) -> None:
    path = tmp_path / "model.parquet"
    write_model_log(path, rows(3))
    table = pq.read_table(path).to_pylist()
    table[1][column] = {"status": 500, "reason": "x", "request": b"x", "answered_ns": 9, "stripped": []}[column]
    rewritten(path, table)
    with pytest.raises(TraceError, match="turn 2 is not the one that was chained"):
        model_chain(model_batches(path), "model.parquet")


def test_a_missing_or_moved_row_is_found(tmp_path: Path) -> None:
    path = tmp_path / "model.parquet"
    write_model_log(path, rows(3))
    table = pq.read_table(path).to_pylist()
    for wrong in ([table[0], table[2]], [table[1], table[0], table[2]]):
        rewritten(path, wrong)
        with pytest.raises(TraceError, match="is missing"):
            model_chain(model_batches(path), "model.parquet")
    rewritten(path, table[:2])
    assert model_chain(model_batches(path), "model.parquet").head != table[2]["hash"]


def test_what_is_no_log_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(TraceError, match="is not a decision log"):
        list(model_batches(path))


def test_a_row_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.parquet"
    with pytest.raises(TraceError, match="not of the schema"):
        write_model_log(path, [{**rows(1)[0], "status": "many"}])
    assert [*tmp_path.iterdir()] == []


def test_a_typed_row_has_the_columns_of_the_schema() -> None:
    assert [*ModelRow.__annotations__] == MODEL_SCHEMA.names
