"""What trials did, as sets that can be compared: which programs ran and which files were written.

Only a record from outside can tell whether two trials with the same score went the same way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import TREE_CHANGES, Op
from affidavit.evidence import BundleReader, EvidenceError
from affidavit.trace import TraceError

# Scratch files have names by chance, so they would make every two trials differ.
_SCRATCH = ("/tmp/", "/var/tmp/", "/dev/", "/proc/")
# A trial with more events is left out of the comparison, and the report says so: a page must stay quick to make.
MOST_EVENTS = 2_000_000


@dataclass(frozen=True)
class Behaviour:
    """What one trial did.

    Attributes:
        programs: that ran, by path.
        files: that were written, made, moved or deleted outside of scratch folders.
    """

    programs: frozenset[str]
    files: frozenset[str]


@dataclass(frozen=True)
class Consistency:
    """How much trials of one task resemble each other: the mean Jaccard index over all pairs, 1 for the same.

    Attributes:
        trials: compared; those whose record can't be read are not among them.
        programs, files: None with fewer than two trials.
    """

    task_id: str
    trials: int
    programs: float | None
    files: float | None


def read_behaviour(bundle: Path) -> Behaviour | None:
    """What the agent of a trial did by its record; None where that can't be read or is too large."""
    programs: set[str] = set()
    files: set[str] = set()
    events = 0
    try:
        with BundleReader(bundle) as reader:
            for batch in reader.events():
                events += batch.num_rows
                if events > MOST_EVENTS:
                    return None
                done = batch.filter(pc.greater_equal(batch["ret"], 0))
                programs |= _names(done, (Op.EXEC,), "exe")
                written = _names(done, TREE_CHANGES, "path") | _names(done, (Op.RENAME, Op.LINK), "path2")
                files |= {name for name in written if not name.startswith(_SCRATCH)}
    except (EvidenceError, TraceError):
        return None
    return Behaviour(frozenset(programs), frozenset(files))


def consistency(task_id: str, behaviours: Sequence[Behaviour]) -> Consistency:
    """How much the trials of a task resemble each other."""
    return Consistency(
        task_id,
        len(behaviours),
        _mean_jaccard([one.programs for one in behaviours]),
        _mean_jaccard([one.files for one in behaviours]),
    )


def _names(batch: pa.RecordBatch, ops: Iterable[Op], column: str) -> set[str]:
    wanted = pa.array([str(op) for op in ops], pa.utf8())
    rows = batch.filter(pc.is_in(pc.cast(batch["op"], pa.utf8()), value_set=wanted))
    return {name for name in pc.unique(pc.cast(rows[column], pa.utf8())).to_pylist() if name is not None}


def _mean_jaccard(sets: Sequence[frozenset[str]]) -> float | None:
    pairs = list(combinations(sets, 2))
    return fmean(len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs) if pairs else None
