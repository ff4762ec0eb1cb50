"""Text that came from a sandbox, made fit for a terminal, a table or a page."""

import unicodedata

_MOST_MARKS = 2
"""Marks on one letter: no language that is written so needs more, and a pile of them covers the lines around it."""


def printable(text: str, width: int | None = None) -> str:
    """`text` without control, format and surrogate characters, which could drive the reader's terminal or turn the text
    round, and with a bounded number of marks on a letter; each is spelled out instead.

    Args:
        width: cut to so many characters, with an ellipsis.
    """
    # Each character becomes one or more: what lies beyond the width is never shown.
    given = text if width is None else text[: width + 1]
    if not (given.isascii() and given.isprintable()):
        given = _spelled(given)
    return given if width is None or len(given) <= width else given[: width - 1] + "…"


def _spelled(text: str) -> str:
    shown, marks = [], 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category[0] == "M" else 0
        plain = (category[0] not in "CZ" or character == " ") and marks <= _MOST_MARKS
        shown.append(character if plain else _escape(character))
    return "".join(shown)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if character.isascii() else f"\\u{ord(character):04x}"
