"""What evidence is expected to be of."""

import hashlib
from typing import Any

import pytest

from affidavit.evidence import TrialFacts
from affidavit.verification import Expected

COMMAND = "ab" * 32
IDENTITY = {"name": "codex", "version": "1.2", "model": "model-1", "command_sha256": COMMAND, "environment": {}}
# The canonical JSON by hand, as docs/bundle.md says it.
SPELLED = (
    f'{{"brought":null,"command_sha256":"{COMMAND}","definition":null,"environment":{{}},'
    '"model":"model-1","version":"1.2"}'
)
AGENT = "sha256:" + hashlib.sha256(SPELLED.encode()).hexdigest()
TASK = "sha256:" + "1" * 64
PLAN = {
    "digest": TASK,
    "nonce": "ab" * 32,
    "trial": "fix/codex/0",
    "attempt": 1,
    "seed": 7,
    "ledger": {"size": 2, "root": TASK},
}
MODEL = {
    "mode": "live",
    "asked": ["model-1"],
    "upstreams": {},
    "budgets": {"requests": None, "tokens": None, "seconds": None},
    "provider_tools": False,
    "idle_s": 60.0,
    "complete": True,
    "turns": 1,
    "head": TASK,
    "outcomes": {"answered": 1},
    "stripped": [],
    "tokens": {"input": 3, "output": 2},
    "wire": ["model-1-2026-01-01"],
}


def facts(**changes: Any) -> TrialFacts:
    value: dict[str, Any] = {
        "run_id": "r",
        "trial": 0,
        "agent": "codex",
        "task": {"id": "fix", "digest": TASK},
        "contract": {"id": "c", "version": "1.0.0", "digest": TASK, "signed_by": None},
        "verdict": "pass",
        "score": 1.0,
        "raw_score": 1.0,
        "runtime": "runc",
        "recorder": "ebpf",
        "traces": {},
        "identity": IDENTITY,
        "model": MODEL,
        "plan": PLAN,
    }
    return TrialFacts.model_validate({**value, **changes})


@pytest.mark.parametrize(
    ("expected", "holds"),
    [
        (Expected(agent="codex"), True),
        (Expected(agent="codex@1.2"), True),
        (Expected(agent="codex@1.3"), False),
        (Expected(agent="claude-code"), False),
        (Expected(agent=AGENT), True),
        (Expected(agent=TASK), False),
        (Expected(models=("model-1",)), True),
        (Expected(models=("model-1", "model-2")), True),
        (Expected(models=("model-2",)), False),
        (Expected(models=("model",)), False),
        (Expected(task="fix"), True),
        (Expected(task=TASK), True),
        (Expected(task="fix-it"), False),
        (Expected(task="sha256:" + "2" * 64), False),
        (Expected(nonce="ab" * 32), True),
        (Expected(nonce="cd" * 32), False),
    ],
)
def test_each_thing_is_compared(expected: Expected, holds: bool) -> None:
    (check,) = expected.checks(facts())
    assert check.ok == holds, check


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": None}, "had no model"),
        ({"model": {**MODEL, "mode": "script"}}, "its answers are of a script"),
        ({"model": {**MODEL, "asked": ["model-1", "better"]}}, "could ask better"),
        ({"model": {**MODEL, "wire": ["model-1", "better"]}}, "better answered"),
        ({"model": {**MODEL, "wire": ["model-10"]}}, "model-10 answered"),
        ({"model": {**MODEL, "wire": "model-1"}}, "does not say"),
        ({"model": {**MODEL, "wire": [f"model-1-{number}" for number in range(20)]}}, "too many"),
        ({"identity": {**IDENTITY, "model": "better"}}, "could ask better"),
        ({"model": {**MODEL, "mapping": {"model-1": "better"}}}, "could ask better"),
    ],
)
def test_a_model_is_what_was_asked_for_and_what_answered(changes: dict[str, Any], said: str) -> None:
    (check,) = Expected(models=("model-1",)).checks(facts(**changes))
    assert not check.ok
    assert said in check.detail


def test_evidence_that_does_not_say_is_not_what_is_expected() -> None:
    bare = facts(identity=None, model=None, plan=None)
    checks = Expected("codex@1.2", ("model-1",), "fix", "ab").checks(bare)
    assert [(check.name, check.ok) for check in checks] == [
        ("expected agent", False),
        ("expected model", False),
        ("expected task", True),
        ("expected nonce", False),
    ]


def test_nothing_is_expected_of_itself() -> None:
    assert not Expected()
    assert Expected().checks(facts()) == ()
