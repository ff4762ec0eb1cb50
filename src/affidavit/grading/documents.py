"""JSON that an agent wrote: read within bounds, and compared with what is expected."""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any

from jsonpath import JSONPathEnvironment, JSONPointer
from jsonpath.exceptions import JSONPathError, JSONPointerError

from affidavit.grading.numbers import Tolerance, within

MOST_BYTES = 4 << 20
_DEEPEST = 100
_MOST_VALUES = 1_000_000
_DIGITS = 400
_EXACT = Context(prec=_DIGITS, traps=[])


class DocumentError(ValueError):
    """What stands there is no JSON, or nothing can be found in it; the text is the end of a sentence."""


def parse_json(raw: bytes) -> Any:
    """JSON as RFC 8259 has it: no NaN, no name twice in an object. Numbers with a point or an exponent are Decimal.

    Raises:
        DocumentError: it is none, or is out of bounds (4 MiB, 100 levels, 400 digits in a number).
    """
    if len(raw) > MOST_BYTES:
        raise DocumentError(f"is larger than {MOST_BYTES >> 20} MiB")
    try:
        value = json.loads(
            raw.decode("utf-8-sig"),
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_decimal,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise DocumentError("is nested too deep") from None
    except DocumentError:
        raise
    except ValueError:
        raise DocumentError("is not JSON") from None
    _bounded(value)
    return value


def _no_constant(name: str) -> Any:
    raise DocumentError(f"holds {name}, which is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise DocumentError(f"holds a number of {len(digits)} digits")
    return int(digits)


def _decimal(text: str) -> Decimal:
    # An exponent that decimal has no room for is an exception to it, and nothing to this context.
    value = _EXACT.create_decimal(text) if len(text) <= _DIGITS else Decimal("nan")
    # What a double can't hold is no measured number.
    if not value.is_finite() or (value and abs(value.adjusted()) > 400):
        raise DocumentError("holds a number out of bounds")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise DocumentError("holds an object with the same name twice")
    return value


def _bounded(value: Any) -> None:
    level, seen = [value], 0
    for _ in range(_DEEPEST):
        level = [child for item in level for child in _children(item)]
        seen += len(level)
        if seen > _MOST_VALUES:
            raise DocumentError(f"holds more than {_MOST_VALUES:,} values")
        if not level:
            return
    raise DocumentError(f"is nested deeper than {_DEEPEST} levels")


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def check_place(place: str) -> str:
    """A place in a document, as a settings model takes it.

    Raises:
        ValueError: it is neither a JSON Pointer (RFC 6901: ``/a/0``, or nothing for the whole) nor JSONPath
            (RFC 9535: ``$.a[0]``).
    """
    try:
        if place.startswith("$"):
            _ENVIRONMENT.compile(place)
        elif place and not place.startswith("/"):
            raise ValueError
        else:
            JSONPointer(place)
    except (JSONPathError, JSONPointerError, ValueError):
        raise ValueError(
            f"must be a JSON Pointer such as /total or a JSONPath such as $.total, not {place[:60]!r}"
        ) from None
    return place


def pick(document: Any, place: str) -> list[Any]:
    """The values at a place of a document: one or none for a JSON Pointer, any number for JSONPath.

    Raises:
        DocumentError: looking for them went out of bounds.
    """
    if not isinstance(document, dict | list):
        # The library would take a text for a document of its own.
        return [document] if place in ("", "$") else []
    if not place.startswith("$"):
        nothing = object()
        found = JSONPointer(place).resolve(document, default=nothing)
        return [] if found is nothing else [found]
    try:
        return list(_ENVIRONMENT.query(place, document).values())
    except (JSONPathError, RecursionError):
        raise DocumentError("can't be looked through") from None


_ENVIRONMENT = JSONPathEnvironment(strict=True)


def pick_one(document: Any, place: str) -> Any:
    """The one value at a place.

    Raises:
        DocumentError: there is none, or more than one.
    """
    found = pick(document, place)
    if len(found) != 1:
        raise DocumentError(f"has {len(found) or 'nothing'}{' values' if found else ''} at {place}")
    return found[0]


def plain(value: Any) -> Any:
    """A value as TOML or Python has it, as `parse_json` gives it: lists for tuples, Decimal for float."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def same(found: Any, expected: Any, tolerance: Tolerance) -> bool:
    """Whether two documents are equal: numbers within the tolerance, everything else exactly. ``1`` is not ``true``."""
    return likeness(found, expected, tolerance) == 1.0


def likeness(found: Any, expected: Any, tolerance: Tolerance) -> float:
    """How much of what is expected is there: equal leaves among all leaves of either, from 0 to 1.

    A leaf is a value that is neither an object nor a list, or is an empty one. What is there beyond what is expected
    counts against it, so that naming everything gains nothing.
    """
    there, wanted = dict(_leaves(found)), dict(_leaves(expected))
    equal = sum(place in there and _equal(there[place], value, tolerance) for place, value in wanted.items())
    return equal / len(there.keys() | wanted.keys())


def _leaves(value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, dict) and item:
            waiting += [((*place, name), child) for name, child in item.items()]
        elif isinstance(item, list) and item:
            waiting += [((*place, number), child) for number, child in enumerate(item)]
        else:
            yield place, item


def _equal(found: Any, expected: Any, tolerance: Tolerance) -> bool:
    if is_number(found) and is_number(expected):
        return within(Decimal(found), Decimal(expected), tolerance)
    return type(found) is type(expected) and bool(found == expected)


def is_number(value: Any) -> bool:
    """Whether it is a number as `parse_json` gives it, which true and false are not."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)
