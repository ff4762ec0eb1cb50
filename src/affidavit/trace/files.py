"""Traces as Parquet files.

Written columnar, in bounded memory, whole or not at all. What is read may be hostile.
"""

import errno
import os
import secrets
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from affidavit.errors import AffidavitError
from affidavit.events import EVENT_SCHEMA, LONGEST_TEXT_BYTES, LONGEST_WORDS_BYTES
from affidavit.signing import sync_folder

_FEW_ROWS = 10_000
BATCH_ROWS = 64 * 1024

# What a file's footer may make the reader allocate, and the largest row group (bytes, decoded): the writer stays far
# below both.
_FOOTER_STRING_BYTES = 16 << 20
_FOOTER_ITEMS = 1 << 20
_ROW_GROUP_BYTES = 1 << 30

# A row group is cut at whichever comes first.
ROW_GROUP_ROWS = 128 * 1024
ROW_GROUP_BYTES = 32 << 20

# Batches are joined when this many wait, so that a flood of one-row batches costs rows, not objects.
_JOIN_BATCHES = 256

_DELTA_COLUMNS = ("seq", "ts_ns")
_DICTIONARY_PAGE_BYTES = 8 << 20


class TraceError(AffidavitError):
    """A trace can't be read, written or queried; one clear line that names the file."""


def one_line(error: BaseException, length: int = 300) -> str:
    """The text of an error on one line, cut at `length` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= length else text[: length - 1] + "…"


@contextmanager
def open_regular(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a file for reading without ever blocking; a file object is handed through, set to its start.

    Raises:
        TraceError: it is not there, or is no regular file (a FIFO, a device, a folder).
    """
    if not isinstance(source, Path):
        source.seek(0)
        yield source
        return
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise TraceError(f"{source}: can't be opened: {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TraceError(f"{source}: is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def typed_batches(
    source: Path | BinaryIO, schema: pa.Schema, what: str, name: str | None, columns: Container[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file as batches of exactly `schema`, each valid to its last index and UTF-8 sequence.

    Args:
        source: the file, or an open one.
        schema: its columns must be these, in this order.
        what: what the file should be, for messages ("a trace").
        name: what messages call the file; by default its path.
        columns: of these alone, in the schema's order; what the others hold is then not looked at.

    Raises:
        TraceError: the file is not Parquet, is damaged, or does not hold `schema`.
    """
    name = name or str(source)
    wanted = schema if columns is None else pa.schema([field for field in schema if field.name in columns])
    dictionaries = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    with open_regular(source) as file:
        try:
            parquet = pq.ParquetFile(
                file,
                read_dictionary=dictionaries,
                thrift_string_size_limit=_FOOTER_STRING_BYTES,
                thrift_container_size_limit=_FOOTER_ITEMS,
                # A footer may carry a serialised Arrow schema with types of its own; columns are cast below.
                arrow_extensions_enabled=False,
            )
            if parquet.schema_arrow.names != schema.names:
                raise TraceError(f"{name}: is not {what}: its columns are not those of the schema")
            for index in range(parquet.metadata.num_row_groups):
                if parquet.metadata.row_group(index).total_byte_size > _ROW_GROUP_BYTES:
                    raise TraceError(f"{name}: row group {index} is larger than {_ROW_GROUP_BYTES >> 20} MiB")
            # One row group at a time: a batch over several can come to more than pyarrow can join (2 GiB).
            for index in range(parquet.metadata.num_row_groups):
                # For a few rows, handing them to other threads and back takes longer than reading them.
                threads = parquet.metadata.row_group(index).num_rows > _FEW_ROWS
                names = None if columns is None else wanted.names
                for batch in parquet.iter_batches(BATCH_ROWS, [index], names, use_threads=threads):
                    if batch.num_rows:
                        yield _typed(batch, wanted, name, what)
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
            raise TraceError(f"{name}: is not {what} or is damaged: {one_line(error)}") from error


def _typed(batch: pa.RecordBatch, schema: pa.Schema, name: str, what: str) -> pa.RecordBatch:
    """`batch` as `schema`. Only losslessly: a value out of a column's range is an error of pyarrow's."""
    batch.validate(full=True)
    columns = []
    for field, column in zip(schema, batch.columns, strict=True):
        if pa.types.is_dictionary(field.type):
            if not pa.types.is_dictionary(column.type):
                column = column.cast(pa.utf8()).dictionary_encode()
            if column.dictionary.null_count:
                column = column.cast(pa.utf8()).dictionary_encode()
        elif pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        column = column.cast(field.type)
        if not field.nullable and column.null_count:
            raise TraceError(f"{name}: is not {what}: the column {field.name} has no value in some row")
        longest, most = _longest(column)
        if longest > most:
            raise TraceError(
                f"{name}: the column {field.name} has a value of {longest} bytes, which no recorder writes"
            )
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _longest(column: pa.Array) -> tuple[int, int]:
    """Bytes of the longest value of a column of text or of lists of text, and how many a recorder writes at most."""
    if pa.types.is_dictionary(column.type):
        return pc.max(pc.binary_length(column.dictionary)).as_py() or 0, LONGEST_TEXT_BYTES
    if not pa.types.is_list(column.type) or not len(column):
        return 0, 0
    lengths = pc.fill_null(pc.binary_length(column.flatten()), 0).to_numpy()
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    words = np.concatenate([[0], np.cumsum(column.value_lengths().fill_null(0).to_numpy(), dtype=np.int64)])
    return int((ends[words[1:]] - ends[words[:-1]]).max()), LONGEST_WORDS_BYTES


def trace_batches(
    source: Path | BinaryIO, name: str | None = None, columns: Container[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The events of a trace in order, as batches of EVENT_SCHEMA of at most 65,536 rows; memory stays bounded.

    Args:
        source: the Parquet file, or an open one (which stays open).
        name: what messages call it; by default its path.
        columns: of EVENT_SCHEMA these alone, in its order, which is quicker; None: all.

    Raises:
        TraceError: while iterating: the file can't be read, is no trace or is damaged.
    """
    return typed_batches(source, EVENT_SCHEMA, "a trace", name, columns)


def read_trace(source: Path | BinaryIO, name: str | None = None) -> pa.Table:
    """All events of a trace as one table of EVENT_SCHEMA. Raises TraceError as `trace_batches` does."""
    return pa.Table.from_batches(trace_batches(source, name), EVENT_SCHEMA).unify_dictionaries()


def in_sequence(batch: pa.RecordBatch, start: int) -> bool:
    """Whether the ``seq`` of a batch of EVENT_SCHEMA counts up from `start` without a gap."""
    seq = batch.column("seq").to_numpy()
    return bool((seq == np.arange(start, start + len(seq))).all())


class AtomicFile:
    """A new file that gets its name `path` only when it is whole: `commit` gives it, `abandon` leaves nothing.

    Attributes:
        path: its name in the end.
        file: to write to.

    Raises:
        TraceError: the folder can't be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        with writing(path):
            self.file: BinaryIO = self._temporary.open("xb")

    def commit(self) -> None:
        """Make it durable and name it. Raises TraceError, and leaves nothing, where the disk is full."""
        try:
            with writing(self.path):
                self.file.flush()
                os.fsync(self.file.fileno())
                self.file.close()
                self._temporary.replace(self.path)
                sync_folder(self.path.parent)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove what is not committed."""
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            self._temporary.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into a TraceError that says why `path` can't be written."""
    try:
        yield
    except OSError as error:
        raise TraceError(f"{path}: can't be written: {_reason(error)}") from error


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file, whole or not at all. Raises TraceError."""
    target = AtomicFile(path)
    try:
        with writing(path):
            pq.write_table(table, target.file, compression="zstd")
        target.commit()
    finally:
        target.abandon()


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full; make room or choose another output folder"
    if error.errno == errno.EDQUOT:
        return "the disk quota is used up; make room or choose another output folder"
    return error.strerror or one_line(error)


_DICTIONARIES = [index for index, field in enumerate(EVENT_SCHEMA) if pa.types.is_dictionary(field.type)]
_LISTS = [index for index, field in enumerate(EVENT_SCHEMA) if pa.types.is_list(field.type)]
_FIXED_BYTES = sum(
    field.type.index_type.byte_width if pa.types.is_dictionary(field.type) else field.type.byte_width
    for field in EVENT_SCHEMA
    if not pa.types.is_list(field.type)
)


class TraceWriter:
    """Writes one trace. Used as a context manager: the file is at `path` after the block, whole, or, where the block
    raised, not at all.

    Attributes:
        path: the Parquet file.
        events: rows written so far.
        continuous: whether their ``seq`` counts from 0 without a gap; where it does not, events are missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = 0
        self.continuous = True
        self._joined: list[pa.RecordBatch] = []
        self._fresh: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0
        self._seen: set[int] = set()
        self._parquet: pq.ParquetWriter | None = None
        self._file: AtomicFile | None = None

    def __enter__(self) -> "TraceWriter":
        self._file = AtomicFile(self.path)
        self._parquet = pq.ParquetWriter(
            self._file.file,
            EVENT_SCHEMA,
            compression="zstd",
            use_dictionary=[
                name if not pa.types.is_list(EVENT_SCHEMA.field(name).type) else f"{name}.list.element"
                for name in EVENT_SCHEMA.names
                if name not in _DELTA_COLUMNS
            ],
            column_encoding=dict.fromkeys(_DELTA_COLUMNS, "DELTA_BINARY_PACKED"),
            dictionary_pagesize_limit=_DICTIONARY_PAGE_BYTES,
            write_statistics=list(_DELTA_COLUMNS),
        )
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Add events.

        Args:
            batch: rows of EVENT_SCHEMA, in order after those already written. It is kept for a while: its buffers
                must not change.

        Raises:
            TraceError: the batch is not of EVENT_SCHEMA, or the disk is full.
        """
        if not batch.schema.equals(EVENT_SCHEMA):
            raise TraceError(f"{self.path}: a batch that is not of the event schema")
        if not batch.num_rows:
            return
        if batch.num_rows > 1 and sum(int(batch.column(index).nbytes) for index in _LISTS) > ROW_GROUP_BYTES:
            # What a reader refuses, or pyarrow can't join (2 GiB), must not be written.
            half = batch.num_rows // 2
            self.write(batch.slice(0, half))
            self.write(batch.slice(half))
            return
        self.continuous = self.continuous and in_sequence(batch, self.events)
        self._fresh.append(batch)
        self._rows += batch.num_rows
        self._bytes += self._new_bytes(batch)
        self.events += batch.num_rows
        if self._rows >= ROW_GROUP_ROWS or self._bytes >= ROW_GROUP_BYTES:
            self._write_row_group()
        elif len(self._fresh) >= _JOIN_BATCHES:
            self._joined.append(_joined(self._fresh))
            self._fresh.clear()

    def _new_bytes(self, batch: pa.RecordBatch) -> int:
        """What a batch adds to memory: a dictionary that batches share counts once."""
        total: int = _FIXED_BYTES * batch.num_rows
        for index in _DICTIONARIES:
            dictionary = batch.column(index).dictionary
            address = next((b.address for b in reversed(dictionary.buffers()) if b is not None), 0)
            if address not in self._seen:
                self._seen.add(address)
                total += dictionary.nbytes
        return total + sum(int(batch.column(index).nbytes) for index in _LISTS)

    def _write_row_group(self) -> None:
        if not self._rows or self._parquet is None:
            return
        batch = _joined([*self._joined, *self._fresh])
        self._joined.clear()
        self._fresh.clear()
        self._seen.clear()
        self._rows = self._bytes = 0
        with writing(self.path):
            self._parquet.write_batch(_compacted(batch), row_group_size=batch.num_rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._parquet is None or self._file is None:
            return
        try:
            if error is None:
                self._write_row_group()
                with writing(self.path):
                    self._parquet.close()
                self._file.commit()
        finally:
            # Closing writes a footer to a file that is about to go; what that raises says nothing new.
            with suppress(Exception):
                self._parquet.close()
            self._file.abandon()
            self._parquet = None


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of all rows, each dictionary column over one dictionary."""
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches, EVENT_SCHEMA).unify_dictionaries().combine_chunks()
    return table.to_batches()[0]


def _compacted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch` without the dictionary entries that none of its rows uses: Parquet would store them."""
    columns = []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and len(column.dictionary):
            indices = column.indices.fill_null(-1).to_numpy()
            used = np.zeros(len(column.dictionary) + 1, dtype=bool)
            used[indices] = True  # a null marks the last place, which stands for no entry
            used = used[:-1]
            if not used.all():
                places = np.cumsum(used, dtype=np.int32) - 1
                moved = np.append(places, 0)[indices]
                column = pa.DictionaryArray.from_arrays(
                    pa.array(moved, pa.int32(), mask=indices < 0), column.dictionary.filter(pa.array(used))
                )
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)
