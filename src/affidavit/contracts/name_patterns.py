"""Patterns of names of models and tools: ``*`` is any run of characters, all else is itself."""

import re
from collections.abc import Sequence
from functools import lru_cache

_NAME = re.compile(r"[!-~](?:[ -~]{0,198}[!-~])?")
_MOST_STARS = 10


def check_name_pattern(text: str) -> str:
    """A pattern of names. Raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"must be 1 to 200 printable ASCII characters, not {text[:60]!r}")
    if text.count("*") > _MOST_STARS:
        raise ValueError(f"has more than {_MOST_STARS} '*'")
    return text


def name_matches(patterns: Sequence[str], name: str) -> bool:
    """Whether one of some patterns stands for a name, case and all."""
    return any(_fits(pattern, name) for pattern in patterns)


def uncovered(patterns: Sequence[str], by: Sequence[str]) -> list[str]:
    """Those of some patterns that are not shown to stand only for names that others stand for, too.

    A pattern is a name of its own: what matches it with its stars taken literally matches whatever they stand for,
    since only a star can match a star.
    """
    return [pattern for pattern in patterns if not name_matches(by, pattern)]


def _fits(pattern: str, name: str) -> bool:
    """By hand, in one pass over the name: a regular expression with many stars can take exponential time."""
    first, *rest = _pieces(pattern)
    if not rest:
        return name == first
    *middle, last = rest
    if not name.startswith(first) or len(name) < len(first) + len(last) or not name.endswith(last):
        return False
    place, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, place, end)
        if found < 0:
            return False
        place = found + len(piece)
    return True


@lru_cache(1024)
def _pieces(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.split("*"))
