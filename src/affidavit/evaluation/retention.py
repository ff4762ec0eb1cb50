"""Runs whose evidence need not be kept any longer: found by what their run.json says, and removed when asked for."""

import json
import re
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from affidavit.evaluation.errors import RunError
from affidavit.signing import EvidenceError, read_bounded

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_REMOVING = ".removing-"
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class ExpiredRun:
    """A run that was to be kept until a day that is over.

    Attributes:
        folder: of the run.
        run_id: its name.
        keep_until: the last day.
    """

    folder: Path
    run_id: str
    keep_until: date


def expired_runs(folder: Path, today: date) -> list[ExpiredRun]:
    """The runs in a folder of runs that need not be kept any longer, oldest first.

    A run of which nobody has said how long to keep it is not among them, nor anything that is no run.

    Args:
        folder: as ``--out`` names it.
        today: in UTC.

    Raises:
        RunError: there is no such folder.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise RunError(f"{folder}: can't be read: {error.strerror}") from error
    found = []
    for entry in entries:
        run_id = entry.name.removeprefix(_REMOVING)
        if not _RUN_ID.fullmatch(run_id) or entry.is_symlink() or not entry.is_dir():
            continue
        last = _keep_until(entry / "run.json", run_id)
        if last is not None and last < today:
            found.append(ExpiredRun(entry, run_id, last))
    return sorted(found, key=lambda run: (run.keep_until, run.run_id))


def remove_run(run: ExpiredRun) -> None:
    """Remove a run. Who is interrupted leaves a folder ``.removing-RUN_ID``, which counts as expired again.

    Raises:
        RunError: it can't be removed.
    """
    aside = run.folder.with_name(f"{_REMOVING}{run.run_id}")
    try:
        if aside != run.folder:
            run.folder.rename(aside)
        for entry in aside.iterdir():
            # What says that it is a run, and expired, goes last.
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != "run.json":
                entry.unlink()
        shutil.rmtree(aside)
    except OSError as error:
        raise RunError(f"{error.filename or run.folder}: can't be removed: {error.strerror}") from error


def _keep_until(path: Path, run_id: str) -> date | None:
    try:
        value = json.loads(read_bounded(path, _MOST_BYTES))
        if not isinstance(value, dict) or value.get("run_id") != run_id:
            return None
        return date.fromisoformat(value["keep_until"])
    except (EvidenceError, ValueError, TypeError, KeyError, RecursionError):
        return None
