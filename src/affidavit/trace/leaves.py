"""A trace as leaves of a Merkle tree: bytes that depend on the events alone.

A leaf is 1,024 consecutive events (the last one: what is left). It does not matter how the events came in batches, how
dictionaries were ordered or how the file was laid out: the same events give the same leaves. ``docs/bundle.md``
describes the bytes.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import EVENT_SCHEMA
from affidavit.trace.files import TraceError

EVENTS_PER_LEAF = 1024

_TAG = b"affidavit.events/1\n"
# Rows whose dictionaries are decoded at once: few enough that paths of 4 KiB stay below 100 MiB a column.
_BLOCK_ROWS = 16 * EVENTS_PER_LEAF

# What an agent puts into arguments (4 bytes for each that is no UTF-8) can be more than pyarrow joins, which is 2 GiB.
# Of rows with more than this, no more are kept than a leaf needs, and they are encoded a few at a time.
_MOST_BLOCK_BYTES = 64 << 20
_FEW_ROWS = 32

_LISTS = [index for index, field in enumerate(EVENT_SCHEMA) if pa.types.is_list(field.type)]

# Bytes of the rows from one index to another of one column.
_Encoder = Callable[[int, int], bytes]


def trace_leaves(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """The leaves of a trace, in order.

    Args:
        batches: events of EVENT_SCHEMA, however cut.

    Raises:
        TraceError: a batch is not of EVENT_SCHEMA.
    """
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if not batch.schema.equals(EVENT_SCHEMA):
            raise TraceError("a batch that is not of the event schema")
        waiting.append(batch)
        rows += batch.num_rows
        # Dictionaries are shared between batches.
        size += sum(int(batch.column(index).nbytes) for index in _LISTS)
        block = _BLOCK_ROWS if size < _MOST_BLOCK_BYTES else EVENTS_PER_LEAF
        if rows >= block:
            table = pa.Table.from_batches(waiting)
            whole = rows - rows % block
            for start in range(0, whole, block):
                yield from _block_leaves(table.slice(start, block))
            waiting = table.slice(whole).to_batches()
            rows -= whole
            size = 0
    if rows:
        yield from _block_leaves(pa.Table.from_batches(waiting))


def _block_leaves(table: pa.Table) -> Iterator[bytes]:
    if sum(_decoded_bytes(column) for column in table.columns) > _MOST_BLOCK_BYTES:
        for start in range(0, table.num_rows, EVENTS_PER_LEAF):
            yield _large_leaf(table.slice(start, EVENTS_PER_LEAF))
        return
    encoders: list[_Encoder] = []
    for field in EVENT_SCHEMA:
        encoders += _column(_flat(table[field.name]), field.nullable)
    for start in range(0, table.num_rows, EVENTS_PER_LEAF):
        end = min(start + EVENTS_PER_LEAF, table.num_rows)
        head = _TAG + (end - start).to_bytes(4, "little")
        yield b"".join([head, *(encode(start, end) for encode in encoders)])


def _decoded_bytes(column: pa.ChunkedArray) -> int:
    """What a column takes without its dictionary."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = (pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in column.chunks)
    return sum(pc.sum(of_chunk).as_py() or 0 for of_chunk in lengths)


def _large_leaf(table: pa.Table) -> bytes:
    parts = [_TAG + table.num_rows.to_bytes(4, "little")]
    for field in EVENT_SCHEMA:
        pieces: list[list[bytes]] = []
        for start in range(0, table.num_rows, _FEW_ROWS):
            few = table[field.name].slice(start, _FEW_ROWS)
            pieces.append([encode(0, len(few)) for encode in _column(_flat(few), field.nullable)])
        # What an encoder says of rows is what it says of the first of them and of the others.
        parts += chain.from_iterable(zip(*pieces, strict=True))
    return b"".join(parts)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array without a dictionary."""
    chunks = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in column.chunks]
    return pa.concat_arrays(chunks) if len(chunks) != 1 else chunks[0]


def _column(array: pa.Array, nullable: bool) -> list[_Encoder]:
    """Encoders of one column: which rows are null (a byte a row, where the schema allows nulls), then the values."""
    encoders: list[_Encoder] = []
    if nullable:
        encoders.append(_fixed(array.is_null().cast(pa.uint8()).to_numpy()))
    if pa.types.is_list(array.type):
        return [*encoders, *_lists(array)]
    if pa.types.is_string(array.type):
        return [*encoders, *_strings(array)]
    values = (array.fill_null(0) if array.null_count else array).to_numpy()
    return [*encoders, _fixed(values.astype(values.dtype.newbyteorder("<"), copy=False))]


def _fixed(values: npt.NDArray[np.generic]) -> _Encoder:
    values = np.ascontiguousarray(values)
    return lambda start, end: values[start:end].tobytes()


def _strings(array: pa.Array) -> list[_Encoder]:
    """uint32 lengths, then all bytes. A null is of length 0."""
    array = array.fill_null("") if array.null_count else array
    offsets, data = _offsets(array), memoryview(array.buffers()[2] or b"")
    lengths = np.diff(offsets).astype("<u4")
    return [_fixed(lengths), lambda start, end: bytes(data[offsets[start] : offsets[end]])]


def _lists(array: pa.Array) -> list[_Encoder]:
    """uint32 lengths, then the elements of all rows as a column that allows nulls. A null list is of length 0."""
    # `flatten` leaves out what lies behind a null list, so offsets are computed from the lengths.
    lengths = array.value_lengths().fill_null(0).to_numpy().astype("<u4")
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    inner = _column(array.flatten(), nullable=True)

    def shifted(encode: _Encoder) -> _Encoder:
        return lambda start, end: encode(int(offsets[start]), int(offsets[end]))

    return [_fixed(lengths), *(shifted(encode) for encode in inner)]


def _offsets(array: pa.Array) -> npt.NDArray[np.int32]:
    """The n + 1 offsets into the bytes of a string array."""
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(1, dtype=np.int32)
    return np.frombuffer(buffer, dtype=np.int32, count=len(array) + 1, offset=4 * array.offset)
