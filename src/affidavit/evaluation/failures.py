"""What is said of the machinery's failures."""

import errno
from collections.abc import Iterable
from pathlib import Path

from affidavit.trace import one_line


def what_failed(problem: BaseException, written_to: Iterable[Path]) -> str:
    """What went wrong, on one line. The system's own error names no file where a write finds no room (write(2)): then
    it names the folders.

    Args:
        problem: what was raised.
        written_to: the folders in which a run writes.
    """
    full = isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT) and not problem.filename
    if not full:
        return one_line(problem)
    places = " or ".join(map(str, written_to))
    return f"{places}: the disk is full; make room, or point AFFIDAVIT_STATE or --out to another folder"
