"""What the grading of a task rests on, found out once for each task."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

from affidavit.policy import Footprint
from affidavit.signing import write_whole
from affidavit.tasks import Task

_logger = logging.getLogger(__name__)

# Another one where what is looked for in the records changes.
_VERSION = 1


def find_footprint(task: Task, where: str, state: Path, look: Callable[[], Footprint]) -> Footprint:
    """The footprint of a task's verifier.

    Args:
        task: the one whose verifier runs.
        where: what else decides: digests of the root file system and the contract.
        state: the state folder, where what was found is kept.
        look: runs the verifier.

    Raises:
        OSError: what was found can't be kept; and what `look` raises.
    """
    key = hashlib.sha256(json.dumps([_VERSION, task.digest, where]).encode()).hexdigest()
    path = state / "footprints" / f"{key}.json"
    try:
        return Footprint.from_json(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        found = look()
    if found.used is None:
        # A record that was not complete: the next trial tries again.
        _logger.warning("%s: what its verifier uses could not be recorded whole", task.id)
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(found.to_json()).encode())
    _logger.info("%s: its verifier uses %d files", task.id, len(found.used))
    return found
