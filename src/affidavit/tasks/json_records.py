"""Reads files of records that users give: JSON Lines, or one JSON list."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affidavit.tasks.errors import TaskError


def read_json_records(path: Path, what: str, most_bytes: int) -> Iterator[tuple[str, Any]]:
    """The records of a file, each with its place for errors: ``FILE:LINE``, or ``FILE: item NUMBER`` of a list.

    Args:
        path: ``*.json`` holds one list; any other name has one record a line. Empty lines are left out.
        what: what the records are, for errors: ``instances``.
        most_bytes: a larger file is refused.

    Raises:
        TaskError: it can't be read, is too large, or is not UTF-8, JSON or a list.
    """
    try:
        if not path.is_file():
            raise TaskError(f"{path}: is no regular file; give {what} as JSON Lines")
        if path.stat().st_size > most_bytes:
            raise TaskError(f"{path}: is larger than {most_bytes >> 30} GiB")
        text = path.read_bytes().decode()
    except OSError as error:
        raise TaskError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise TaskError(f"{path}: is not UTF-8; give {what} as JSON Lines") from None
    if path.suffix == ".json":
        records = parse_json(str(path), text)
        if not isinstance(records, list):
            raise TaskError(f"{path}: must be a list of {what}")
        yield from ((f"{path}: item {number}", record) for number, record in enumerate(records))
        return
    # Not `splitlines`: strings may hold other line ends.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{path}:{number}", parse_json(f"{path}:{number}", line)


def parse_json(place: str, text: str) -> Any:
    """The value of a JSON text. Raises TaskError, which names the place."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise TaskError(f"{place}: is not JSON") from None
