"""Programs that a contract lets run by the digest of their file.

A file's digest is known where it lay in the root file system from the start and the record shows nothing that wrote,
renamed, linked or removed it, a folder above it, or a symlink on the way to it, before it was run. Whatever else runs
is not known, and so is not what the contract allows.
"""

import posixpath
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from affidavit.events import OPS, Op
from affidavit.policy.columns import Batch

_CHANGING = np.array(
    [
        OPS.index(op)
        for op in (
            *(Op.OPEN_WRITE, Op.CREATE, Op.TRUNCATE, Op.UNLINK, Op.RENAME, Op.LINK, Op.SYMLINK, Op.RMDIR, Op.MOUNT),
        )
    ]
)
# More names than any honest agent writes; beyond them nothing is known any more.
_MOST_NAMES = 1 << 20


class Program(Protocol):
    """A file as it was before the agent began; :class:`affidavit.sandbox.Program` is one."""

    @property
    def digest(self) -> str: ...
    @property
    def via(self) -> tuple[str, ...]: ...


class Digests:
    """What is known of programs.

    Args:
        program_of: the file that a name stood for in the root file system; None where there was none.
    """

    def __init__(self, program_of: Callable[[str], Program | None]) -> None:
        self._program_of = program_of
        # Those that were asked for.
        self.known: dict[str, Program | None] = {}
        self._changed: set[str] = set()
        self._in_batch: dict[str, int] = {}

    def begin(self, batch: Batch, ops: npt.NDArray[Any]) -> None:
        """Look at a batch; its events before a row count as changes for what is asked of that row."""
        self._in_batch = {}
        rows = np.flatnonzero(np.isin(ops, _CHANGING) & (batch.numbers("ret") >= 0))
        for column in (batch.names("path"), batch.names("path2")):
            codes, first = np.unique(column.codes[rows], return_index=True)
            for name, row in zip(column.values(codes), rows[first].tolist(), strict=True):
                if name is not None:
                    self._in_batch[name] = min(row, self._in_batch.get(name, row))

    def end(self) -> None:
        """Take leave of the batch."""
        if len(self._changed) <= _MOST_NAMES:
            self._changed.update(self._in_batch)

    def of(self, path: str, row: int) -> str | None:
        """The digest of the program that ran by a name in a row of the batch; None: not known."""
        if path not in self.known:
            if len(self.known) >= 1 << 16:
                return None
            self.known[path] = self._program_of(path)
        program = self.known[path]
        if program is None or len(self._changed) > _MOST_NAMES:
            return None
        for name in _with_folders((path, *program.via)):
            if name in self._changed or self._in_batch.get(name, row) < row:
                return None
        return program.digest


def _with_folders(paths: Iterable[str]) -> Iterable[str]:
    for path in paths:
        while path != "/":
            yield path
            path = posixpath.dirname(path) or "/"
