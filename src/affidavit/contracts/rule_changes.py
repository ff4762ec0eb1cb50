"""What changed between two versions of a contract's rules.

Each part of a rule can only forbid more or less as it grows, all else left alone, so a rule whose parts all forbid as
much or more forbids as much or more. What is not shown to do so counts as loosening, and says so.
"""

import math
from collections.abc import Iterator
from typing import Any

from affidavit.contracts import cel
from affidavit.contracts.changes import ContractChange, Kind, reactions
from affidavit.contracts.contract import Contract
from affidavit.contracts.implication import implies
from affidavit.contracts.rules import Rule, Selector

_FORMS = ("forbid", "require", "never", "each", "count")
_WIDEST = 70

# Whether what is forbidden grows (1), shrinks (-1), stays (0), or is not known (None).
_Way = int | None


def rule_changes(old: Contract, new: Contract) -> Iterator[ContractChange]:
    """What changed in the rules: one more tightens, one less loosens, since each can only forbid."""
    before, after = ({rule.id: rule for rule in contract.document.rules} for contract in (old, new))
    for name in before:
        if name not in after:
            yield ContractChange(f"rules.{name}", Kind.LOOSENING, "removed")
    for name, rule in after.items():
        if name not in before:
            yield ContractChange(f"rules.{name}", Kind.TIGHTENING, "new")
        elif rule != before[name]:
            yield from _changes(before[name], rule)
            if before[name].actions != rule.actions:
                place = f"rules.{name}"
                yield reactions(f"{place}.actions", old.actions_for(place), new.actions_for(place))
    if before == after:
        yield ContractChange("rules", Kind.NEUTRAL, "in another order")


def _changes(old: Rule, new: Rule) -> Iterator[ContractChange]:
    place = f"rules.{new.id}"
    words = [name for name in ("message", "severity") if getattr(old, name) != getattr(new, name)]
    if words:
        yield ContractChange(place, Kind.NEUTRAL, f"{' and '.join(words)} changed")
    forms = [next(form for form in _FORMS if getattr(rule, form) is not None) for rule in (old, new)]
    if forms[0] != forms[1]:
        detail = f"{forms[0]} → {forms[1]}: may admit more, which counts as loosening"
        yield ContractChange(place, Kind.LOOSENING, detail)
        return
    for part, way in _parts(forms[0], old, new):
        shown = f"{part}: {_shown(getattr(old, part))} → {_shown(getattr(new, part))}"
        match way:
            case None:
                detail, kind = f"{shown}: may admit more, which counts as loosening", Kind.LOOSENING
            case 0:
                detail, kind = f"{shown}: says the same", Kind.NEUTRAL
            case _:
                detail = f"{shown}: forbids {'more' if way > 0 else 'less'}"
                kind = Kind.TIGHTENING if way > 0 else Kind.LOOSENING
        yield ContractChange(place, kind, detail)


def _parts(form: str, old: Rule, new: Rule) -> Iterator[tuple[str, _Way]]:
    """The parts that changed, and what that does."""
    match form:
        case "forbid":
            yield from _expression("forbid", old.forbid, new.forbid, 1)
        case "require":
            yield from _expression("require", old.require, new.require, -1)
        case "never":
            yield from _never(old, new)
        case "each":
            yield from _selector("each", old.each, new.each, 1)
            # What has to come, before or after: the more does, the less is missing.
            yield from _selector("after", old.after, new.after, -1)
            yield from _selector("before", old.before, new.before, -1)
        case _:
            yield from _count(old, new)


def _expression(part: str, old: str | None, new: str | None, sense: int) -> Iterator[tuple[str, _Way]]:
    assert old is not None
    assert new is not None
    if old != new:
        before, after = cel.compile_cel(old), cel.compile_cel(new)
        way = _grows(before.node, after.node) if before.about == after.about else None
        yield part, _in_sense(way, sense)


def _selector(part: str, old: Selector | None, new: Selector | None, sense: int) -> Iterator[tuple[str, _Way]]:
    if old == new:
        return
    if old is None or new is None:
        yield part, None
    else:
        yield part, _in_sense(_grows(old.node(), new.node()), sense)


def _never(old: Rule, new: Rule) -> Iterator[tuple[str, _Way]]:
    yield from _selector("never", old.never, new.never, 1)
    if old.after is None and new.after is not None:
        # Open from the beginning, and closed for good by the first 'until'; now it may open again later.
        yield "after", -1 if old.until is None and new.until is None else None
    elif old.after is not None and new.after is None:
        yield "after", 1 if old.until is None or new.until is None else None
    else:
        yield from _selector("after", old.after, new.after, 1)
    if old.until is None or new.until is None:
        if old.until != new.until:
            yield "until", 1 if new.until is None else -1
    else:
        yield from _selector("until", old.until, new.until, -1)


def _count(old: Rule, new: Rule) -> Iterator[tuple[str, _Way]]:
    least_before, most_before = _bounds(old)
    least, most = _bounds(new)
    if old.count != new.count:
        assert old.count is not None
        assert new.count is not None
        way = _grows(old.count.node(), new.count.node())
        # More events: sooner too many, later too few.
        if way and least_before > 0:
            way = None if most_before < math.inf else -way
        yield "count", way
    most_grows = 0 if most == most_before else _sign(most_before - most)
    least_grows = _sign(least - least_before)
    if old.exactly != new.exactly:
        ways = {most_grows, least_grows} - {0}
        yield "exactly", None if len(ways) > 1 else ways.pop() if ways else 0
    else:
        yield from [("at_most", most_grows)] * (old.at_most != new.at_most)
        yield from [("at_least", least_grows)] * (old.at_least != new.at_least)
    if old.within_ms != new.within_ms:
        # The longer the stretch, the more it holds; without one it is the whole record.
        yield "within_ms", _sign((new.within_ms or math.inf) - (old.within_ms or math.inf))


def _bounds(rule: Rule) -> tuple[float, float]:
    if rule.exactly is not None:
        return rule.exactly, rule.exactly
    return rule.at_least or 0, math.inf if rule.at_most is None else rule.at_most


def _grows(old: cel.Node, new: cel.Node) -> _Way:
    """Whether the new expression is true where the old one is (1), the other way round (-1), both (0)."""
    more, less = implies(old, new), implies(new, old)
    if more and less:
        return 0
    return 1 if more else -1 if less else None


def _in_sense(way: _Way, sense: int) -> _Way:
    return None if way is None else way * sense


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _shown(value: Any) -> str:
    """A part as a person would write it, in one line and cut."""
    if value is None:
        return "nothing"
    if isinstance(value, Selector):
        written = value.model_dump(mode="json", exclude_none=True)
        value = ", ".join(f"{key} {_listed(of)}" for key, of in written.items())
    text = " ".join(str(value).split())
    return text if len(text) <= _WIDEST else text[:_WIDEST] + "…"


def _listed(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
