"""The plan of a run as a signed document."""

import base64
import json
import re

import pytest
from pydantic import ValidationError

from affidavit.runs import PlannedAgent, PlannedJob, PlannedModel, RunPlan, Versioned, read_plan, sign_plan
from affidavit.signing import EvidenceError, SigningKey, canonical_json
from plans import digest_of, make_plan

MODEL = PlannedModel(
    mode="live",
    models=["m"],
    upstreams={"openai": "https://models.example"},
    answers=None,
    requests=10,
    tokens=None,
    seconds=None,
    provider_tools=False,
)


def test_a_plan_is_read_as_it_was_signed(plan: RunPlan, key: SigningKey) -> None:
    data = sign_plan(plan, key).data()
    signed = read_plan(data)
    assert signed.plan == plan
    assert signed.envelope.signed_by(key.public)
    assert signed.data() == data
    with_model = sign_plan(make_plan(key.key_id, model=MODEL), key)
    assert read_plan(with_model.data()).plan.model == MODEL
    assert signed.plan.digest == digest_of(signed.envelope.payload.decode())


def test_every_trial_has_a_name_a_place_and_a_seed(plan: RunPlan) -> None:
    assert [trial.name for trial in plan.in_order] == ["a/cmd/0", "a/cmd/1", "b/cmd/0", "b/cmd/1"]
    assert [trial.place for trial in plan.in_order] == ["a/0", "a/1", "b/0", "b/1"]
    seeds = [trial.seed for trial in plan.in_order]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 1 << 31 for seed in seeds)


def test_agents_that_are_compared_meet_the_same_seeds(key: SigningKey) -> None:
    one, other = PlannedAgent.of("one", "true", False), PlannedAgent.of("other", "false", False)
    agents = {agent.digest: agent for agent in (one, other)}
    jobs = [PlannedJob(task="a", agent=digest) for digest in agents]
    trials = make_plan(key.key_id, tasks=("a",), agents=agents, jobs=jobs).in_order
    assert [trial.place for trial in trials] == ["a/one/0", "a/one/1", "a/other/0", "a/other/1"]
    assert [trial.seed for trial in trials[:2]] == [trial.seed for trial in trials[2:]]
    assert trials[0].seed != make_plan(key.key_id, tasks=("a",), agents=agents, jobs=jobs, seed=8).in_order[0].seed


def test_a_plan_made_anew_of_the_same_is_no_difference(plan: RunPlan, key: SigningKey) -> None:
    again = make_plan(key.key_id, made="2026-11-28T08:00:00Z", nonce="1" * 64, seed=8)
    assert plan.differences(again) == []
    assert plan.digest != again.digest


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"trials": 3}, "trials is 3, the plan says 2"),
        ({"runtime": "gvisor"}, "runtime is gvisor, the plan says auto"),
        ({"model": MODEL}, r"model.models is \['m'\], and the plan has none"),
        ({"affidavit": "0.2.0"}, "affidavit is 0.2.0, the plan says 0.1.0"),
        ({"signer": digest_of("other")}, "signer is "),
        (
            {"profile": Versioned(id="rnd", version="1.0.0", digest=digest_of("p"))},
            "profile.id is rnd, and the plan has",
        ),
        ({"tasks": ("a",)}, "tasks.b.digest is .* in the plan, and the run has none"),
    ],
)
def test_what_differs_is_named(plan: RunPlan, key: SigningKey, changed: dict[str, object], says: str) -> None:
    found = plan.differences(make_plan(**{"signer": key.key_id, **changed}))  # type: ignore[arg-type]
    assert any(re.search(says, sentence) for sentence in found), found


def test_another_command_is_another_agent(plan: RunPlan, key: SigningKey) -> None:
    agent = PlannedAgent.of("cmd", "echo 43 >answer", False)
    jobs = [PlannedJob(task=name, agent=agent.digest) for name in ("a", "b")]
    other = make_plan(key.key_id, agents={agent.digest: agent}, jobs=jobs)
    assert [sentence.split(" is ")[0] for sentence in plan.differences(other)] == [
        "agents.cmd on a.command_digest",
        "agents.cmd on b.command_digest",
    ]


def test_a_command_that_is_no_utf8_can_be_planned(key: SigningKey) -> None:
    agent = PlannedAgent.of("cmd", "echo \udcff", False)
    assert agent.command == "echo \\xff"
    assert agent.command_digest != PlannedAgent.of("cmd", "echo \\xff", False).command_digest
    jobs = [PlannedJob(task="a", agent=agent.digest)]
    assert read_plan(
        sign_plan(make_plan(key.key_id, tasks=("a",), agents={agent.digest: agent}, jobs=jobs), key).data()
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "0"},
        {"trials": 0},
        {"jobs": [PlannedJob(task="c", agent=digest_of("x"))]},
        {"tasks": ("a", "a")},
    ],
    ids=str,
)
def test_a_plan_that_fits_nothing_is_none(key: SigningKey, changed: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make_plan(**{"signer": key.key_id, **changed})  # type: ignore[arg-type]


def test_what_is_no_plan_is_refused(plan: RunPlan, key: SigningKey) -> None:
    data = sign_plan(plan, key).data()
    envelope = json.loads(data)
    document = json.loads(base64.b64decode(envelope["payload"]))
    for payload in (b"{}", canonical_json({**document, "more": 1}), json.dumps(document).encode()):
        spoilt = canonical_json({**envelope, "payload": base64.b64encode(payload).decode()})
        with pytest.raises(EvidenceError, match="is not a plan"):
            read_plan(spoilt)
    for spoilt in (b"", data + b"\n", canonical_json({**envelope, "payloadType": "text/plain"})):
        with pytest.raises(EvidenceError, match="is not a plan"):
            read_plan(spoilt)
