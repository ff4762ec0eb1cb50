"""From the record, the diff and the grade to the verdict: one pure function, the same in a run and in ``verify``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from affidavit.grading import ASSURANCES, Assessment, Assurance
from affidavit.policy import Attempt, Violation
from affidavit.recorder import RecordSummary


class Verdict(StrEnum):
    """The five verdicts of a trial."""

    PASS = "pass"
    FAIL = "fail"
    VIOLATION = "violation"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on; the same function makes it in a run and in ``verify``.

    Attributes:
        verdict: one of the five.
        score: the score that counts: the grader's for pass and fail, 0 for a violation, else None.
        raw_score: the grader's, whatever the record says; None where there is none.
        reasons: sentences on why, for everything but a plain pass.
        violations: the broken rules, gravest first.
        assurance: what stands behind the raw score, see `affidavit.grading.Assurance`; None where there is no score.
        attempts: what the agent tried and came to nothing; None in bundles from before attempts were told apart.
    """

    verdict: Verdict
    score: float | None
    raw_score: float | None
    reasons: tuple[str, ...]
    violations: tuple[Violation, ...]
    assurance: Assurance | None = None
    attempts: tuple[Attempt, ...] | None = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Judgement":
        """What `to_json` wrote, in a bundle that was verified."""
        violations = [Violation(**{**one, "events": tuple(one["events"])}) for one in value["violations"]]
        attempts = value.get("attempts")
        if attempts is not None:
            attempts = tuple(Attempt(**{**one, "events": tuple(one["events"])}) for one in attempts)
        return cls(
            Verdict(value["verdict"]),
            value["score"],
            value["raw_score"],
            tuple(value["reasons"]),
            tuple(violations),
            value.get("assurance"),
            attempts,
        )

    def to_json(self) -> dict[str, Any]:
        """The content of ``verdict.json``."""
        stated = {} if self.assurance is None else {"assurance": self.assurance}
        return {
            "verdict": str(self.verdict),
            "score": self.score,
            "raw_score": self.raw_score,
            **stated,
            "reasons": list(self.reasons),
            "violations": [violation_json(v) for v in self.violations],
            **({} if self.attempts is None else {"attempts": [attempt_json(a) for a in self.attempts]}),
        }


def violation_json(violation: Violation) -> dict[str, Any]:
    """A violation as ``--json`` prints it."""
    return {
        "rule": violation.rule,
        "severity": violation.severity,
        "action": violation.action,
        "message": violation.message,
        "events": list(violation.events),
        "count": violation.count,
        "stage": violation.stage,
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """An attempt, as it stands in ``verdict.json``."""
    return {
        "rule": attempt.rule,
        "outcome": attempt.outcome,
        "message": attempt.message,
        "events": list(attempt.events),
        "count": attempt.count,
        "stage": attempt.stage,
    }


_OUT_OF_TIME = "limits.wall_ms"
SERVICE = "service-"
"""What the stages of a task's services begin with."""

_GRADING = re.compile(r"(?P<which>grader|control)(?:-(?P<number>[1-9][0-9]?))?")
_GRAVITY = {"critical": 0, "high": 1, "medium": 2, "low": 3}


def decide(
    mode: str,
    violations: Sequence[Violation],
    assessment: Assessment | None,
    incomplete: Sequence[str],
    fault: str | None = None,
    passing: float = 1.0,
    demanded: Assurance | None = None,
    attempts: Sequence[Attempt] | None = (),
    stopped: str | None = None,
    stranded: str | None = None,
) -> Judgement:
    """The verdict of a trial.

    A proven violation stands even where the record has a hole, so that an agent can't wash one away by breaking the
    record. Without one, a hole means that nobody can know: inconclusive.

    Args:
        mode: the contract's: ``strict`` or ``audit``.
        violations: of the agent's record, of the diff.
        assessment: the grading; None where it did not take place.
        incomplete: why the record is not complete, a sentence each.
        fault: why the machinery or the task is at fault; None where it is not.
        passing: the least score that counts as solved.
        demanded: what must stand behind the score at least; None: nobody demands it.
        attempts: of the agent's record and of the diff, which change no verdict; None: they were not told apart.
        stranded: why the agent could not go on, which was not its doing; None where it could. Then neither a 0 nor
            that its time ran out speaks against it.
        stopped: that the agent was stopped at the task's time limit, a sentence; None where it was not.
    """
    grading = assessment or Assessment(None)
    found = [
        *violations,
        *(
            Violation(
                rule=finding.rule,
                severity="critical",
                action="flag",
                message=finding.message,
                events=finding.events,
                stage=finding.stage,
                count=max(1, len(finding.events)),
            )
            for finding in grading.findings
        ),
    ]
    found.sort(key=lambda v: _GRAVITY[v.severity])
    ordered = tuple(found)
    raw = grading.score
    unproven = [*incomplete, *([grading.unproven] if grading.unproven else [])]
    judgement = partial(
        Judgement,
        raw_score=raw,
        violations=ordered,
        assurance=grading.assurance,
        attempts=None if attempts is None else tuple(attempts),
    )
    remarks = [] if stopped is None else [stopped]
    if stranded and not fault and found and all(violation.rule == _OUT_OF_TIME for violation in found):
        return judgement(Verdict.ERROR, None, reasons=(stranded, *(violation.message for violation in found)))
    if found and mode == "strict":
        return judgement(Verdict.VIOLATION, 0.0, reasons=(*unproven, *([fault] if fault else []), *remarks))
    if fault:
        return judgement(Verdict.ERROR, None, reasons=(fault,))
    if unproven:
        return judgement(Verdict.INCONCLUSIVE, None, reasons=(*unproven, *remarks))
    if grading.error or raw is None:
        return judgement(Verdict.ERROR, None, reasons=(grading.error or "the grading did not take place", *remarks))
    if demanded is not None and (grading.assurance is None or _weaker(grading.assurance, demanded)):
        why = f"the assurance {demanded} is demanded, and behind this score is {grading.assurance or 'none'}"
        return judgement(Verdict.ERROR, None, reasons=(why, *grading.notes, *remarks))
    audit = (f"mode audit: {len(found)} violations recorded, none counted",) if found else ()
    kept_out = [attempt.message for attempt in attempts or () if attempt.outcome == "set_aside"]
    if kept_out:
        more = f", and {len(kept_out) - 1} more like it, see attempts" if len(kept_out) > 1 else ""
        remarks.append(f"{kept_out[0]}{more}")
    reasons = (*audit, *grading.notes, *remarks)
    if raw >= passing:
        return judgement(Verdict.PASS, raw, reasons=reasons)
    if stranded:
        return judgement(Verdict.ERROR, None, reasons=(stranded, *reasons))
    return judgement(Verdict.FAIL, raw, reasons=reasons)


def _weaker(one: Assurance, other: Assurance) -> bool:
    return ASSURANCES.index(one) < ASSURANCES.index(other)


def stopped_at(task_limit_s: float) -> str:
    """What a verdict says of an agent that the task's time limit stopped.

    Args:
        task_limit_s: seconds.
    """
    return f"the agent was stopped at the task's time limit of {task_limit_s:g} s and graded as it stood"


def stage_gaps(stage: str, summary: RecordSummary) -> list[str]:
    """Why a stage's record is not complete, a sentence each."""
    if summary.complete:
        return []
    reasons = summary.reasons or (f"{summary.lost} events lost",)
    return [f"the {stage}'s record is incomplete: {reason}" for reason in reasons]


def grading_failed(why: str) -> str:
    """What a verdict says where the agent was condemned and the grading broke off."""
    return f"the grading failed, and its part of the bundle is missing: {why}"


def in_order(stages: Iterable[str]) -> list[str]:
    """Those of the names that are stages of a trial, in the order that they are judged in: the agent's, the
    services', then round by round ``grader``, ``control``, ``grader-2``, ``control-2`` …"""
    grading = [match for match in map(_GRADING.fullmatch, stages) if match]
    grading.sort(key=lambda match: (int(match["number"] or 1), match["which"] != "grader"))
    services = sorted(name for name in stages if name.startswith(SERVICE))
    return [*(name for name in stages if name == "agent"), *services, *(match[0] for match in grading)]
