"""Combines the steps of a trial into its result: one pure function, the same in a run and in ``verify``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from affidavit.runs.plan import PlannedStep, PlannedSteps, Verdict


class StepOutcome(Protocol):
    """What a step came to."""

    @property
    def verdict(self) -> Verdict: ...
    @property
    def score(self) -> float | None: ...
    @property
    def raw_score(self) -> float | None: ...


@dataclass(frozen=True)
class StepsResult:
    """What the steps of a trial come to together.

    Attributes:
        verdict, score, raw_score: the trial's.
        reasons: why steps were not reached, a sentence each.
    """

    verdict: Verdict
    score: float | None
    raw_score: float | None
    reasons: tuple[str, ...] = ()


def why_last(step: PlannedStep, verdict: Verdict, raw_score: float | None) -> str:
    """Why a step ends its trial, a sentence; empty where the next one follows.

    A violation or an error ends it: whatever came after, the trial's score would not count. After a step that is
    inconclusive a violation may still be found.
    """
    if verdict in ("violation", "error"):
        return f"step {step.name}: {verdict}"
    if step.min_reward is not None and (raw_score is None or raw_score < step.min_reward):
        return f"step {step.name}: its score of {raw_score or 0:g} is below min_reward, {step.min_reward:g}"
    return ""


def combine_steps(planned: PlannedSteps, ends: Sequence[StepOutcome], passing_score: float) -> StepsResult:
    """What the steps of a trial come to.

    Args:
        planned: the task's.
        ends: of the steps that were reached, in order, at least one.
        passing_score: the least score that counts as solved.
    """
    reasons: tuple[str, ...] = ()
    last = ends[-1]
    if missing := [step.name for step in planned.steps[len(ends) :]]:
        why = why_last(planned.steps[len(ends) - 1], last.verdict, last.raw_score)
        reasons = (f"{why}; not reached, and counted as 0: {', '.join(missing)}",)
    raw = _together(planned, [end.raw_score for end in ends])
    if last.verdict in ("violation", "error"):
        return StepsResult(last.verdict, 0.0 if last.verdict == "violation" else None, raw, reasons)
    if any(end.verdict == "inconclusive" for end in ends):
        return StepsResult("inconclusive", None, raw, reasons)
    score = _together(planned, [end.score for end in ends])
    return StepsResult("pass" if score is not None and score >= passing_score else "fail", score, raw, reasons)


def _together(planned: PlannedSteps, scores: Sequence[float | None]) -> float | None:
    """The score of a trial; None where one of the steps that were reached has none."""
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return None
    if planned.strategy == "final":
        return known[-1] if len(known) == len(planned.steps) else 0.0
    return math.fsum(known) / len(planned.steps)
