"""Names in a batch that can't be known: behind another process's link in proc(5), or hidden from who reads them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import Op

_ASTRAY = r"^/proc/(\d+|(thread-)?self)(/task/\d+)?/(cwd|root|fd/\d+)/."
_NAMED = [Op.UNLINK, Op.RMDIR, Op.RENAME, Op.LINK, Op.SYMLINK, Op.MKDIR, Op.CREATE, Op.TRUNCATE, Op.CHMOD, Op.CHOWN]
_KERNEL = "ebpf/kernel"


def astray(batch: pa.RecordBatch) -> int:
    """How many rows of EVENT_SCHEMA did something by such a name. Only the distinct names are looked at."""
    done = batch.column("ret").to_numpy() >= 0
    rows = np.zeros(batch.num_rows, bool)
    for column in (batch.column("path"), batch.column("path2")):
        rows |= _rows(column, pc.match_substring_regex(column.dictionary, _ASTRAY))
    path = batch.column("path")
    if path.null_count:
        by_name = _rows(batch.column("op"), pc.is_in(batch.column("op").dictionary, pa.array(_NAMED, pa.utf8())))
        from_memory = _rows(batch.column("source"), pc.not_equal(batch.column("source").dictionary, _KERNEL))
        rows |= path.is_null().to_numpy(zero_copy_only=False) & by_name & from_memory
    return int((rows & done).sum())


def _rows(column: pa.DictionaryArray, of_distinct: pa.BooleanArray) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which rows have one of the distinct values that are marked."""
    if not of_distinct.true_count:
        return np.zeros(len(column), bool)
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = pc.fill_null(of_distinct.take(column.indices), False).to_numpy(
        zero_copy_only=False
    )
    return found
