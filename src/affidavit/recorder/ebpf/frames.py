"""What the loader writes, as Arrow data: its buffers are wrapped, not copied, and no row is looked at here.

The layout is said at the head of ``record.c``.
"""

import struct
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from affidavit.events import COUNT_SCHEMA, EVENT_SCHEMA, OPS, SYSTEM_CALL_NAMES

SOURCES = ("ebpf/kernel", "ebpf/memory", "ebpf/raced")
"""In the order of ``enum source`` in record.h."""

_OPS = pa.array(OPS, pa.utf8())
_SOURCES = pa.array(SOURCES, pa.utf8())
# record.h: CALL_COMPAT, CALL_UNKNOWN.
_CALLS = SYSTEM_CALL_NAMES | {510: "32-bit", 511: "unknown"}
_NAMED = pa.array([_CALLS.get(number, f"syscall_{number}") for number in range(512)], pa.utf8())
_TOTALS = struct.Struct("=QQQQQQqQQQQ")


class FrameError(Exception):
    """A frame that the loader can't have written."""


@dataclass(frozen=True)
class Totals:
    """What the programs and the loader counted.

    Attributes:
        emitted: records that were made, those dropped included.
        dropped: records that found the ring buffer full.
        unmarked: tasks that could not be marked as the sandbox's.
        uncounted: system calls that no count was kept of.
        foreign: calls that nothing is made of: by the 32-bit or x32 entry, and io_uring's.
        reentered: records that were not made, because one was being made.
        live: tasks of the sandbox that had not ended.
        received: records that arrived at the loader.
        malformed: records that the loader could not read.
        cut: records with a path longer than 8 KiB, of which the part next to the root is missing.
        missed: runs of a program that the kernel left out.
    """

    emitted: int
    dropped: int
    unmarked: int
    uncounted: int
    foreign: int
    reentered: int
    live: int
    received: int
    malformed: int
    cut: int
    missed: int


class _Buffers:
    """The buffers of one frame, taken in their order."""

    def __init__(self, payload: bytearray) -> None:
        if len(payload) < 8:
            raise FrameError("a frame without a head")
        self.rows, count = struct.unpack_from("=II", payload)
        if len(payload) < 8 + 16 * count:
            raise FrameError("a frame shorter than its list of buffers")
        whole = pa.py_buffer(payload)
        self._buffers = []
        for index in range(count):
            offset, length = struct.unpack_from("=QQ", payload, 8 + 16 * index)
            if offset + length > len(payload):
                raise FrameError("a buffer past the end of its frame")
            self._buffers.append(whole.slice(offset, length))
        self._buffers.reverse()

    def take(self, length: int = 0) -> pa.Buffer:
        """The next buffer, which must have `length` bytes at least."""
        if not self._buffers:
            raise FrameError("a frame with too few buffers")
        buffer = self._buffers.pop()
        if buffer.size < length:
            raise FrameError("a buffer with too few values")
        return buffer

    def numbers(self, kind: pa.DataType) -> pa.Array:
        return pa.Array.from_buffers(kind, self.rows, [None, self.take(self.rows * kind.bit_width // 8)])

    def nullable(self) -> pa.Array:
        """int32 values, then which of them are valid."""
        values = self.take(self.rows * 4)
        return pa.Array.from_buffers(pa.int32(), self.rows, [self.take((self.rows + 7) // 8), values])

    def strings(self) -> pa.Array:
        """Offsets, then UTF-8 bytes."""
        offsets = self.take()
        if offsets.size == 0:
            self.take()
            return pa.array([], pa.utf8())
        ends = np.frombuffer(offsets, np.int32, offsets.size // 4)
        if not len(ends) or ends[-1] < 0:
            raise FrameError("strings without an end")
        last = int(ends[-1])
        return pa.Array.from_buffers(pa.utf8(), offsets.size // 4 - 1, [None, offsets, self.take(last)])


def _named(indices: pa.Array, names: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(indices, names, safe=False)


def batch(payload: bytearray, first: int) -> pa.RecordBatch:
    """Rows of EVENT_SCHEMA.

    Args:
        payload: of a frame 'B'; the batch keeps it.
        first: ``seq`` of its first row.

    Raises:
        FrameError: no batch.
    """
    b = _Buffers(payload)
    rows = b.rows
    int32, int64 = pa.int32(), pa.int64()
    column: dict[str, pa.Array] = {}
    for name, kind in {"ts_ns": int64, "pid": int32, "tid": int32, "ppid": int32}.items():
        column[name] = b.numbers(kind)
    # Only now is it known that the frame is long enough for as many rows as its head says.
    column["seq"] = pa.array(np.arange(first, first + rows, dtype=np.int64))
    column["op"] = _named(b.numbers(int32), _OPS)
    for name, kind in {"flags": int64, "mode": int32, "ret": int64, "uid": int64, "gid": int64}.items():
        column[name] = b.numbers(kind)
    column["source"] = _named(b.numbers(int32), _SOURCES)
    comm = b.numbers(int32)
    path, path2, addr, column["port"], proto, exe = (b.nullable() for _ in range(6))
    ends, valid = b.take((rows + 1) * 4), b.take((rows + 7) // 8)
    arguments = b.strings()
    if int(np.frombuffer(ends, np.int32, rows + 1)[rows]) > len(arguments):
        raise FrameError("arguments past the end of their frame")
    column["argv"] = pa.ListArray.from_buffers(pa.list_(pa.utf8()), rows, [valid, ends], children=[arguments])
    for name, indices in {"path": path, "path2": path2, "addr": addr, "proto": proto, "exe": exe, "comm": comm}.items():
        column[name] = _named(indices, b.strings())
    return pa.RecordBatch.from_arrays([column[name] for name in EVENT_SCHEMA.names], schema=EVENT_SCHEMA)


def end(payload: bytearray) -> tuple[Totals, pa.Table]:
    """Totals and the table of COUNT_SCHEMA from a frame 'F'. Raises FrameError."""
    b = _Buffers(payload)
    totals = Totals(*_TOTALS.unpack_from(b.take(_TOTALS.size)))
    pid, call, count = b.numbers(pa.int32()), b.numbers(pa.int32()), b.numbers(pa.int64())
    exe = _named(b.nullable(), b.strings())
    columns = [pid, exe.cast(pa.utf8()), _NAMED.take(call), count]
    return totals, pa.Table.from_arrays(columns, schema=COUNT_SCHEMA)
