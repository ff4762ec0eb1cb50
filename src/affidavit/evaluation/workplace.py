"""A private folder for each trial, and the removal of those that killed runs left."""

import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from affidavit.sandbox import Owner, unmount_below

_logger = logging.getLogger(__name__)

_RECORD = "owner.json"


@contextmanager
def open_workplace(state: Path, output: Path) -> Iterator[Path]:
    """A folder that is gone afterwards.

    Args:
        state: the state folder.
        output: where the trial writes its bundle; a later run looks there for a half-written one, should this one be
            killed.
    """
    parent = state / "trials"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = Owner.me()
    # The name tells the owner until the record is there.
    place = Path(tempfile.mkdtemp(dir=parent, prefix=f"{owner.pid}.{owner.start}."))
    try:
        (place / _RECORD).write_text(json.dumps({**asdict(owner), "output": str(output.absolute())}))
        yield place
    finally:
        remove_left(place)


def clean_workplaces(state: Path) -> None:
    """Remove the workplaces, and the half-written bundles, of runs that were killed."""
    with suppress(FileNotFoundError):
        for entry in os.scandir(state / "trials"):
            place = Path(entry.path)
            try:
                record = json.loads((place / _RECORD).read_text())
                output = Path(record.pop("output"))
                owner = Owner(**record)
            except (OSError, ValueError, TypeError, KeyError, AttributeError):
                # Killed before the record was written, or being made right now: it holds nothing yet.
                if _owner_by_name(place.name).gone():
                    with suppress(OSError):
                        place.rmdir()
                continue
            if owner.gone():
                for unsealed in output.glob(".bundle.*.tmp"):
                    shutil.rmtree(unsealed, ignore_errors=True)
                remove_left(place)


def remove_left(place: Path) -> None:
    """Remove a workplace, or what is in it, and unmount what is mounted there. An agent may have left folders within
    folders by the thousand, more than `shutil` takes."""
    try:
        unmount_below(place)
    except OSError as problem:
        _logger.warning("%s: %s", place, problem)
    command = ["rm", "-rf", "--one-file-system", "--", str(place)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode != 0:
        _logger.warning("%s: could not be removed: %s", place, done.stderr.decode("utf-8", "replace").strip()[-300:])


def _owner_by_name(name: str) -> Owner:
    """The owner of a workplace without a record, by its name, on this boot; nobody if the name says no
    more."""
    pid, start, *_ = (*name.split("."), "", "")
    numbers = pid.isdecimal() and start.isdecimal()
    return replace(Owner.me(), pid=int(pid) if numbers else 0, start=int(start) if numbers else 0)
