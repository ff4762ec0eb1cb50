"""What is said of a decision log, and what the log says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.evidence import (
    MODEL_FACTS,
    MODEL_LOG,
    TRAJECTORY,
    BundleWriter,
    SigningKey,
    log_facts,
    model_cost,
    stranded,
)
from affidavit.gateway import Price, trajectory
from affidavit.trace import model_batches, write_model_log
from affidavit.verification import verify_bundle
from evidence.conftest import make_bundle, recompute

TERMS: dict[str, Any] = {
    "mode": "live",
    "asked": ["model-1"],
    "upstreams": {"openai": "https://models.example/v1"},
    "budgets": {"requests": 9, "tokens": None, "seconds": None, "cost": None},
    "provider_tools": False,
    "idle_s": 60.0,
    "complete": True,
}
AGENT = {"name": "a", "version": "", "model_name": "model-1"}
# Three rows of 3 and 2 tokens.
PRICED = {"prices": {"model-1": {"input": 1.0, "output": 10.0}}, "cost_usd": 0.000069}
BODY = {"model": "model-1-x", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}


def row(turn: int, outcome: str = "answered", **changes: Any) -> dict[str, Any]:
    return {
        "turn": turn,
        "started_ns": turn,
        "answered_ns": turn,
        "ended_ns": turn,
        "dialect": "openai",
        "operation": "chat",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query": "",
        "model": "model-1",
        "wire_model": "model-1-x" if outcome == "answered" else "",
        "outcome": outcome,
        "status": 200 if outcome == "answered" else 500,
        "reason": "" if outcome == "answered" else "the upstream broke off",
        "stripped": [],
        "input_tokens": 3,
        "output_tokens": 2,
        "estimated": False,
        "request_headers": "{}",
        "response_headers": json.dumps({"content-type": "application/json"}),
        "request": b"{}",
        "response": json.dumps(BODY).encode(),
        **changes,
    }


def bundle(
    path: Path,
    key: SigningKey,
    facts: Callable[[dict[str, Any]], Any] = lambda facts: facts,
    steps: Callable[[dict[str, Any]], Any] = lambda whole: whole,
    stated: Callable[[dict[str, Any]], Any] = lambda facts: facts,
) -> Path:
    """A bundle with a decision log; the functions change what is said of it."""
    told: dict[str, Any] = {}

    def add(writer: BundleWriter) -> None:
        place = writer.file(MODEL_LOG)
        log = write_model_log(place, [row(1), row(2, "refused"), row(3)])
        rows = [one for batch in model_batches(place) for one in batch.to_pylist()]
        writer.add(TRAJECTORY, steps(trajectory(rows, AGENT, "r1/0")))
        made = facts({**TERMS, **log_facts(model_batches(place), log).to_json()})
        told.update(stated(made))
        writer.add(MODEL_FACTS, made)

    return make_bundle(path, key, tamper=add, model=told)


def model_check(path: Path, key: SigningKey) -> Any:
    (check,) = [one for one in verify_bundle(path, [key.public], recompute).checks if one.name == "model"]
    return check


def test_a_log_and_all_that_is_said_of_it_hold(tmp_path: Path, key: SigningKey) -> None:
    check = model_check(bundle(tmp_path / "b", key), key)
    assert check.ok, check.detail
    assert check.detail.startswith("3 exchanges in one chain, answered by model-1-x;")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"facts": lambda facts: {**facts, "turns": 2}}, "its turns is not"),
        ({"facts": lambda facts: {**facts, "wire": ["better-model"]}}, "its wire is not"),
        ({"facts": lambda facts: {**facts, "head": "sha256:" + "0" * 64}}, "its head is not"),
        ({"facts": lambda facts: {**facts, "tokens": {"input": 1, "output": 1}}}, "its tokens is not"),
        ({"facts": lambda facts: {**facts, **PRICED, "cost_usd": 0.1}}, "its cost_usd is not"),
        (
            {"facts": lambda facts: {**facts, **PRICED, "prices": {"model-1": {"input": 1}}}},
            "model-1.output: Field",
        ),
        (
            {"facts": lambda facts: {name: facts[name] for name in facts if name != "complete"}},
            "complete: Field required",
        ),
        ({"stated": lambda facts: {**facts, "asked": ["other"]}}, "is not what the statement says"),
        ({"steps": lambda whole: {**whole, "steps": whole["steps"][:1]}}, "trajectory.json: is not what"),
    ],
)
def test_what_does_not_follow_from_the_log_is_found(
    tmp_path: Path, key: SigningKey, changes: dict[str, Any], wrong: str
) -> None:
    check = model_check(bundle(tmp_path / "b", key, **changes), key)
    assert not check.ok
    assert wrong in check.detail


def test_what_a_log_costs_follows_from_its_prices(tmp_path: Path, key: SigningKey) -> None:
    check = model_check(bundle(tmp_path / "b", key, facts=lambda facts: {**facts, **PRICED}), key)
    assert check.ok, check.detail


def test_what_has_no_price_costs_nobody_knows_how_much(tmp_path: Path) -> None:
    path = tmp_path / "model.parquet"
    write_model_log(path, [row(1), row(2, model="model-2")])
    assert model_cost(model_batches(path), {"model-1": Price(1.0, 1.0)}) is None
    assert model_cost(model_batches(path), {"model-1": Price(1.0, 1.0), "model-2": Price(2.0, 10.0)}) == 0.000031


def test_a_log_that_the_statement_does_not_tell_of_is_found(tmp_path: Path, key: SigningKey) -> None:
    made = make_bundle(tmp_path / "b", key, tamper=lambda writer: writer.add(MODEL_FACTS, {"complete": True}))
    assert not model_check(made, key).ok


@pytest.mark.parametrize(
    ("rows", "is_stranded"),
    [
        ([], False),
        ([row(1)], False),
        ([row(1), row(2, "failed")], True),
        ([row(1, "failed"), row(2)], False),
        # What counts is when they ended, not when they began.
        ([row(1, "failed", ended_ns=9), row(2)], True),
        ([row(1, "failed"), row(2, "refused")], True),
        ([row(1), row(2, "failed", operation="count_tokens")], False),
        ([row(1), row(2, "left")], False),
    ],
)
def test_stranded_is_who_got_nothing_after_a_failure(
    tmp_path: Path, rows: list[dict[str, Any]], is_stranded: bool
) -> None:
    path = tmp_path / "model.parquet"
    write_model_log(path, rows)
    assert (stranded(model_batches(path)) is not None) == is_stranded
