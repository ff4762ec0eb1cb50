"""Whether a record explains what a sandbox really changed.

The changed layer is a fact: nothing that runs in a sandbox can talk round it. A record is made from what calls say, and
a name in memory can be another one for the moment in which the kernel reads it. So the two are compared:
a change that the record does not explain means that something was done unseen, and the record is not complete.

Only names are compared. What is written into a file, or done to its attributes, goes by descriptors too.
"""

from collections.abc import Iterable
from posixpath import dirname

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import OPS, Op, decode_name, encode_name
from affidavit.policy import sentences
from affidavit.policy.columns import Batch
from affidavit.sandbox import Change

_RENAME_EXCHANGE = 2
# Besides success: the caller was killed in the call, and it may have been done (EINTR); gVisor makes the file and finds
# then that no descriptor is left (EMFILE).
_PERHAPS_DONE = (-4, -24)
# Two threads that act on one name within this time may be recorded the other way round.
_AT_ONCE_NS = 100_000_000
_SHOWN = 3

_MADE = (Op.CREATE, Op.MKDIR, Op.SYMLINK, Op.BIND)
_REMOVED = (Op.UNLINK, Op.RMDIR)
_TOUCHED = (Op.OPEN_WRITE, Op.TRUNCATE, Op.LINK)
_TWO = (Op.LINK, Op.RENAME)

Numbers = npt.NDArray[np.int64]


class _Latest:
    """When each of some names was last acted on, and by which thread: sequence numbers, -1 for never; nanoseconds."""

    def __init__(self, names: int) -> None:
        self.seq = np.full(names, -1, np.int64)
        self.ts = np.zeros(names, np.int64)
        self.tid = np.zeros(names, np.int64)

    def take(self, names: Numbers, rows: Numbers, batch: Batch) -> None:
        """Rows, in order, and the name that each is on. Of several on one name the last one stays."""
        for kept, column in ((self.seq, "seq"), (self.ts, "ts_ns"), (self.tid, "tid")):
            kept[names] = batch.numbers(column)[rows]


def unexplained(batches: Iterable[pa.RecordBatch], diff: Iterable[Change]) -> tuple[str, ...]:
    """What a sandbox changed without its record saying so, a sentence each; of many, the first few and their number.

    Args:
        batches: the whole record, EVENT_SCHEMA, in order.
        diff: what the sandbox changed.
    """
    changes = [change for change in diff if change.kind != "metadata"]
    if not changes:
        return ()
    folders = {"/"}
    for change in changes:
        # Of a deep tree each folder is looked at once.
        folder = dirname(change.path)
        while folder not in folders:
            folders.add(folder)
            folder = dirname(folder)
    names = sorted({name for change in changes for name in (change.path, _as_text(change.path))} | (folders - {"/"}))
    wanted = pa.array(names, pa.utf8())
    made, removed, moved, touched = (_Latest(len(names)) for _ in range(4))
    for batch in map(Batch, batches):
        ops = _codes(batch)
        ret = batch.numbers("ret")
        done = (ret >= 0) | np.isin(ret, _PERHAPS_DONE)
        exchange = (batch.numbers("flags") & _RENAME_EXCHANGE) != 0
        one, other = (_places(batch, column, wanted) for column in ("path", "path2"))
        renamed = _is(ops, Op.RENAME)
        for latest, places, chosen in (
            (made, one, _is(ops, *_MADE) | (renamed & exchange)),
            (made, other, _is(ops, *_TWO)),
            (removed, one, _is(ops, *_REMOVED) | (renamed & ~exchange)),
            (touched, one, _is(ops, *_TOUCHED)),
            (moved, one, renamed),
            (moved, other, renamed),
        ):
            rows = np.flatnonzero(chosen & done & (places >= 0))
            # What both columns say of a name comes in the order of the rows within each of them: one call has two.
            newer = rows[batch.numbers("seq")[rows] >= latest.seq[places[rows]]]
            latest.take(places[newer], newer, batch)
    place = {name: index for index, name in enumerate(names)}
    # A folder comes before what is in it.
    moved_along: dict[str, bool] = {"/": False}
    for name in names:
        above = dirname(name)
        moved_along[name] = moved_along.get(above, False) or bool(above in place and moved.seq[place[above]] >= 0)
    found = []
    for change in changes:
        at = place[change.path]
        if max(latest.seq[at] for latest in (made, removed, touched)) < 0:
            at = place[_as_text(change.path)]
        if moved_along[change.path]:
            continue
        if change.kind == "deleted":
            explained = removed.seq[at] >= 0 and not _after(made, removed, at)
        elif change.kind == "added":
            explained = made.seq[at] >= 0 and not _after(removed, made, at)
        else:
            explained = max(made.seq[at], touched.seq[at]) >= 0 and not _after(removed, made, at)
        if not explained:
            found.append(change)
    said = [
        f"{sentences.shown(change.path)} was {change.kind}, which nothing in it explains" for change in found[:_SHOWN]
    ]
    if len(found) > _SHOWN:
        said.append(f"and so were {len(found) - _SHOWN} others")
    return tuple(said)


def _after(one: _Latest, other: _Latest, at: int) -> bool:
    """Whether `one` came after `other`, beyond doubt."""
    at_once = one.tid[at] != other.tid[at] and abs(one.ts[at] - other.ts[at]) < _AT_ONCE_NS
    return bool(one.seq[at] > other.seq[at] and not at_once)


def _as_text(path: str) -> str:
    """A path as gVisor's sentry tells it: each byte that is not UTF-8 as U+FFFD."""
    raw = decode_name(path)
    text = raw.decode("utf-8", "surrogateescape")
    return encode_name("".join("\ufffd" if 0xDC80 <= ord(sign) <= 0xDCFF else sign for sign in text).encode())


def _places(batch: Batch, column: str, wanted: pa.Array) -> Numbers:
    """For each row the place in `wanted` of the name that it has in a column, -1 for another one."""
    names = batch.names(column)
    places = pc.fill_null(pc.index_in(names.distinct.cast(pa.utf8()), wanted), -1)
    return names.spread(places.to_numpy(zero_copy_only=False).astype(np.int64), -1)


def _codes(batch: Batch) -> npt.NDArray[np.int64]:
    names = batch.names("op")
    known = {name: code for code, name in enumerate(OPS)}
    codes = np.array([known.get(name, -1) for name in names.distinct.to_pylist()], np.int64)
    return names.spread(codes, -1)


def _is(ops: Numbers, *wanted: Op) -> npt.NDArray[np.bool_]:
    return np.isin(ops, [OPS.index(op.value) for op in wanted])
