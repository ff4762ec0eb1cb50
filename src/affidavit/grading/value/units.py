"""Units of measurement, by pint. Only what looks like a unit ever reaches its parser, which evaluates powers."""

import re
from decimal import Context, Decimal, localcontext
from functools import cache

import pint

_NAME = r"[A-Za-zµμΩ°%]{1,40}"
_POWER = r"(?:(?:\^|\*\*)?-?[1-9]|[²³])?"
_UNIT = re.compile(rf"{_NAME}{_POWER}(?: ?[*/· ] ?{_NAME}{_POWER}){{0,5}}")
_SPELT = str.maketrans({"²": "^2", "³": "^3", "·": "*", "μ": "µ"})


@cache
def _registry() -> pint.UnitRegistry[Decimal]:
    return pint.UnitRegistry(non_int_type=Decimal, cache_folder=None)


def known_unit(unit: str) -> bool:
    """Whether pint knows it."""
    return _unit(unit) is not None


def converted(value: Decimal, unit: str, wanted: str) -> Decimal | None:
    """A value in another unit; None where there is no such unit, or it measures something else.

    >>> converted(Decimal("4150"), "cm", "m")
    Decimal('41.50')
    """
    source, target = _unit(unit), _unit(wanted)
    if source is None or target is None:
        return None
    try:
        with localcontext(Context(prec=40)):
            return Decimal(_registry().Quantity(value, source).to(target).magnitude)
    except (pint.PintError, ArithmeticError, TypeError, ValueError):
        return None


def _unit(text: str) -> "pint.Unit | None":
    if not _UNIT.fullmatch(text):
        return None
    try:
        return _registry().parse_units(re.sub(r"(?<=[A-Za-zµΩ°%])(-?[1-9])", r"^\1", text.translate(_SPELT)))
    except Exception:  # pint's parser lets through whatever Python's tokenizer and its own evaluator raise
        return None
