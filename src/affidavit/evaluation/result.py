"""Results of trials and runs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from affidavit.alerts import Undelivered
from affidavit.evidence import ContractFacts, TermsFacts
from affidavit.grading import weakest
from affidavit.verification import Judgement, Verdict

_EXIT_STATUS = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.VIOLATION: 3,
    Verdict.INCONCLUSIVE: 4,
    Verdict.ERROR: 4,
}


@dataclass(frozen=True)
class RecordFacts:
    """How a trial was recorded.

    Attributes:
        runtime, recorder: their names; ``-`` where the trial never came so far.
        events, lost: of the agent's record.
        complete: the record is complete.
        gaps: what the recorder can't see, a sentence each.
    """

    runtime: str = "-"
    recorder: str = "-"
    events: int = 0
    lost: int = 0
    complete: bool = False
    gaps: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As ``affidavit run --json`` prints it."""
        return {**asdict(self), "gaps": list(self.gaps)}


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes:
        record: how it was recorded.
        contract: what it was judged by.
        duration_ms: wall time of all of it.
        bundle: the folder of evidence; None where the trial never came so far.
        mode: ``strict``, or ``audit``: violations were recorded and did not count.
        began: when, by the ledger; empty where that is not known.
        steps: those that were reached, in order; empty where the task has none. `record` is of all of them, and
            `bundle` the last one's, which names those before.
        step: the name of the step that this is; empty where it is a whole trial.
    """

    task_id: str
    trial: int
    agent: str
    judgement: Judgement
    record: RecordFacts
    contract: ContractFacts
    duration_ms: int
    bundle: Path | None
    mode: str = "strict"
    began: str = ""
    steps: "tuple[TrialResult, ...]" = ()
    step: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``affidavit run --json`` prints it."""
        in_steps = {"steps": [{"step": one.step, **one.to_json()} for one in self.steps]} if self.steps else {}
        return {
            "task_id": self.task_id,
            "trial": self.trial,
            "agent": self.agent,
            "assurance": None,
            **self.judgement.to_json(),
            "evidence": self.record.to_json(),
            "contract": self.contract.model_dump(mode="json", exclude_unset=True),
            "mode": self.mode,
            "began": self.began,
            "duration_ms": self.duration_ms,
            "bundle": None if self.bundle is None else str(self.bundle),
            **in_steps,
        }


def joined(trial: TrialResult, steps: Sequence[TrialResult]) -> TrialResult:
    """A trial with its steps.

    Args:
        trial: what it came to, without what its steps found.
        steps: those that were reached, in order.
    """
    own, records = trial.judgement, [step.record for step in steps]
    reasons, violations, attempts = [], [], []
    for step in steps:
        said, found = f"step {step.step}: ", step.judgement
        reasons += [f"{said}{reason}" for reason in found.reasons]
        violations += [replace(one, message=f"{said}{one.message}") for one in found.violations]
        attempts += [replace(one, message=f"{said}{one.message}") for one in found.attempts or ()]
    judgement = replace(
        own,
        reasons=(*reasons, *own.reasons),
        violations=tuple(violations),
        attempts=tuple(attempts),
        assurance=weakest(step.judgement.assurance for step in steps if step.judgement.assurance is not None),
    )
    record = replace(
        trial.record,
        events=sum(one.events for one in records),
        lost=sum(one.lost for one in records),
        complete=bool(records) and all(one.complete for one in records),
        gaps=tuple(dict.fromkeys(gap for one in records for gap in one.gaps)),
    )
    duration, bundle = sum(step.duration_ms for step in steps), steps[-1].bundle if steps else None
    return replace(trial, judgement=judgement, record=record, duration_ms=duration, bundle=bundle, steps=tuple(steps))


@dataclass(frozen=True)
class RunResult:
    """A run of many trials, in the order of tasks and trial numbers.

    Attributes:
        terms: profile and suite, where there are any, with their settings.
        keep_until: the day until which the evidence is to be kept; None: nobody says.
        undelivered: the destinations that did not get all alerts.
    """

    run_id: str
    trials: tuple[TrialResult, ...]
    folder: Path
    notes: tuple[str, ...] = ()
    terms: TermsFacts = field(default_factory=TermsFacts)
    keep_until: str | None = None
    undelivered: tuple[Undelivered, ...] = ()

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
        """As ``affidavit run --json`` prints it."""
        return {
            "run_id": self.run_id,
            "summary": self.summary,
            "notes": list(self.notes),
            "terms": self.terms.to_json(),
            "keep_until": self.keep_until,
            "alerts": {"undelivered": [asdict(one) for one in self.undelivered]},
            "trials": [trial.to_json() for trial in self.trials],
        }
