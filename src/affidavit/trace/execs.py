"""The table of commands that stands beside the trace of a session's sandbox."""

from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from affidavit.events import EXEC_SCHEMA
from affidavit.trace.files import typed_batches, write_table


def write_execs(path: Path, execs: pa.Table) -> None:
    """Write a table of EXEC_SCHEMA, whole or not at all.

    Raises:
        TraceError: the disk is full, or the folder can't be written to.
    """
    write_table(path, execs.cast(EXEC_SCHEMA))


def read_execs(source: Path | BinaryIO, name: str | None = None) -> pa.Table:
    """The commands of a session as a table of EXEC_SCHEMA.

    Args:
        source: the Parquet file, or an open one (which stays open).
        name: what messages call it; by default its path.

    Raises:
        TraceError: the file can't be read, is no table of commands or is damaged.
    """
    return pa.Table.from_batches(typed_batches(source, EXEC_SCHEMA, "a table of commands", name), EXEC_SCHEMA)
