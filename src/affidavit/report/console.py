"""Where commands print."""

from typing import IO

from rich.console import Console

_FILE_WIDTH = 140


def open_console(out: IO[str], width: int | None = None) -> Console:
    """A console that takes text for text: names that an agent or a task's author chose are printed with their brackets
    and colons, not read as styles, links or pictures.

    Args:
        out: a terminal or a file.
        width: columns; the terminal's by default, and in a file so many that few tables are folded.
    """
    if width is None and not out.isatty():
        width = _FILE_WIDTH
    return Console(file=out, width=width, highlight=False, markup=False, emoji=False)
