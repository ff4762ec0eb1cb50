"""What the trials of a run come to, and that statements of the first version still verify."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from affidavit.evidence import IN_TOTO
from affidavit.runs import PLAN, RUN_STATEMENT, RunFacts, RunPlan, read_plan, read_run_statement, verify_run
from affidavit.runs.statement import TrialEnd, aggregate_of
from affidavit.signing import Envelope, SigningKey, canonical_json, load_key, strict_json
from affidavit.statistics import estimate
from harness import Home
from plans import make_plan


def ends_of(plan: RunPlan, scores: Sequence[float | None]) -> list[TrialEnd]:
    """The ends of a plan's trials, which have these scores in order; None: inconclusive."""
    return [
        TrialEnd(
            name=planned.name,
            place=planned.place,
            attempts=1,
            bundle=None,
            verdict="inconclusive" if score is None else "pass" if score >= 1 else "fail",
            score=score,
            raw_score=score,
        )
        for planned, score in zip(plan.in_order, scores, strict=True)
    ]


def test_intervals_are_those_of_reports(key: SigningKey) -> None:
    plan = make_plan(key.key_id, tasks=("a", "b", "c"), trials=4)
    made = aggregate_of(plan, ends_of(plan, [1, 1, 1, 0.5, 0, 0, 1, None, 0, 0, 0, 0]))
    rate, mean = estimate([[1, 1, 1, 0], [0, 0, 1, 0], [0] * 4]), estimate([[1, 1, 1, 0.5], [0, 0, 1], [0] * 4])
    assert rate.interval is not None
    assert mean.interval is not None
    assert (made.pass_rate.low, made.pass_rate.high) == pytest.approx((rate.interval.low, rate.interval.high), abs=1e-6)
    assert (made.mean_score.value, made.mean_score.low, made.mean_score.high) == pytest.approx(
        (4.5 / 11, mean.interval.low, mean.interval.high), abs=1e-6
    )
    # With so few tasks the clustered intervals must be wider than those that take all trials for independent.
    first = aggregate_of(plan, ends_of(plan, [1, 1, 1, 0.5, 0, 0, 1, None, 0, 0, 0, 0]), version=1)
    assert width(made.pass_rate.low, made.pass_rate.high) > width(first.pass_rate.low, first.pass_rate.high)


def width(low: float | None, high: float | None) -> float:
    assert low is not None
    assert high is not None
    return high - low


def test_the_first_version_has_its_own_formula(key: SigningKey) -> None:
    plan = make_plan(key.key_id, tasks=("a", "b", "c"), trials=2)
    made = aggregate_of(plan, ends_of(plan, [1, 1, 0.5, 0, 0, 1]), version=1)
    # Mean 7/12; sums of the deviations by task 5/6, -2/3, -1/6; no factor for few tasks, and the normal quantile.
    half = 1.959964 * math.sqrt((5 / 6) ** 2 + (2 / 3) ** 2 + (1 / 6) ** 2) / 6
    assert made.mean_score.value == pytest.approx(7 / 12, abs=1e-6)
    assert (made.mean_score.low, made.mean_score.high) == pytest.approx((7 / 12 - half, 7 / 12 + half), abs=2e-6)
    single = make_plan(key.key_id, tasks=("a",), trials=2)
    assert aggregate_of(single, ends_of(single, [1, 0]), version=1).mean_score.low is None


def in_first_version(run: Path, facts: RunFacts, key: SigningKey) -> None:
    """State the run anew, in the first version of the predicate."""
    payload = strict_json(read_run_statement(run / RUN_STATEMENT).envelope.payload)
    payload |= {"predicateType": "urn:affidavit:run:v1", "predicate": facts.model_dump(mode="json")}
    envelope = Envelope(canonical_json(payload), IN_TOTO, {}).with_signature(key)
    (run / RUN_STATEMENT).write_bytes(canonical_json(envelope.to_json()))


def test_statements_of_the_first_version_verify(run: Path, home: Home) -> None:
    key = load_key(home.keys)
    facts, plan = read_run_statement(run / RUN_STATEMENT).facts, read_plan(run / PLAN).plan
    first = facts.model_copy(update={"aggregate": aggregate_of(plan, facts.trials, version=1)})
    assert first.aggregate != facts.aggregate
    in_first_version(run, first, key)
    assert verify_run(run, [key.public]).ok
    # The intervals of one version are wrong in the other.
    in_first_version(run, facts, key)
    assert [check.name for check in verify_run(run, [key.public]).checks if not check.ok] == ["aggregate"]
