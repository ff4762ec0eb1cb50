"""Reads an agent's claims about its work: called in the confined process."""

from decimal import Decimal
from typing import Any

from affidavit.grading.documents import DocumentError, is_number, parse_json, pick_one
from affidavit.grading.numbers import parse_number

_MOST = 10**9


def read_claim(raw: bytes | None, at: str | None) -> int | None:
    """The whole number that an answer is, or that it holds at a place; None where there is none above 0."""
    if raw is None:
        return None
    try:
        value: Any = raw.decode("utf-8-sig") if at is None else pick_one(parse_json(raw), at)
    except (UnicodeDecodeError, DocumentError):
        return None
    number = Decimal(value) if is_number(value) else parse_number(value) if isinstance(value, str) else None
    if number is None or not 0 < number <= _MOST or number != int(number):
        return None
    return int(number)
