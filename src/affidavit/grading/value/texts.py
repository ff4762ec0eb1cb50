"""Texts, lists and sets that an agent wrote, with what does not matter taken away."""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from affidavit.grading.numbers import Tolerance, within

Forgivable = Literal["case", "quotes", "space"]
FORGIVABLE: tuple[Forgivable, ...] = ("case", "quotes", "space")
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'"})


def normalised(text: str, forgive: Sequence[str]) -> str:
    """A text without what is forgiven.

    Composed and decomposed spellings are the same (Unicode NFC); letters that only look alike are not.

    Args:
        text: any.
        forgive: of FORGIVABLE: ``case``; ``quotes`` (which kind they are, and whether the whole stands in some);
            ``space`` (how much of it there is, and any around the whole).
    """
    text = unicodedata.normalize("NFC", text)
    if "space" in forgive:
        text = re.sub(r"\s+", " ", text).strip(" ")
    if "quotes" in forgive:
        text = text.translate(_QUOTES)
        text = _unquoted(text, " " if "space" in forgive else "")
    return unicodedata.normalize("NFC", text.casefold()) if "case" in forgive else text


def _unquoted(text: str, space: str) -> str:
    """A text without the quotes that it stands in, however many, and the `space` around and between them."""
    start, end = 0, len(text)
    while end - start > 1 and text[start] == text[end - 1] and text[start] in "\"'`":
        start, end = start + 1, end - 1
        while start < end and text[start] in space:
            start += 1
        while start < end and text[end - 1] in space:
            end -= 1
    return text[start:end]


def ordered_likeness(found: Sequence[str], expected: Sequence[str]) -> float:
    """How much of a list is right: items at their own place among all places of either."""
    return sum(a == b for a, b in zip(found, expected, strict=False)) / max(len(found), len(expected))


def set_likeness(found: Sequence[str], expected: Sequence[str]) -> float:
    """Items that both have among those that either has (Jaccard): naming everything gains nothing."""
    there, wanted = set(found), set(expected)
    return len(there & wanted) / len(there | wanted)


def ordered_numbers_likeness(found: Sequence[Decimal], expected: Sequence[Decimal], tolerance: Tolerance) -> float:
    """As `ordered_likeness`, with a tolerance."""
    right = sum(within(a, b, tolerance) for a, b in zip(found, expected, strict=False))
    return right / max(len(found), len(expected))


def set_numbers_likeness(found: Sequence[Decimal], expected: Sequence[Decimal], tolerance: Tolerance) -> float:
    """As `set_likeness`, with a tolerance: each number stands for one of the other side at most."""
    there, wanted = sorted(set(found)), sorted(set(expected))
    pairs = a = b = 0
    while a < len(there) and b < len(wanted):
        if within(there[a], wanted[b], tolerance):
            pairs, a, b = pairs + 1, a + 1, b + 1
        elif there[a] < wanted[b]:
            a += 1
        else:
            b += 1
    return pairs / (len(there) + len(wanted) - pairs)
