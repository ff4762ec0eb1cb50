"""Rows of the event schema, gathered one by one and handed over as record batches.

For recorders whose road is slow anyway; the eBPF recorder builds its batches without a Python object for each event.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from affidavit.events import EVENT_SCHEMA

_DEFAULTS: dict[str, Any] = {
    "path": None,
    "path2": None,
    "flags": 0,
    "mode": 0,
    "addr": None,
    "port": None,
    "proto": None,
    "exe": None,
    "argv": None,
    "comm": None,
    "uid": 0,
    "gid": 0,
}
_INT64 = (-(1 << 63), (1 << 63) - 1)
_INT32 = (-(1 << 31), (1 << 31) - 1)
_INT64_COLUMNS = ("ts_ns", "flags", "ret", "uid", "gid")
_INT32_COLUMNS = ("pid", "tid", "ppid", "mode", "port")


def _bounded(value: int, bits: int) -> int:
    """`value` as a two's complement number of that many bits, as the kernel would read it."""
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


class Rows:
    """A batch in the making. `seq` counts on from batch to batch."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._taken = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def total(self) -> int:
        """Rows so far, those of batches already taken included."""
        return self._taken + len(self._rows)

    def add(self, row: dict[str, Any]) -> None:
        """Add a row.

        Args:
            row: values by column of EVENT_SCHEMA, ``seq`` left out; a column that is left out is null or 0.
        """
        self._rows.append(row)

    def take(self) -> pa.RecordBatch:
        """The rows since the last call, as a batch of EVENT_SCHEMA."""
        rows, self._rows = self._rows, []
        arrays: list[pa.Array] = [pa.array(range(self._taken, self._taken + len(rows)), pa.int64())]
        self._taken += len(rows)
        for field in EVENT_SCHEMA:
            if field.name != "seq":
                arrays.append(_array(field, [row.get(field.name, _DEFAULTS.get(field.name)) for row in rows]))
        return pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)


def _array(field: pa.Field, values: Sequence[Any]) -> pa.Array:
    if pa.types.is_dictionary(field.type):
        return pa.array(values, pa.utf8()).dictionary_encode()
    if field.name in _INT64_COLUMNS or field.name in _INT32_COLUMNS:
        low, high = _INT64 if field.name in _INT64_COLUMNS else _INT32
        bits = 64 if field.name in _INT64_COLUMNS else 32
        values = [v if v is None or low <= v <= high else _bounded(v, bits) for v in values]
    return pa.array(values, field.type)
