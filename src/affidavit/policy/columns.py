"""A batch of events as numpy arrays. Names stay codes into short lists of distinct ones."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int32]


class Names:
    """A column of names.

    Attributes:
        codes: for each row the index into `distinct`, -1 for null.
        distinct: the names that occur, each once.
    """

    def __init__(self, column: pa.Array) -> None:
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        indices = column.indices
        if indices.null_count:
            indices = pc.fill_null(indices, -1)
        codes = indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
        distinct = column.dictionary
        if len(distinct) > len(codes):
            # A slice of something larger: only the names that occur are worth a look.
            used, codes = np.unique(codes, return_inverse=True)
            none = int(len(used) > 0 and used[0] < 0)
            distinct = distinct.take(pa.array(used[none:]))
            codes = (codes - none).astype(np.int32)
        self.codes: Codes = codes
        self.distinct = distinct

    def at(self, row: int) -> str | None:
        """The name in a row."""
        code = int(self.codes[row])
        return None if code < 0 else self.distinct[code].as_py()

    def values(self, codes: Codes) -> list[str | None]:
        """The names behind codes."""
        taken: list[str | None] = self.distinct.take(pa.array(codes, pa.int32(), mask=codes < 0)).to_pylist()
        return taken

    def spread(self, of_distinct: npt.NDArray[Any], null: Any) -> npt.NDArray[Any]:
        """For each row what `of_distinct` has for its name; `null` where the row has none."""
        # The null's value stands last, where the code -1 finds it.
        return np.append(of_distinct, np.asarray([null], of_distinct.dtype))[self.codes]


class Batch:
    """The columns of a batch, each made when it is first asked for."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._names: dict[str, Names] = {}
        self._numbers: dict[str, npt.NDArray[Any]] = {}
        self.rows: int = batch.num_rows

    def names(self, column: str) -> Names:
        if column not in self._names:
            self._names[column] = Names(self._batch.column(column))
        return self._names[column]

    def numbers(self, column: str) -> npt.NDArray[Any]:
        """A column of numbers; -1 for null."""
        if column not in self._numbers:
            values = self._batch.column(column)
            if values.null_count:
                values = pc.fill_null(values, -1)
            self._numbers[column] = values.to_numpy(zero_copy_only=False)
        return self._numbers[column]

    def argv(self, row: int) -> list[str]:
        words: list[str] | None = self._batch.column("argv")[row].as_py()
        return words or []
