"""Names in a batch that can't be known: behind another process's link in proc(5), or hidden from who reads them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import OPS, Op
from affidavit.recorder.ebpf.frames import SOURCES

# The links in /dev lead to /proc.
_LINKS = r"^/(proc|dev)/"
_ASTRAY = r"^/(proc/(\d+|(thread-)?self)(/task/\d+)?/(cwd|root|fd/\d+)|dev/(fd/\d+|std(in|out|err)))/."
_NAMED = [Op.UNLINK, Op.RMDIR, Op.RENAME, Op.LINK, Op.SYMLINK, Op.MKDIR, Op.CREATE, Op.TRUNCATE, Op.CHMOD, Op.CHOWN]
_BY_NAME = np.isin(OPS, _NAMED)

_Rows = np.ndarray[tuple[int], np.dtype[np.bool_]]


def astray(batch: pa.RecordBatch) -> int:
    """How many rows did something by such a name.

    Args:
        batch: as `frames.batch` makes it: ``op`` over `OPS`, ``source`` over `SOURCES`. Of names only the distinct
            ones are looked at.
    """
    rows = np.zeros(batch.num_rows, bool)
    for column in (batch.column("path"), batch.column("path2")):
        names = column.dictionary
        if pc.match_substring_regex(names, _LINKS).true_count:
            rows |= _marked(column, pc.match_substring_regex(names, _ASTRAY))
    path = batch.column("path")
    if path.null_count:
        by_name = _BY_NAME[batch.column("op").indices.to_numpy()]
        from_memory = batch.column("source").indices.to_numpy() != SOURCES.index("ebpf/kernel")
        rows |= path.is_null().to_numpy(zero_copy_only=False) & by_name & from_memory
    return int((rows & (batch.column("ret").to_numpy() >= 0)).sum()) if rows.any() else 0


def _marked(column: pa.DictionaryArray, of_distinct: pa.BooleanArray) -> _Rows:
    """Which rows have one of the distinct values that are marked."""
    found: _Rows = pc.fill_null(of_distinct.take(column.indices), False).to_numpy(zero_copy_only=False)
    return found
