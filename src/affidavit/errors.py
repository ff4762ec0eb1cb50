"""The base of the errors that Affidavit raises on purpose, and how it names what is wrong with a file of the user's."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class AffidavitError(Exception):
    """Something can't be done as asked. The text is one line for the user: what is wrong, where, and what to do."""


def first_problem(error: "ValidationError") -> str:
    """The first thing that is wrong with a document: its place, as in ``tasks.0.id``, and what is wrong there."""
    first = error.errors(include_url=False, include_input=False)[0]
    place, what = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return f"{place}: {what}" if place else what


def read_input(path: Path, most_bytes: int, error: type[AffidavitError]) -> bytes:
    """The content of a file that the user names.

    Args:
        path: the file.
        most_bytes: a larger one is refused; a whole number of MiB.
        error: what is raised.

    Raises:
        error: it can't be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as problem:
        raise error(f"{path}: can't be read: {problem.strerror}") from None
    if len(data) > most_bytes:
        raise error(f"{path}: is larger than {most_bytes >> 20} MiB")
    return data
