"""The typed documents: what they write is what readers of bundles know."""

from typing import Any

import pytest

from affidavit.evidence import (
    ContractFacts,
    Identity,
    LedgerFacts,
    ModelFacts,
    NetworkFacts,
    PlanFacts,
    TaskFacts,
    TrialPredicate,
)

DIGEST = "sha256:" + "1" * 64
CONTRACT = {"id": "small", "version": "1.0.0", "digest": DIGEST, "signed_by": None, "published": None}
IDENTITY: dict[str, Any] = {
    "name": "cmd",
    "version": "1",
    "command": "true",
    "command_sha256": "2" * 64,
    "model": "",
    "environment": {"A": "b"},
    "brought": None,
    "definition": None,
    "scan": None,
}
STATED: dict[str, Any] = {
    "run_id": "r1",
    "trial": 0,
    "agent": "cmd",
    "identity": IDENTITY,
    "task": {"id": "small", "digest": DIGEST},
    "contract": CONTRACT,
    "verdict": "inconclusive",
    "score": None,
    "raw_score": 1.0,
    "assurance": None,
    "runtime": "runc",
    "recorder": "ebpf",
    "plan": {
        "digest": DIGEST,
        "nonce": "3" * 64,
        "trial": "small/cmd/0",
        "attempt": 2,
        "seed": 7,
        "ledger": {"size": 5, "root": DIGEST},
    },
}
MODEL: dict[str, Any] = {
    "mode": "live",
    "asked": ["model-1"],
    "upstreams": {"openai": "https://models.example/v1"},
    "mapping": {},
    "budgets": {"requests": 2000, "tokens": None, "seconds": None, "cost": 1.5},
    "prices": {"model-1": {"input": 1.0, "output": 10.0}},
    "cost_usd": 0.5,
    "provider_tools": False,
    "idle_s": 60.0,
    "complete": True,
    "turns": 1,
    "head": DIGEST,
    "outcomes": {"answered": 1},
    "stripped": [],
    "tokens": {"input": 3, "output": 2},
    "wire": ["model-1"],
}
NETWORK: dict[str, Any] = {
    "endpoints": ["a.example:443"],
    "addresses": {"a.example": "10.0.0.1"},
    "hosts": 1,
    "connections": {"passed": 1, "refused": 2, "failed": 0},
    "complete": True,
}


def predicate(**more: Any) -> TrialPredicate:
    return TrialPredicate(
        run_id="r1",
        trial=0,
        agent="cmd",
        identity=Identity(**IDENTITY),
        task=TaskFacts(id="small", digest=DIGEST),
        contract=ContractFacts(**{**CONTRACT, **more.pop("contract", {})}),
        verdict="inconclusive",
        score=None,
        raw_score=1.0,
        assurance=None,
        runtime="runc",
        recorder="ebpf",
        plan=PlanFacts(
            digest=DIGEST,
            nonce="3" * 64,
            trial="small/cmd/0",
            attempt=2,
            seed=7,
            ledger=LedgerFacts(size=5, root=DIGEST),
        ),
        **more,
    )


@pytest.mark.parametrize(("way", "kind", "said"), [("model", ModelFacts, MODEL), ("network", NetworkFacts, NETWORK)])
def test_a_way_out_is_stated_only_if_the_agent_had_it(
    way: str, kind: type[ModelFacts] | type[NetworkFacts], said: dict[str, Any]
) -> None:
    assert predicate().to_json() == STATED
    assert predicate(**{way: kind.read(way, said)}).to_json() == {**STATED, way: said}


def test_further_signers_of_a_contract_are_stated() -> None:
    stated = predicate(contract={"signers": ["a", "b"]}).to_json()
    assert stated["contract"] == {**CONTRACT, "signers": ["a", "b"]}
