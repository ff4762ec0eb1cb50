"""What the grading of a task rests on, found out once for each task."""

import hashlib
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

from affidavit.policy import Footprint
from affidavit.signing import write_whole
from affidavit.tasks import Task

_logger = logging.getLogger(__name__)

_MOST_BYTES = 1 << 20
# A script's ways of asking whether a program is there; Python's.
_LOOKED_FOR = re.compile(r"""(?:\b(?:command\s+-[vV]|which|type(?:\s+-\w+)?|hash)\s+|\bwhich\(\s*)["']?([\w.+-]+)""")

# Another one where what is looked for in the records changes.
_VERSION = 2


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


def programs_looked_for(tests: Path) -> frozenset[str]:
    """Names of programs that the files of a tests folder ask for without running them, which no record shows."""
    found: set[str] = set()
    for path in sorted(tests.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MOST_BYTES:
            found.update(_LOOKED_FOR.findall(path.read_text("utf-8", "replace")))
    return frozenset(found)
