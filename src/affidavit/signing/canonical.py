"""JSON, strictly: one meaning for one text, and, in canonical form, one text for one meaning (RFC 8785)."""

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import rfc8785

from affidavit.signing.errors import EvidenceError

# A value takes some sixty bytes, so that a text of commas takes gigabytes.
_MOST_VALUES = 4_000_000
_DEEPEST = 200
# Of the largest double.
_MOST_DIGITS = 309
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value.

    Raises:
        EvidenceError: `value` has no such form: an integer beyond 2**53, NaN, a lone surrogate, another type.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, ValueError, TypeError, RecursionError) as error:
        raise EvidenceError(f"has no canonical JSON form: {error}") from error


def strict_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        EvidenceError: it is not JSON, an object has a name twice, or it holds what JSON has not (NaN, Infinity).
    """
    return _parse(data, _integer)


def strict_canonical_json(data: bytes) -> Any:
    """The value of a JSON text that is in canonical form to the last byte.

    Raises:
        EvidenceError: it is not JSON or not canonical.
    """
    value = _parse(data, _number)
    if canonical_json(value) != data:
        raise EvidenceError("is not in canonical form (RFC 8785)")
    return value


def _parse(data: bytes, parse_int: Callable[[str], int | float]) -> Any:
    # What stands in strings is no value: names of an agent's files may be nothing but commas.
    if _values(data) > _MOST_VALUES and _values(_STRING.sub(b"", data)) > _MOST_VALUES:
        raise EvidenceError(f"may hold more than {_MOST_VALUES:,} values")
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=parse_int, parse_float=_float, parse_constant=_refuse
        )
    except RecursionError as error:
        raise EvidenceError("is nested too deep") from error
    except (ValueError, OverflowError) as error:
        raise EvidenceError(f"is not JSON: {error}") from error
    _bounded(value)
    return value


def _values(data: bytes) -> int:
    """As many values as it may hold at most, one aside."""
    return sum(map(data.count, (b",", b"[", b"{")))


def _bounded(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise EvidenceError(f"is nested deeper than {_DEEPEST} levels")


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS + 1:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _number(digits: str) -> int | float:
    """A whole number as RFC 8785 has it: beyond 2**53 it is a double, as 1e20 is, which it spells in full."""
    number = _integer(digits)
    return number if abs(number) < 1 << 53 else float(number)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is larger than a double can be")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has the same name twice")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
