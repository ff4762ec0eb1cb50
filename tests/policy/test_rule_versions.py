"""A change of a rule that is not called loosening lets nothing more through: so says the judge, on any record."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from affidavit.contracts import Kind, contract_of, diff_contracts
from affidavit.policy import judge

Table = Callable[..., pa.Table]

_OPS = ("open_read", "create", "exec")
_PATHS = ("/w/a", "/w/b", "/w/a/c")
_SELECTORS = st.fixed_dictionaries(
    {"op": st.lists(st.sampled_from(_OPS), min_size=1, unique=True)},
    optional={
        "path": st.lists(st.sampled_from(["/w/*", "/w/**", "/w/a", "!/w/b", "/w/a/**"]), min_size=1, unique=True),
        "ok": st.booleans(),
        "where": st.sampled_from(["e.uid > 0", "e.uid >= 2", "e.uid == 1", "e.uid in [1, 2]", "e.uid != 1 || !e.ok"]),
    },
)
_QUESTIONS = ("e.uid > 0", "e.uid == 1", "e.path.glob('/w/*')", "e.path.startsWith('/w/a')", "e.op in ['exec']", "e.ok")
_ONE = st.sampled_from([*_QUESTIONS, *(f"!({text})" for text in _QUESTIONS)])
_OF_EVENT = st.lists(_ONE, min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from([" || ".join(parts), " && ".join(parts)])
)
_OF_RECORD = st.tuples(
    st.sampled_from(["trace.count(e, {}) > {}", "trace.count(e, {}) <= {}", "trace.count(e, {}) == {}"]),
    _OF_EVENT,
    st.integers(0, 3),
).map(lambda parts: parts[0].format(*parts[1:]))
_EXPRESSIONS = _OF_EVENT | _OF_RECORD | st.tuples(_OF_RECORD, _OF_RECORD).map(" || ".join)
_SMALL, _SPAN = st.integers(0, 4), st.integers(1, 5)
_RULES = st.one_of(
    st.fixed_dictionaries({"never": _SELECTORS}, optional={"after": _SELECTORS, "until": _SELECTORS}),
    st.fixed_dictionaries({"each": _SELECTORS, "after": _SELECTORS}),
    st.fixed_dictionaries({"each": _SELECTORS, "before": _SELECTORS}),
    st.fixed_dictionaries({"count": _SELECTORS, "at_most": _SMALL}, optional={"within_ms": _SPAN}),
    st.fixed_dictionaries({"count": _SELECTORS, "at_least": _SMALL}),
    st.fixed_dictionaries({"count": _SELECTORS, "at_least": st.integers(0, 2), "at_most": st.integers(2, 4)}),
    st.fixed_dictionaries({"count": _SELECTORS, "exactly": _SMALL}),
    st.fixed_dictionaries({"forbid": _EXPRESSIONS}),
    st.fixed_dictionaries({"require": _EXPRESSIONS}),
)


@st.composite
def _versions(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A rule, and what a small change made of it; or another rule of any form."""
    old = draw(_RULES)
    if draw(st.integers(0, 4)) == 0:
        return old, draw(_RULES)
    new = dict(old)
    part = draw(st.sampled_from(sorted(old)))
    match old[part]:
        case dict() as selector:
            other = draw(_SELECTORS)
            keys = draw(st.sets(st.sampled_from(["op", "path", "ok", "where"])))
            mixed = {key: (other if key in keys else selector).get(key) for key in ("op", "path", "ok", "where")}
            new[part] = {key: value for key, value in mixed.items() if value is not None}
        case int() as number:
            new[part] = max(0 if part != "within_ms" else 1, number + draw(st.integers(-2, 2)))
        case str() as text:
            new[part] = draw(
                st.sampled_from([f"{text} || {draw(_ONE)}", f"({text}) && {draw(_ONE)}", draw(_EXPRESSIONS)])
            )
    for extra in ("after", "until") if "never" in new else ("within_ms",) if "at_most" in new else ():
        if draw(st.booleans()):
            continue
        if extra in new:
            del new[extra]
        elif extra != "within_ms":
            new[extra] = draw(_SELECTORS)
        elif "at_least" not in new:
            new[extra] = draw(_SPAN)
    return old, new


_EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(_OPS),
            "path": st.sampled_from(_PATHS),
            "uid": st.integers(0, 2),
            "ret": st.sampled_from([0, 0, -2]),
            "after_ms": st.integers(0, 3),
        }
    ),
    min_size=1,
    max_size=8,
)


def _contract(rule: dict[str, Any]) -> Any:
    head = {"schema": "affidavit.contract/v1", "id": "c", "version": "1.0.0", "files": {"write": ["/**"]}}
    try:
        return contract_of({**head, "rules": [{"id": "r", **rule}]}, "c")
    except Exception:
        # at_least above at_most, an expression that asks both of an event and of the record.
        return None


@given(_versions(), _EVENTS)
@example(({"never": {"op": ["exec"]}, "until": {"op": ["create"]}}, {"never": {"op": ["exec"]}}), [])
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_without_loosening_nothing_more_is_admitted(table: Table, two: Any, events: list[dict[str, Any]]) -> None:
    old, new = map(_contract, two)
    if old is None or new is None:
        return
    kinds = {change.kind for change in diff_contracts(old, new).changes}
    event(
        str(max(kinds, default="the same", key=[Kind.NEUTRAL, Kind.TIGHTENING, Kind.LOOSENING].index) if kinds else "=")
    )
    if Kind.LOOSENING in kinds:
        return
    now, rows = 0, []
    for row in events:
        now += row["after_ms"] * 1_000_000
        rows.append({**{key: value for key, value in row.items() if key != "after_ms"}, "ts_ns": now})
    record = table(*rows) if rows else table({"op": "exit"})
    before, after = ([one for one in judge(of, record) if one.rule == "rules.r"] for of in (old, new))
    assert bool(before) <= bool(after)
    if not two[0].keys() & {"at_least", "exactly", "forbid", "require"}:
        # Whatever event broke the old rule breaks the new one.
        assert {seq for one in before for seq in one.events} <= {seq for one in after for seq in one.events}
    if kinds <= {Kind.NEUTRAL}:
        assert bool(before) == bool(after)
