"""Numbers that an agent wrote, in decimal: nothing is rounded on the way, and nothing is infinite."""

import re
import unicodedata
from decimal import Context, Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_LONGEST = 400
# Digits of ASCII only: "１", "²" and "٣" are digits to Python and to nobody who reads a result.
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?P<rest>(?:\.[0-9]*)?)(?P<exponent>(?:[eE][+-]?[0-9]{1,3})?)"
)
_EXACT = Context(prec=1000, traps=[])

Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Tolerance(BaseModel):
    """How far a number may be from the expected one: the larger of the two bounds.

    Attributes:
        tolerance: absolute.
        relative: as a part of the expected number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tolerance: Distance = 0.0
    relative: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0


EXACTLY = Tolerance()


def split_number(text: str) -> tuple[Decimal, str] | None:
    """A number and what stands behind it; None where the text does not begin with one.

    A point is the decimal sign; commas may set off thousands.

    >>> split_number(" 1,234.5e1 km ")
    (Decimal('12345'), 'km')
    >>> split_number("nan"), split_number("1,23"), split_number("1e9999")
    (None, None, None)
    """
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    match = _NUMBER.match(text)
    if match is None or len(match[0]) > _LONGEST or not re.search("[0-9]", match["whole"] + match["rest"]):
        return None
    behind = text[match.end() :]
    # "12,3", "1.2.3", "1e9999" and "1²" go on with what belongs to no number.
    if behind[:1] in (",", ".", "_") or behind[:1].isnumeric() or unicodedata.category(behind[:1] or " ") == "Mn":
        return None
    value = _EXACT.create_decimal(match[0].replace(",", ""))
    return _EXACT.plus(value).normalize(_EXACT) if value else Decimal(0), behind.strip()


def parse_number(text: str) -> Decimal | None:
    """The number that a text is, with nothing behind it; None where it is none."""
    parts = split_number(text)
    return parts[0] if parts is not None and not parts[1] else None


def distance(found: Decimal, expected: Decimal) -> Decimal:
    """How far two numbers are from one another."""
    return abs(_EXACT.subtract(found, expected))


def within(found: Decimal, expected: Decimal, tolerance: Tolerance) -> bool:
    """Whether a number is as near to the expected one as the tolerance asks."""
    bound = max(Decimal(repr(tolerance.tolerance)), abs(expected) * Decimal(repr(tolerance.relative)))
    return found.is_finite() and distance(found, expected) <= bound
