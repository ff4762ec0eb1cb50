"""Scores answers: pure functions, called in the confined process."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from affidavit.grading.documents import DocumentError, is_number, likeness, parse_json, pick_one, plain
from affidavit.grading.numbers import distance, parse_number, split_number, within
from affidavit.grading.value.dates import parse_date, same_date
from affidavit.grading.value.settings import (
    MOST_ITEMS,
    Check,
    CollectionCheck,
    DateCheck,
    JsonCheck,
    NumberCheck,
    TextCheck,
)
from affidavit.grading.value.texts import (
    FORGIVABLE,
    normalised,
    ordered_likeness,
    ordered_numbers_likeness,
    set_likeness,
    set_numbers_likeness,
)

MOST_BYTES = 4 << 20
_SHOWN = 80


class _Wrong(Exception):
    """The answer scores 0; the text is the end of a sentence on it."""


def ready(tasks: list[tuple[Check, bytes | None]]) -> None:
    """Load the units where there are any, which takes a while; see run_confined."""
    for check, _ in tasks:
        if isinstance(check, NumberCheck) and check.unit is not None:
            from affidavit.grading.value.units import converted

            converted(Decimal(1), check.unit, check.unit)


def judge_all(tasks: list[tuple[Check, bytes | None]]) -> list[tuple[float, str]]:
    """`judge` for each of several checks."""
    return [judge(check, raw) for check, raw in tasks]


def judge(check: Check, raw: bytes | None) -> tuple[float, str]:
    """Score an answer.

    Args:
        check: what is expected; an ``expected_file`` has been read into ``expected``.
        raw: the answer's bytes; None where there is no such regular file within bounds.

    Returns:
        The score, from 0 to 1, and a sentence that tells what was found but not what was expected. No answer whatever
        is an error.
    """
    try:
        if raw is None:
            raise _Wrong("is not there, or is no regular file of at most 4 MiB")
        value = _answer(check, raw)
        score, told = _KINDS[type(check)](check, value)
    except (_Wrong, DocumentError) as wrong:
        return 0.0, f"{check.answer} {wrong}"
    return score, f"{check.answer} {told}"


def _answer(check: Check, raw: bytes) -> Any:
    """A text, or a value of a JSON document where the check says so."""
    if check.at is not None or isinstance(check, JsonCheck):
        return pick_one(parse_json(raw), check.at or "")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _Wrong("is not UTF-8") from None


def _number(check: NumberCheck, value: Any) -> tuple[float, str]:
    if is_number(value):
        found, unit = Decimal(value), ""
    else:
        parts = split_number(value) if isinstance(value, str) else None
        if parts is None:
            raise _Wrong(f"holds {_shown(value)}, which is no number")
        found, unit = parts
    said = f"is {_shown(value)}"
    if check.unit is None:
        if unit:
            raise _Wrong(f"holds {_shown(value)}, which is more than a number")
    elif unit:
        from affidavit.grading.value.units import converted

        there = converted(found, unit, check.unit)
        if there is None:
            raise _Wrong(f"holds {_shown(value)}, whose unit is none, or measures something else")
        found = there
    elif check.unit_required:
        raise _Wrong(f"holds {_shown(value)}, which lacks a unit")
    expected = Decimal(repr(check.expected))
    if within(found, expected, check.bound):
        return 1.0, f"{said}, which is right"
    if check.zero_at is None:
        return 0.0, f"{said}, which is not"
    near = max(Decimal(repr(check.tolerance)), abs(expected) * Decimal(repr(check.relative)))
    far = Decimal(repr(check.zero_at))
    score = float(max(Decimal(0), (far - min(distance(found, expected), far)) / (far - near)))
    return score, f"{said}, which is {'near' if score else 'not'}"


def _text(check: TextCheck, value: Any) -> tuple[float, str]:
    text = value if isinstance(value, str) else str(value) if is_number(value) else None
    if text is None:
        raise _Wrong(f"holds {_shown(value)}, which is no text")
    found = normalised(text, check.forgive)
    right = any(found == normalised(accepted, check.forgive) for accepted in check.accepted)
    return float(right), f"is {_shown(text)}, which is {'right' if right else 'not'}"


def _collection(check: CollectionCheck, value: Any) -> tuple[float, str]:
    items = _items(check, value)
    if len(items) > MOST_ITEMS:
        raise _Wrong(f"holds more than {MOST_ITEMS:,} items")
    assert check.expected is not None
    if check.items == "number":
        numbers = [_item_number(item) for item in items]
        wanted = [Decimal(repr(item)) for item in check.expected]
        measure = set_numbers_likeness if check.type == "set" else ordered_numbers_likeness
        score = measure(numbers, wanted, check.bound)
    else:
        texts = [_item_text(item) for item in items]
        names = [normalised(str(item), FORGIVABLE) for item in check.expected]
        score = (set_likeness if check.type == "set" else ordered_likeness)(texts, names)
    told = f"holds {len(items)} items, which are {'right' if score == 1 else f'right by {score:.2f}'}"
    return (score if check.partial else float(score == 1)), told


def _items(check: CollectionCheck, value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise _Wrong(f"holds {_shown(value)}, which is no list")
    if value.lstrip().startswith("["):
        document = parse_json(value.encode())
        if isinstance(document, list):
            return document
    parts = value.split(check.separator, MOST_ITEMS * 2)
    return [part.strip() for part in parts if part.strip()]


def _item_number(item: Any) -> Decimal:
    found = Decimal(item) if is_number(item) else parse_number(item) if isinstance(item, str) else None
    if found is None:
        raise _Wrong(f"holds the item {_shown(item)}, which is no number")
    return found


def _item_text(item: Any) -> str:
    if not isinstance(item, str) and not is_number(item):
        raise _Wrong(f"holds the item {_shown(item)}, which is no text")
    return normalised(str(item), FORGIVABLE)


def _json(check: JsonCheck, value: Any) -> tuple[float, str]:
    score = likeness(value, plain(check.expected), check.bound)
    told = "holds what is right" if score == 1 else f"holds JSON that is right by {score:.2f}"
    return (score if check.partial else float(score == 1)), told


def _date(check: DateCheck, value: Any) -> tuple[float, str]:
    found = parse_date(value, check.formats) if isinstance(value, str) else None
    if found is None:
        raise _Wrong(f"holds {_shown(value)}, which is no date")
    right = same_date(found, check.expected, check.tolerance_s)
    return float(right), f"is {_shown(value)}, which is {'right' if right else 'not'}"


def _shown(value: Any) -> str:
    text = repr(value[: _SHOWN * 2].strip() if isinstance(value, str) else value if not _large(value) else type(value))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _large(value: Any) -> bool:
    return isinstance(value, list | dict)


_KINDS: dict[type[Check], Callable[[Any, Any], tuple[float, str]]] = {
    NumberCheck: _number,
    TextCheck: _text,
    CollectionCheck: _collection,
    JsonCheck: _json,
    DateCheck: _date,
}
