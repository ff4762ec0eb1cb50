"""Everything that a verdict rests on, and the verdict: the one path that a trial and ``verify`` share."""

from collections.abc import Mapping
from dataclasses import dataclass

from affidavit.contracts import Mode
from affidavit.evidence import GradeDocument
from affidavit.grading import Assurance, combine
from affidavit.recorder import RecordSummary
from affidavit.verification.agent_record import AgentFindings
from affidavit.verification.verdict import Judgement, decide, grading_failed, in_order, stage_gaps, stopped_at

AFTER_STEPS = (
    "this step's record is incomplete: what the agent left in a step before counts in it as there from the start, so "
    "that neither the contract nor the grading holds all of that against it"
)
"""Why a step after the first whose bundle does not say what its agent began with has no verdict but `violation`,
`inconclusive` or `error`."""


@dataclass(frozen=True)
class Case:
    """What a verdict rests on, but for the grades.

    Attributes:
        mode: the contract's: ``strict`` or ``audit``.
        findings: what the agent's record shows.
        summaries: how complete the record of each sandbox is, by its part of the bundle.
        passing: the least score that counts as solved.
        demanded: what must stand behind the score at least; None: nothing is demanded.
        task_limit_s: the task's time limit for the agent, seconds; None in bundles of version 0.1, which knew neither
            that limit nor attempts.
        fault: why the model's gateway is at fault; None where it is not.
        stranded: why the agent could not go on, which was not its doing; None where it could.
        after_unknown: steps came before, and the bundle does not say what its agent began with.
    """

    mode: Mode
    findings: AgentFindings
    summaries: Mapping[str, RecordSummary]
    passing: float
    demanded: Assurance | None
    task_limit_s: float | None
    fault: str | None
    stranded: str | None
    after_unknown: bool = False

    def gaps(self) -> list[str]:
        """Why the record is not complete, a sentence each."""
        stages = [gap for stage in in_order(self.summaries) for gap in stage_gaps(stage, self.summaries[stage])]
        return [*stages, *self.findings.gaps, *([AFTER_STEPS] if self.after_unknown else [])]

    def decide(self, grades: GradeDocument) -> Judgement:
        """The verdict.

        Args:
            grades: all of the grades, or what everybody may know of them, which gives the same verdict and score.
        """
        failed = [] if grades.failed is None else [grading_failed(grades.failed)]
        limit, findings = self.task_limit_s, self.findings
        return decide(
            self.mode,
            findings.violations,
            combine(grades.graders) if grades.failed is None else None,
            [*self.gaps(), *failed],
            fault=self.fault,
            passing=self.passing,
            demanded=self.demanded,
            attempts=None if limit is None else findings.attempts,
            stopped=stopped_at(limit) if limit is not None and findings.stopped else None,
            stranded=self.stranded,
        )
