"""The messages of a gateway's process to its trial: one line of JSON each."""

import json
from collections.abc import Iterator
from typing import IO, Any


class LineWriter:
    """Writes lines to an open file, each at once.

    Attributes:
        bytes: written so far.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.bytes = 0

    def write(self, value: Any) -> None:
        """Write one. Raises OSError."""
        line = json.dumps(value).encode() + b"\n"
        self.file.write(line)
        self.file.flush()
        self.bytes += len(line)


def read_lines(file: IO[bytes], most: int = -1) -> Iterator[tuple[int, Any]]:
    """The values of a file's lines from where it stands, each with the place of its line. What is cut off ends them:
    the writer may be writing, or have been killed.

    Args:
        most: bytes of a line; a longer one ends them, too. Negative: any number.

    Raises:
        OSError, ValueError: a line can't be read.
    """
    place = file.tell()
    while (line := file.readline(most)).endswith(b"\n"):
        yield place, json.loads(line)
        place += len(line)
