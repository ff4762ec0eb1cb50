"""What a trial and a run came to."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from affidavit.grading import Assurance
from affidavit.policy import Attempt, Violation


class Verdict(StrEnum):
    """The five verdicts (DESIGN.md, One trial)."""

    PASS = "pass"
    FAIL = "fail"
    VIOLATION = "violation"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


_EXIT_STATUS = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.VIOLATION: 3,
    Verdict.INCONCLUSIVE: 4,
    Verdict.ERROR: 4,
}


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
    """A violation as in DESIGN.md, Command line."""
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


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes:
        evidence: runtime, recorder, events, lost, complete, gaps.
        contract: id, version, digest, signed_by.
        duration_ms: wall time of all of it.
        bundle: the folder of evidence; None where the trial never came so far.
        mode: ``strict``, or ``audit``: violations were recorded and did not count.
    """

    task_id: str
    trial: int
    agent: str
    judgement: Judgement
    evidence: dict[str, Any]
    contract: dict[str, Any]
    duration_ms: int
    bundle: Path | None
    mode: str = "strict"

    def to_json(self) -> dict[str, Any]:
        """As in DESIGN.md, Command line."""
        return {
            "task_id": self.task_id,
            "trial": self.trial,
            "agent": self.agent,
            "assurance": None,
            **self.judgement.to_json(),
            "evidence": self.evidence,
            "contract": self.contract,
            "mode": self.mode,
            "duration_ms": self.duration_ms,
            "bundle": None if self.bundle is None else str(self.bundle),
        }


@dataclass(frozen=True)
class RunResult:
    """A run of many trials, in the order of tasks and trial numbers.

    Attributes:
        terms: profile and suite, where there are any, with their settings.
        keep_until: the day until which the evidence is to be kept; None: nobody says.
        undelivered: for each destination that did not get all alerts: destination, count, why.
    """

    run_id: str
    trials: tuple[TrialResult, ...]
    folder: Path
    notes: tuple[str, ...] = ()
    terms: dict[str, Any] = field(default_factory=dict)
    keep_until: str | None = None
    undelivered: tuple[dict[str, Any], ...] = ()

    @property
    def summary(self) -> dict[str, int]:
        """How many trials came to each verdict."""
        counts = {str(verdict): 0 for verdict in Verdict}
        for trial in self.trials:
            counts[trial.judgement.verdict] += 1
        return counts

    @property
    def exit_status(self) -> int:
        """The exit status of ``affidavit run``."""
        return max((_EXIT_STATUS[trial.judgement.verdict] for trial in self.trials), default=0)

    def to_json(self) -> dict[str, Any]:
        """As in DESIGN.md, Command line."""
        return {
            "run_id": self.run_id,
            "summary": self.summary,
            "notes": list(self.notes),
            "terms": self.terms,
            "keep_until": self.keep_until,
            "alerts": {"undelivered": list(self.undelivered)},
            "trials": [trial.to_json() for trial in self.trials],
        }
