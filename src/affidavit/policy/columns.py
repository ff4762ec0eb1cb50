"""A batch of events as numpy arrays. Names stay codes into short lists of distinct ones."""

from collections.abc import Sequence
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

    @classmethod
    def of(cls, distinct: pa.Array | Sequence[str], codes: npt.NDArray[Any]) -> "Names":
        """Rows of names that are numbered already."""
        names = cls.__new__(cls)
        names.codes = codes.astype(np.int32, copy=False)
        names.distinct = distinct if isinstance(distinct, pa.Array) else pa.array(distinct, pa.utf8())
        return names

    @classmethod
    def chosen(cls, test: npt.NDArray[np.bool_], yes: "Names", no: "Names") -> "Names":
        """In each row the one or the other."""
        moved = np.where(no.codes < 0, -1, no.codes + len(yes.distinct))
        return cls.of(pa.concat_arrays([yes.distinct, no.distinct]), np.where(test, yes.codes, moved))

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


class Words:
    """A list of strings for each row.

    Args:
        parents: for each word the list that it stands in, ascending.
        words: the words.
        lists: how many lists there are.
        of_row: for each row the list that it has; None: its own.
    """

    def __init__(
        self, parents: npt.NDArray[Any], words: Names, lists: int, of_row: npt.NDArray[Any] | None = None
    ) -> None:
        self.parents = parents
        self.words = words
        self.lists = lists
        self._of_row = of_row

    @classmethod
    def of(cls, lists: Sequence[Sequence[str]], of_row: npt.NDArray[Any]) -> "Words":
        """Lists that many rows share."""
        parents = np.repeat(np.arange(len(lists)), [len(words) for words in lists])
        flat = pa.array([word for words in lists for word in words], pa.utf8())
        return cls(parents, Names(flat), len(lists), of_row)

    def spread(self, of_list: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return of_list if self._of_row is None else of_list[self._of_row]

    def sizes(self) -> npt.NDArray[Any]:
        return self.spread(np.bincount(self.parents, minlength=self.lists))


class Batch:
    """The columns of a batch, each made when it is first asked for."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._names: dict[str, Names] = {}
        self._numbers: dict[str, npt.NDArray[Any]] = {}
        self._words: dict[str, Words] = {}
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

    def words(self, column: str) -> Words:
        """A column of lists of names; null is the empty list."""
        if column not in self._words:
            values = self._batch.column(column)
            parents = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
            self._words[column] = Words(parents, Names(pc.list_flatten(values)), self.rows)
        return self._words[column]

    def argv(self, row: int) -> list[str]:
        words: list[str] | None = self._batch.column("argv")[row].as_py()
        return words or []
