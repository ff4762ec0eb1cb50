"""The typed documents: what they write is what readers of bundles know."""

from typing import Any

import pytest

from affidavit.evidence import ContractFacts, Identity, LedgerFacts, PlanFacts, TaskFacts, TrialPredicate

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


@pytest.mark.parametrize("way", ["model", "network"])
def test_a_way_out_is_stated_only_if_the_agent_had_it(way: str) -> None:
    assert predicate().to_json() == STATED
    assert predicate(**{way: {"complete": True}}).to_json() == {**STATED, way: {"complete": True}}


def test_further_signers_of_a_contract_are_stated() -> None:
    stated = predicate(contract={"signers": ["a", "b"]}).to_json()
    assert stated["contract"] == {**CONTRACT, "signers": ["a", "b"]}
