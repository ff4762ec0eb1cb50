"""The base of the errors that Affidavit raises on purpose, and how it names what is wrong with a document."""

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
