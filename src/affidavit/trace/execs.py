"""The table of commands that stands beside the trace of a session's sandbox."""

from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from affidavit.events import EXEC_SCHEMA
from affidavit.trace.files import AtomicFile, typed_batches, writing


def write_execs(path: Path, execs: pa.Table) -> None:
    """Write a table of EXEC_SCHEMA, whole or not at all.

    Raises:
        TraceError: the disk is full, or the folder can't be written to.
    """
    target = AtomicFile(path)
    try:
        with writing(path):
            pq.write_table(execs.cast(EXEC_SCHEMA), target.file, compression="zstd")
        target.commit()
    finally:
        target.abandon()


def read_execs(source: Path | BinaryIO, name: str | None = None) -> pa.Table:
    """The commands of a session as a table of EXEC_SCHEMA.

    Args:
        source: the Parquet file, or an open one (which stays open).
        name: what messages call it; by default its path.

    Raises:
        TraceError: the file can't be read, is no table of commands or is damaged.
    """
    return pa.Table.from_batches(typed_batches(source, EXEC_SCHEMA, "a table of commands", name), EXEC_SCHEMA)
