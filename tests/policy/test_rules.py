"""Order, time, counts and CEL over a record."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts import contract_of
from affidavit.policy import Judge, Violation, judge

Table = Callable[..., pa.Table]

# A record in letters: r reads the secret, c connects, x cleans up, b builds, s ships, anything else is a fork.
EVENTS: dict[str, dict[str, Any]] = {
    "r": {"op": "open_read", "path": "/secret/key"},
    "c": {"op": "connect", "addr": "10.0.0.1", "port": 443, "flags": 2, "proto": "tcp"},
    "x": {"op": "unlink", "path": "/secret/key"},
    "b": {"op": "exec", "path": "/usr/bin/gcc", "exe": "/usr/bin/gcc", "argv": ["gcc", "-c", "a.c"]},
    "s": {"op": "exec", "path": "/usr/bin/git", "exe": "/usr/bin/git", "argv": ["git", "push"]},
    "-": {"op": "fork", "ret": 99},
}
READ, CONNECT, CLEAN = {"path": ["/secret/**"], "op": ["open_read"]}, {"op": ["connect"]}, {"op": ["unlink"]}
BUILD, SHIP = {"exe": ["/usr/bin/gcc"]}, {"op": ["exec"], "argv": ["push"]}


def rule(**form: Any) -> dict[str, Any]:
    return {"id": "it", **form}


def promised(*rules: dict[str, Any], **more: Any) -> Any:
    head = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0"}
    everywhere = {"files": {"write": ["/**"]}, "network": {"endpoints": ["0.0.0.0/0"]}}
    return contract_of({**head, **everywhere, "rules": list(rules), **more}, "t")


def record(table: Table, letters: str) -> pa.Table:
    return table(*(EVENTS[letter] for letter in letters))


@pytest.mark.parametrize(
    ("form", "letters", "events"),
    [
        (rule(never=CONNECT), "rcbc", [1, 3]),
        (rule(never=CONNECT, after=READ), "crc-c", [2, 4]),
        (rule(never=CONNECT, after=READ, until=CLEAN), "crcxcrc", [2, 6]),
        (rule(never=CONNECT, until=CLEAN), "ccxcrc", [0, 1]),
        (rule(never=READ, after=READ), "rrr", [1, 2]),
        (rule(each=SHIP, after=BUILD), "sbs", [0]),
        (rule(each=SHIP, after=BUILD), "bss", []),
        (rule(each=SHIP, after=BUILD), "", []),
        (rule(each=READ, before=CLEAN), "rrxr-r", [3, 5]),
        (rule(each=READ, before=CLEAN), "rrx", []),
        (rule(count=CONNECT, at_most=2), "cccc", [2, 3]),
        (rule(count=CONNECT, at_most=0), "rc", [1]),
        (rule(count=CONNECT, exactly=1), "cc", [1]),
        (rule(count=CONNECT, exactly=1), "c", []),
        # Events are one microsecond apart; within_ms of 1 holds all of them.
        (rule(count=CONNECT, at_most=2, within_ms=1), "cccc", [2, 3]),
        (rule(forbid="e.op == 'connect' && e.port == 443"), "rc", [1]),
        (rule(require="e.op != 'connect' || e.port == 80"), "rc", [1]),
        (rule(forbid="trace.exists(e, e.op == 'unlink')"), "rxx", [1, 2]),
        (rule(require="trace.all(e, e.op != 'unlink')"), "rxx", [1, 2]),
        (rule(forbid="trace.count(e, e.op == 'connect') > 1"), "crc", [0, 2]),
        (rule(never={"addr": ["10.0.0.0/8:443/tcp"]}), "rc", [1]),
        (rule(never={"addr": ["10.0.0.0/8:443/udp"]}), "rc", []),
        (rule(never={"op": ["open_read"], "ok": False}), "r", []),
        (rule(never={"op": ["exec"], "where": "size(e.argv) == 2"}), "bs", [1]),
    ],
)
def test_forms(table: Table, form: dict[str, Any], letters: str, events: list[int]) -> None:
    found = judge(promised(form), record(table, letters))
    assert [seq for violation in found for seq in violation.events] == events
    assert {(violation.rule, violation.count) for violation in found} <= {("rules.it", len(events))}


@pytest.mark.parametrize(
    ("form", "letters", "broken"),
    [
        (rule(require="trace.exists(e, e.op == 'exec' && e.exe.endsWith('/gcc'))"), "rs", True),
        (rule(require="trace.exists(e, e.op == 'exec' && e.exe.endsWith('/gcc'))"), "rb", False),
        (rule(require="trace.exists_one(e, e.op == 'connect')"), "c", False),
        (rule(require="trace.exists_one(e, e.op == 'connect')"), "r", True),
        (rule(require="trace.exists_one(e, e.op == 'connect')"), "cc", True),
        (rule(require="trace.count(e, e.ok) - trace.count(e, e.op == 'fork') == 2"), "r-c", False),
        (rule(require="trace.count(e, e.ok) - trace.count(e, e.op == 'fork') == 2"), "r-cc", True),
        (rule(require="size(trace) in [2, 3]"), "rrrr", True),
        (rule(require="trace.filter(e, e.op == 'exec').all(e, e.exe.glob('/usr/bin/*'))"), "rbs", False),
        (rule(forbid="size(trace) > 1 ? trace.exists(e, !e.ok) : true"), "r", True),
        (rule(count=CONNECT, at_least=2), "c", True),
        (rule(count=CONNECT, at_least=2), "cc", False),
        (rule(count=CONNECT, exactly=2), "", True),
        (rule(require="diff.exists(c, c.path == '/a' && c.kind == 'added')"), "r", True),
        (rule(require="size(diff) == 0 || trace.exists(e, e.op == 'exec')"), "r", False),
    ],
)
def test_the_record_as_a_whole(table: Table, form: dict[str, Any], letters: str, broken: bool) -> None:
    assert [v.rule for v in judge(promised(form), record(table, letters))] == ["rules.it"] * broken


def test_rates_look_at_any_stretch_of_time(table: Table) -> None:
    times = [0, 10, 20, 1005, 1015, 3000]
    events = table(*({**EVENTS["c"], "ts_ns": ms * 1_000_000} for ms in times))
    [violation] = judge(promised(rule(count=CONNECT, at_most=2, within_ms=1000)), events)
    assert violation.events == (2, 3, 4)
    assert judge(promised(rule(count=CONNECT, at_most=3, within_ms=1000)), events) == []


def test_what_a_person_is_told(table: Table) -> None:
    plain = judge(promised(rule(never=CONNECT)), record(table, "c"))[0]
    assert plain.message == (
        "python3.11 (pid 10) connected to 10.0.0.1:443, which the contract never lets it (rule it)"
    )
    own = promised(rule(never=CONNECT, message="nothing may go out", severity="low", actions=["halt"]))
    [violation] = judge(own, record(table, "c"))
    assert violation.message == "python3.11 (pid 10) connected to 10.0.0.1:443: nothing may go out"
    assert (violation.severity, violation.action) == ("low", "halt")
    [violation] = judge(promised(rule(require="trace.exists(e, !e.ok)", message="none failed")), record(table, "c"))
    assert violation.message == "the record breaks the rule it: none failed"


def test_what_can_not_be_mended_is_said_at_once(table: Table) -> None:
    judging = Judge(promised(rule(require="trace.count(e, e.op == 'connect') < 2 && trace.exists(e, e.op == 'exec')")))
    batches = [record(table, letters).to_batches()[0] for letters in ("c", "c", "c")]
    assert [len(judging.feed(batch)) for batch in batches] == [0, 1, 0]


_RULES = [
    rule(never=CONNECT, after=READ, until=CLEAN),
    rule(each=SHIP, after=BUILD),
    rule(each=READ, before=CLEAN),
    rule(count=CONNECT, at_most=2),
    rule(count=CONNECT, at_most=1, within_ms=1),
    rule(count={"op": ["exec"]}, exactly=3),
    rule(forbid="e.op == 'exec' && 'push' in e.argv"),
    rule(forbid="process.exe.endsWith('gcc') && e.op == 'connect'"),
    rule(require="trace.exists_one(e, e.op == 'unlink')"),
    rule(require="trace.all(e, e.op != 'connect') || trace.count(e, e.op == 'fork') > 2"),
]
_ALL = promised(*({**one, "id": f"r{number}"} for number, one in enumerate(_RULES)))


def _told(violations: list[Violation]) -> set[tuple[str, str]]:
    return {(violation.rule, violation.message) for violation in violations}


@given(st.text(st.sampled_from(sorted(EVENTS)), max_size=40), st.data())
def test_live_and_after_the_fact_agree(table: Table, letters: str, data: st.DataObject) -> None:
    events = table(*({**EVENTS[letter], "ts_ns": 400_000 * n} for n, letter in enumerate(letters)))
    at_once = judge(_ALL, events)
    judging, begin, new = Judge(_ALL), 0, []
    while begin < len(letters):
        size = data.draw(st.integers(1, 15))
        for batch in events.slice(begin, size).to_batches():
            new += judging.feed(batch)
        begin += size
    assert judging.finish() == at_once
    assert _told(new) <= _told(at_once)


@pytest.mark.parametrize(
    ("form", "before", "letters", "broken"),
    [
        (rule(never=CONNECT, after=READ), "r", "c", True),
        (rule(never=CONNECT, after=READ, until=CLEAN), "rx", "c", False),
        (rule(never=CONNECT, until=CLEAN), "x", "c", False),
        (rule(each=SHIP, after=BUILD), "b", "s", False),
        (rule(count=CONNECT, at_most=2), "cc", "c", True),
        (rule(count=CONNECT, exactly=1), "c", "-", False),
        (rule(count=CONNECT, at_most=2, within_ms=1), "cc", "c", True),
        (rule(forbid="trace.exists(e, e.op == 'unlink') && trace.count(e, e.op == 'connect') > 1"), "xc", "c", True),
        (rule(require="trace.exists(e, e.op == 'unlink')"), "x", "c", False),
        (rule(require="turns.count(t, true) == 0 && trace.all(e, e.op != 'unlink')"), "c", "-", False),
        (rule(forbid="diff.exists(c, true)"), "c", "c", False),
    ],
)
def test_a_step_goes_on_where_the_one_before_ended(
    table: Table, form: dict[str, Any], before: str, letters: str, broken: bool
) -> None:
    contract = promised(form)
    first = Judge(contract)
    first.feed(record(table, before).combine_chunks().to_batches()[0])
    assert first.finish() == []
    second = Judge(contract, rule_states=first.rule_states)
    second.feed(record(table, letters).combine_chunks().to_batches()[0])
    assert bool(second.finish()) == broken
    assert set(second.rule_states) <= {"it"}
