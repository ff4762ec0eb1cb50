"""What each event's process was running just before, and what it descends from, for whole batches at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from affidavit.events import OPS, Op
from affidavit.policy.columns import Batch

Images = npt.NDArray[np.int32]

_FORK, _EXEC, _EXIT = (OPS.index(op) for op in (Op.FORK, Op.EXEC, Op.EXIT))
# proc(5), /proc/sys/kernel/pid_max: more there can't be on 64 bits. What is above is of no known process.
_MOST_PIDS = 1 << 22
_MOST_ANCESTORS = 64


@dataclass(frozen=True)
class Image:
    """A program that a process runs.

    Attributes:
        exe: empty where the process was not seen to start it.
        argv: its arguments.
        parent: number of what the process was before it started this one (a child is what its parent is until it
            starts something itself); 0 where that is not known.
        scopes: bit by bit, the scopes that it is in.
    """

    exe: str
    argv: tuple[str, ...]
    parent: int
    scopes: int


UNKNOWN = Image("", (), 0, 0)


class Lineage:
    """Follows forks, starts of programs and exits through a record.

    Args:
        scopes_of: from an executable, and the scopes it is started in, those that it is in.
        with_argv: keep arguments, too.
    """

    def __init__(self, scopes_of: Callable[[str, int], int] | None = None, with_argv: bool = False) -> None:
        self._scopes_of = scopes_of
        self._with_argv = with_argv
        # By number. The first stands for all that is not known.
        self.images: list[Image] = [UNKNOWN]
        self._numbers: dict[Image, int] = {UNKNOWN: 0}
        self._of: Images = np.zeros(1024, np.int32)

    def follow(self, batch: Batch, ops: npt.NDArray[Any]) -> Images:
        """For each row the number of the image that its process was before it.

        Args:
            batch: the next events of the record.
            ops: each row's place in OPS.
        """
        pids = batch.numbers("pid").astype(np.int64)
        pids = np.where((pids < 0) | (pids >= _MOST_PIDS), 0, pids)
        ret = batch.numbers("ret")
        changes = np.flatnonzero(
            ((ops == _FORK) & (ret > 0) & (ret < _MOST_PIDS))
            | ((ops == _EXEC) & (ret >= 0))
            | ((ops == _EXIT) & (batch.numbers("tid") == batch.numbers("pid")))
        )
        self._make_room(int(pids.max(initial=0)), int(ret[changes].max(initial=0)))
        of, exes = self._of, batch.names("exe")
        found = np.empty(batch.rows, np.int32)
        start = 0
        for row in changes.tolist():
            pid, op = int(pids[row]), ops[row]
            # This event itself is still of what the process was.
            found[start : row + 1] = of[pids[start : row + 1]]
            start = row + 1
            # Nobody has the pid 0; it stands for those that can't be.
            if pid == 0:
                continue
            if op == _FORK:
                of[int(ret[row])] = of[pid]
            elif op == _EXEC:
                argv = tuple(batch.argv(row)) if self._with_argv else ()
                of[pid] = self._started(int(of[pid]), exes.at(row) or "", argv)
            else:
                of[pid] = 0
        found[start:] = of[pids[start:]]
        return found

    def _make_room(self, *pids: int) -> None:
        wanted = max(pids) + 1
        if wanted > len(self._of):
            grown = np.zeros(min(_MOST_PIDS, max(wanted, 2 * len(self._of))), np.int32)
            grown[: len(self._of)] = self._of
            self._of = grown

    def _started(self, number: int, exe: str, argv: tuple[str, ...]) -> int:
        scopes = self._scopes_of(exe, self.images[number].scopes) if self._scopes_of else 0
        image = Image(exe, argv, number, scopes)
        known = self._numbers.get(image)
        if known is None:
            known = self._numbers[image] = len(self.images)
            self.images.append(image)
        return known

    def ancestors(self, number: int) -> list[str]:
        """The executables that an image was started by, the nearest first; 64 at most."""
        found: list[str] = []
        number = self.images[number].parent
        while number and len(found) < _MOST_ANCESTORS:
            image = self.images[number]
            found.append(image.exe)
            number = image.parent
        return found
