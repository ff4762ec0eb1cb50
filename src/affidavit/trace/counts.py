"""The table of system call counts that stands beside a trace."""

from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from affidavit.events import COUNT_SCHEMA
from affidavit.trace.files import TraceError, typed_batches, write_table


def write_counts(path: Path, counts: pa.Table) -> None:
    """Write counts, whole or not at all.

    Args:
        path: the Parquet file.
        counts: rows of COUNT_SCHEMA.

    Raises:
        TraceError: the table is not of COUNT_SCHEMA, the disk is full, or the folder can't be written to.
    """
    if not counts.schema.equals(COUNT_SCHEMA):
        raise TraceError(f"{path}: a table that is not of the count schema")
    write_table(path, counts)


def read_counts(source: Path | BinaryIO, name: str | None = None) -> pa.Table:
    """Counts as a table of COUNT_SCHEMA.

    Args:
        source: the Parquet file, or an open one (which stays open).
        name: what messages call it; by default its path.

    Raises:
        TraceError: the file can't be read, is no table of counts or is damaged.
    """
    return pa.Table.from_batches(typed_batches(source, COUNT_SCHEMA, "a table of counts", name), COUNT_SCHEMA)
