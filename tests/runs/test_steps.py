"""What the steps of a trial come to, and the ledger of a trial in steps."""

from pathlib import Path

import pytest

from affidavit.runs import (
    PLAN,
    Ledger,
    PlannedStep,
    PlannedSteps,
    RunPlan,
    StepEnd,
    StepLog,
    combine_steps,
    sign_plan,
    verify_run,
    why_last,
)
from affidavit.runs.plan import Verdict, parsed
from affidavit.signing import EvidenceError, SigningKey
from plans import digest_of, make_plan


def steps(strategy: str = "mean", *minimum: float | None) -> PlannedSteps:
    named = [PlannedStep(name=f"s{number}", min_reward=one) for number, one in enumerate(minimum)]
    return PlannedSteps.model_validate({"strategy": strategy, "steps": named})


def end(verdict: Verdict, score: float | None, raw: float | None = None) -> StepEnd:
    raw = score if raw is None else raw
    return StepEnd(name="s", bundle=digest_of("x"), verdict=verdict, score=score, raw_score=raw)


@pytest.mark.parametrize(
    ("strategy", "ends", "passing", "expected"),
    [
        ("mean", [end("pass", 1.0), end("pass", 1.0)], 1.0, ("pass", 1.0, 1.0)),
        ("mean", [end("pass", 1.0), end("fail", 0.5)], 1.0, ("fail", 0.75, 0.75)),
        ("mean", [end("pass", 1.0), end("fail", 0.5)], 0.75, ("pass", 0.75, 0.75)),
        ("final", [end("fail", 0.0), end("pass", 1.0)], 1.0, ("pass", 1.0, 1.0)),
        # A step that was not reached counts as 0, so that failing early never earns more than going on.
        ("mean", [end("fail", 0.5)], 0.5, ("fail", 0.25, 0.25)),
        ("final", [end("fail", 0.9)], 0.5, ("fail", 0.0, 0.0)),
        ("mean", [end("violation", 0.0, 1.0)], 0.5, ("violation", 0.0, 0.5)),
        ("mean", [end("pass", 1.0), end("violation", 0.0, 1.0)], 1.0, ("violation", 0.0, 1.0)),
        ("mean", [end("pass", 1.0), end("inconclusive", None, 1.0)], 1.0, ("inconclusive", None, 1.0)),
        ("mean", [end("pass", 1.0), end("inconclusive", None, 0.5)], 0.5, ("inconclusive", None, 0.75)),
        ("final", [end("inconclusive", None, 1.0), end("pass", 1.0)], 1.0, ("inconclusive", None, 1.0)),
        ("mean", [end("inconclusive", None, 1.0), end("violation", 0.0, 1.0)], 1.0, ("violation", 0.0, 1.0)),
        ("final", [end("error", None)], 1.0, ("error", None, None)),
    ],
)
def test_steps_come_to(
    strategy: str, ends: list[StepEnd], passing: float, expected: tuple[str, float | None, float | None]
) -> None:
    result = combine_steps(steps(strategy, 0.95, None), ends, passing)
    assert (result.verdict, result.score, result.raw_score) == expected


def test_a_step_ends_the_trial_or_not() -> None:
    first, second = steps("mean", 0.5, None).steps
    assert why_last(first, "fail", 0.5) == why_last(second, "fail", 0.0) == ""
    assert why_last(first, "fail", 0.4) == "step s0: its score of 0.4 is below min_reward, 0.5"
    assert why_last(second, "violation", 1.0) == "step s1: violation"
    assert why_last(second, "error", None) == "step s1: error"
    # A violation may still be found.
    assert why_last(second, "inconclusive", 1.0) == ""


def test_a_plan_without_steps_is_spelled_as_before(plan: RunPlan) -> None:
    assert b"steps" not in plan.payload()
    task = plan.tasks[0].model_copy(update={"steps": steps("mean", 1.0)})
    planned = make_plan(plan.signer).model_copy(update={"tasks": [task, plan.tasks[1]]})
    assert parsed(RunPlan, planned.model_dump(mode="json")) == planned
    assert planned.payload() != plan.payload()
    with pytest.raises(EvidenceError, match="two steps have the same name"):
        parsed(PlannedSteps, {"strategy": "mean", "steps": [{"name": "a"}, {"name": "a"}]})


def test_a_ledger_knows_the_steps(folder: Path, key: SigningKey, plan: RunPlan) -> None:
    name = plan.in_order[0].name
    with Ledger.create(folder, key, folder.name, plan.digest) as ledger:
        trial = ledger.trial(name)
        for step, score in (("s0", 1.0), ("s1", 0.0)):
            log = StepLog(trial, step)
            log.sandbox_made()
            log.finished()
            log.judged("pass" if score else "fail", score, score)
            with pytest.raises(EvidenceError, match="after step_verdict"):
                trial.judged("pass", 1.0, 1.0)
            log.sealed(digest_of(step), 0)
        trial.judged("fail", 0.5, 0.5)
        trial.sealed(digest_of("s1"), 7)
        attempt = ledger.history.end_of(name)
    assert attempt is not None
    assert [(one.name, one.bundle, one.score) for one in attempt.played] == [
        ("s0", digest_of("s0"), 1.0),
        ("s1", digest_of("s1"), 0.0),
    ]
    assert (attempt.bundle, attempt.verdict, attempt.score) == (digest_of("s1"), "fail", 0.5)


Played = tuple[str, Verdict, float]


@pytest.mark.parametrize(
    ("played", "ended", "message"),
    [
        ([("s0", "pass", 1.0)], ("pass", 1.0), "a/cmd/0 ended after step s0, and nothing says why"),
        (
            [("s0", "fail", 0.25), ("s1", "pass", 1.0)],
            ("fail", 0.625),
            "a/cmd/0 went on after step s0: its score of 0.25 is below min_reward, 0.5",
        ),
        (
            [("s1", "pass", 1.0), ("s0", "pass", 1.0)],
            ("pass", 1.0),
            "the steps of a/cmd/0 are not the planned ones in their order",
        ),
        (
            [("s0", "fail", 0.25)],
            ("fail", 0.25),
            "came to fail (0.25, raw 0.25), and its steps to fail (0.125, raw 0.125)",
        ),
        ([("s0", "fail", 0.25)], ("pass", 1.0), "a/cmd/0 came to pass (1.0, raw 1.0), and its steps to fail"),
        ([], ("pass", 1.0), "a/cmd/0 does not end with the bundle of its last step"),
    ],
)
def test_a_trial_that_its_signer_played_otherwise_is_named(
    folder: Path, key: SigningKey, played: list[Played], ended: tuple[Verdict, float], message: str
) -> None:
    plain = make_plan(key.key_id, tasks=("a",), trials=1)
    task = plain.tasks[0].model_copy(update={"steps": steps("mean", 0.5, None)})
    plan = plain.model_copy(update={"tasks": [task]})
    (folder / PLAN).write_bytes(sign_plan(plan, key).data())
    with Ledger.create(folder, key, folder.name, plan.digest) as ledger:
        trial = ledger.trial("a/cmd/0")
        for name, verdict, score in played:
            step = StepLog(trial, name)
            step.sandbox_made()
            step.finished()
            step.judged(verdict, score, score)
            step.sealed(digest_of(name), 0)
        if not played:
            trial.sandbox_made()
            trial.finished()
        trial.judged(ended[0], ended[1], ended[1])
        trial.sealed(digest_of(played[-1][0] if played else "s1"), 0)
        ledger.finish()
    [said] = [check.detail for check in verify_run(folder, [key.public]).checks if check.name == "trials"]
    assert message in said
