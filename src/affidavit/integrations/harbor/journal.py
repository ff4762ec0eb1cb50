"""The journal of a job's trials."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

NAME = "affidavit.jsonl"
"""The journal's file, in the job's folder."""


class Journal:
    """An append-only file of JSON lines. Harbor deletes a trial's folder when it retries or resumes the trial; its
    lines here stay.

    Args:
        job_dir: the job's folder.
    """

    def __init__(self, job_dir: Path) -> None:
        self._path = job_dir / NAME

    def begin(self, key: str, most: int, entry: dict[str, Any]) -> int | None:
        """Record that a trial begins, and return its number among those with the same key, from 1. If the agents of
        `most` of them have begun already, record it as refused and return None.

        Args:
            key: task and agent.
            most: how often the agent may begin the task in this job.
            entry: further facts.

        Raises:
            ValueError: a line of the journal is damaged.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
            # Another process may resume the same job.
            fcntl.flock(file, fcntl.LOCK_EX)
            began = set()
            earlier = 0
            for number, line in enumerate(file, 1):
                try:
                    one = json.loads(line)
                    if one["key"] == key:
                        earlier += one["event"] == "begin"
                        if one["event"] == "agent":
                            began.add(one["trial_id"])
                except (ValueError, KeyError, TypeError):
                    raise ValueError(f"{self._path}, line {number}: is damaged; start a new job") from None
            refused = len(began) >= most
            event = {"event": "refused" if refused else "begin", "key": key, "attempt": earlier + 1, **entry}
            _write(file.fileno(), event)
            return None if refused else earlier + 1

    def note(self, event: str, key: str, entry: dict[str, Any]) -> None:
        """Add a line.

        Args:
            event: ``agent`` when the agent begins, ``end`` with the verdict.
            key, entry: as `begin` has them.
        """
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _write(descriptor, {"event": event, "key": key, **entry})
        finally:
            os.close(descriptor)


def _write(descriptor: int, entry: dict[str, Any]) -> None:
    os.write(descriptor, (json.dumps(entry, sort_keys=True) + "\n").encode())
    os.fsync(descriptor)
