"""The decision log as a Parquet file: every exchange of an agent with its model, each row chained to the one before."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from affidavit.events import MODEL_SCHEMA
from affidavit.signing import EvidenceError, canonical_json
from affidavit.trace.files import ROW_GROUP_BYTES, AtomicFile, TraceError, typed_batches, writing

_BODIES = ("request", "response")
_START = bytes(32)


@dataclass(frozen=True)
class ModelLog:
    """What a decision log comes to.

    Attributes:
        turns: its rows.
        head: hash of the last one; 32 zero bytes where there is none.
    """

    turns: int
    head: bytes


def write_model_log(path: Path, rows: Iterable[Mapping[str, Any]]) -> ModelLog:
    """Write a decision log, whole or not at all.

    Args:
        path: the Parquet file.
        rows: the columns of MODEL_SCHEMA but for ``hash``, in the order of turns.

    Raises:
        TraceError: a row does not fit, the disk is full, or the folder can't be written to.
    """
    target = AtomicFile(path)
    head, turns, waiting, size = _START, 0, list[dict[str, Any]](), 0
    try:
        with writing(path), pq.ParquetWriter(target.file, MODEL_SCHEMA, compression="zstd") as parquet:
            for row in rows:
                head = _link(head, row, str(path))
                waiting.append({**row, "hash": head})
                turns, size = turns + 1, size + sum(len(row[name]) for name in _BODIES)
                if size >= ROW_GROUP_BYTES:
                    parquet.write_batch(pa.RecordBatch.from_pylist(waiting, MODEL_SCHEMA))
                    waiting, size = [], 0
            if waiting:
                parquet.write_batch(pa.RecordBatch.from_pylist(waiting, MODEL_SCHEMA))
        target.commit()
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise TraceError(f"{path}: a row that is not of the schema: {error}") from error
    finally:
        target.abandon()
    return ModelLog(turns, head)


def model_batches(source: Path | BinaryIO, name: str | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a decision log in order, in batches of MODEL_SCHEMA.

    Args:
        source: the Parquet file, or an open one (which stays open).
        name: what messages call it; by default its path.

    Raises:
        TraceError: while iterating: the file can't be read, is no decision log or is damaged.
    """
    return typed_batches(source, MODEL_SCHEMA, "a decision log", name)


def model_chain(batches: Iterable[pa.RecordBatch], name: str) -> ModelLog:
    """What a decision log comes to, with every hash recomputed.

    Args:
        batches: of MODEL_SCHEMA.
        name: what messages call it.

    Raises:
        TraceError: a turn is missing, or a row is not the one that its hash is of.
    """
    head, turns = _START, 0
    for batch in batches:
        for index in range(batch.num_rows):
            (row,) = batch.slice(index, 1).to_pylist()
            turns += 1
            if row["turn"] != turns:
                raise TraceError(f"{name}: turn {turns} is missing")
            head = _link(head, row, name)
            if row["hash"] != head:
                raise TraceError(f"{name}: turn {turns} is not the one that was chained")
    return ModelLog(turns, head)


def _link(before: bytes, row: Mapping[str, Any], name: str) -> bytes:
    """The hash of a row: SHA-256 over the one before and the canonical JSON (RFC 8785) of its columns, in which a body
    is its size and SHA-256 in hex."""
    value = {column: part for column, part in row.items() if column != "hash"}
    for body in _BODIES:
        value[body] = {"size": len(value[body]), "sha256": hashlib.sha256(value[body]).hexdigest()}
    try:
        return hashlib.sha256(before + canonical_json(value)).digest()
    except EvidenceError as error:
        raise TraceError(f"{name}: a row {error}") from error
