"""What a contract says of model traffic, against decision logs."""

import json
from collections.abc import Callable, Container, Iterable
from typing import Any

import pyarrow as pa
import pytest

from affidavit.contracts import Contract
from affidavit.events import MODEL_SCHEMA
from affidavit.policy import Attempt, Judge, Violation

Make = Callable[..., Contract]


def answer(*tools: str) -> bytes:
    calls = [{"id": f"c{n}", "function": {"name": name, "arguments": "{}"}} for n, name in enumerate(tools)]
    return json.dumps({"choices": [{"message": {"content": "x", "tool_calls": calls}}]}).encode()


def log(*turns: dict[str, Any]) -> Callable[[Container[str]], Iterable[pa.RecordBatch]]:
    """Reads a decision log of turns, each given by what differs from an ordinary exchange."""
    rows = [
        {
            **dict.fromkeys(("query", "reason"), ""),
            **{"turn": number, "started_ns": number * 10_000_000, "answered_ns": None},
            **{"ended_ns": number * 10_000_000 + 3_000_000, "dialect": "openai", "operation": "chat"},
            **{"method": "POST", "path": "/openai/v1/chat/completions", "model": "m-1", "wire_model": "m-1"},
            **{"outcome": "answered", "status": 200, "stripped": [], "input_tokens": 10, "output_tokens": 5},
            **{"estimated": False, "request_headers": "{}", "request": b"", "response": answer(), "hash": b""},
            "response_headers": '{"content-type": "application/json"}',
            **turn,
        }
        for number, turn in enumerate(turns, 1)
    ]
    batch = pa.RecordBatch.from_pylist(rows, MODEL_SCHEMA)
    return lambda columns: [batch.select([name for name in MODEL_SCHEMA.names if name in columns])]


def judged(contract: Contract, *turns: dict[str, Any]) -> tuple[list[Violation], tuple[Attempt, ...]]:
    judge = Judge(contract)
    return judge.finish(model_log=log(*turns)), judge.attempts


def told(found: Iterable[Violation]) -> list[tuple[str, int, str]]:
    return [(one.rule, one.count, one.message) for one in found]


REFUSED = {"outcome": "refused", "status": 403, "wire_model": "", "response": b"{}"}


def test_requests_beyond_the_bound(contract: Make) -> None:
    bound = contract(model={"requests": 2})
    # Neither what no model answers counts, nor what the upstream failed to answer.
    others = ({"operation": "count_tokens"}, {"operation": "models", "model": ""}, {"outcome": "failed", "status": 500})
    assert judged(bound, {}, *others, {}) == ([], ())
    found, _ = judged(bound, {}, *others, {}, REFUSED, REFUSED)
    message = "the agent asked its model 4 times, and the contract allows 2: turn 6 is the first too many"
    assert told(found) == [("model.requests", 2, message)]


@pytest.mark.parametrize("attempts", ["violation", "record"])
def test_models_that_are_not_named(contract: Make, attempts: str) -> None:
    named = contract(model={"models": ["m-*", "small"], "attempts": attempts})
    turns = ({}, {"model": "small"}, {**REFUSED, "model": "other"}, {"model": "M-1"}, {**REFUSED, "model": "other"})
    found, tried = judged(named, *turns)
    refused = "the agent asked for the model other, which the contract does not name: turns 3, 5"
    passed = "the agent asked for the model M-1, which the contract does not name: turn 4"
    if attempts == "record":
        assert told(found) == [("model.models", 1, passed)]
        assert [(one.rule, one.outcome, one.message, one.count) for one in tried] == [
            ("model.models", "refused", refused, 2)
        ]
    else:
        assert (told(found), tried) == ([("model.models", 1, passed), ("model.models", 2, refused)], ())


def test_tools_that_are_not_named(contract: Make) -> None:
    named = contract(model={"tools": ["bash", "edit_*"]})
    turns = ({"response": answer("bash", "edit_file")}, {"response": answer("web", "web", "bash")}, REFUSED)
    found, _ = judged(named, *turns, {"response": answer("bash2")})
    assert told(found) == [
        ("model.tools", 1, "the model called the tool bash2, which the contract does not name: turn 4"),
        ("model.tools", 1, "the model called the tool web, which the contract does not name: turn 2"),
    ]
    assert told(judged(contract(model={"tools": []}), {"response": answer("a")})[0])
    assert judged(contract(model={"tools": []}), {})[0] == []


@pytest.mark.parametrize(
    ("form", "count"),
    [
        ({"forbid": "turn.output_tokens > 100"}, 1),
        ({"require": "turn.wire_model == turn.model"}, 1),
        ({"forbid": '"web" in turn.tools && turn.number == 2'}, 1),
        ({"forbid": "turn.duration_ms > 2 && turn.duration_ms < 4"}, 3),
        ({"forbid": '"code_interpreter" in turn.stripped'}, 1),
        ({"forbid": "turn.duration_ms > 3 || has(turn.reason) && turn.reason == 'x'"}, None),
        ({"forbid": 'turns.count(t, "web" in t.tools) > 0'}, 0),
        ({"require": "turns.exists(t, t.outcome == 'answered') && size(turns) == 3"}, None),
        ({"require": "turns.filter(t, t.model == 'm-1').all(t, t.status == 200) && size(diff) == 0"}, None),
    ],
)
def test_rules_over_turns(contract: Make, form: dict[str, str], count: int | None) -> None:
    turns = (
        {},
        {"response": answer("web"), "stripped": ["code_interpreter"]},
        {"output_tokens": 101, "wire_model": "n"},
    )
    found, _ = judged(contract(rules=[{"id": "it", "severity": "low", **form}]), *turns)
    broken = [] if count is None else [("rules.it", count, "low", "agent")]
    assert [(one.rule, one.count, one.severity, one.stage) for one in found] == broken


def test_the_turn_that_broke_a_rule_is_named(contract: Make) -> None:
    rule = {"id": "short", "forbid": "turn.output_tokens > 100", "message": "it said too much"}
    found, _ = judged(contract(rules=[rule]), {}, {"output_tokens": 101}, {"output_tokens": 200})
    assert [one.message for one in found] == ["turn 2 (and 1 more) of the agent's model: it said too much"]


def test_an_agent_without_a_model(contract: Make) -> None:
    said = contract(
        model={"requests": 1, "models": ["m"], "tools": []}, rules=[{"id": "it", "forbid": "turn.number > 0"}]
    )
    assert Judge(said).finish() == []
    needs = contract(rules=[{"id": "it", "require": "turns.exists(t, t.status == 200)"}])
    assert [one.rule for one in Judge(needs).finish()] == ["rules.it"]


def test_a_log_that_nothing_is_said_of_is_not_read(contract: Make) -> None:
    def read(columns: Container[str]) -> Iterable[pa.RecordBatch]:
        raise AssertionError

    assert Judge(contract(rules=[{"id": "it", "forbid": "e.op == 'exec' || e.port == 1"}])).finish(model_log=read) == []


def test_bodies_are_read_only_for_tools(contract: Make) -> None:
    asked: list[bool] = []

    def read(columns: Container[str]) -> Iterable[pa.RecordBatch]:
        asked.append("response" in columns or "request" in columns)
        return log({})(columns)

    for said in ({"model": {"requests": 3}}, {"rules": [{"id": "it", "forbid": "'x' in turn.tools"}]}):
        Judge(contract(**said)).finish(model_log=read)
    assert asked == [False, True]
