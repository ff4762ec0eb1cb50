"""Names in a batch that go through a link in proc(5) of which it is not known where it leads: another process's."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_ASTRAY = r"^/proc/(\d+|(thread-)?self)(/task/\d+)?/(cwd|root|fd/\d+)/."


def astray(batch: pa.RecordBatch) -> int:
    """How many rows of EVENT_SCHEMA did something by such a name. Only the distinct names are looked at."""
    rows = np.zeros(batch.num_rows, bool)
    for column in (batch.column("path"), batch.column("path2")):
        found = pc.match_substring_regex(column.dictionary, _ASTRAY)
        if found.true_count:
            rows |= pc.fill_null(found.take(column.indices), False).to_numpy(zero_copy_only=False)
    if not rows.any():
        return 0
    return int((rows & (batch.column("ret").to_numpy() >= 0)).sum())
