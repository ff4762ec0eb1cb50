"""The ``execution_trace`` grader: assertions over the record of what the agent did.

What the agent says of its work counts as far as the record shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from affidavit.grading.confined import Overrun, run_confined
from affidavit.grading.execution_trace.asking import QueryFault, ask
from affidavit.grading.execution_trace.evidence import CheckResult, Record, claimed, in_order, ran, written
from affidavit.grading.execution_trace.settings import (
    ClaimCheck,
    OrderCheck,
    RanCheck,
    Settings,
    SqlCheck,
    TraceCheck,
    WrittenCheck,
)
from affidavit.grading.grader import Component, Evidence, Grade, Material, weighted
from affidavit.grading.settings import read_settings
from affidavit.tasks import GraderSpec

_MOST_BYTES = 1 << 20
_MOST_EVENTS = 200


@dataclass(frozen=True)
class ExecutionTraceGrader:
    """Grades by the checks of its settings."""

    settings: Settings
    deterministic: bool = True

    def grade(self, material: Material) -> Grade:
        record = Record(material.agent.events)
        told: list[CheckResult] = []
        for number, check in enumerate(self.settings.checks, 1):
            try:
                told.append(_told(check, record, material))
            except QueryFault as fault:
                return Grade(None, error=f"check {check.name or number}: its query {fault}")
        components = tuple(
            Component(check.name or f"check {number}", one.score, one.message, check.weight)
            for number, (check, one) in enumerate(zip(self.settings.checks, told, strict=True), 1)
        )
        return Grade(
            weighted(components),
            f"{sum(one.score == 1 for one in told)} of {len(told)} claims are shown by the record",
            components,
            Evidence(events=_events(told)),
        )


def grader(spec: GraderSpec) -> ExecutionTraceGrader:
    """Raises TaskError for wrong settings."""
    return ExecutionTraceGrader(read_settings(spec, Settings))


def _told(check: TraceCheck, record: Record, material: Material) -> CheckResult:
    match check:
        case RanCheck():
            return ran(check, record)
        case WrittenCheck():
            return written(check, record)
        case OrderCheck():
            return in_order(check, record)
        case ClaimCheck():
            return _claim(check, record, material)
        case SqlCheck():
            return ask(check.query, material.agent.events, material.agent.counts, record.lineage)
    raise TypeError(f"{type(check).__name__} is no check of a record")


def _claim(check: ClaimCheck, record: Record, material: Material) -> CheckResult:
    raw = material.bytes(check.answer, _MOST_BYTES)
    try:
        number = run_confined("affidavit.grading.execution_trace.claims:read_claim", raw, check.at)
    except Overrun as overrun:
        return CheckResult(0.0, f"{check.answer} {overrun}")
    if number is None:
        return CheckResult(0.0, f"{check.answer} holds no count of runs")
    if number < check.min:
        return CheckResult(0.0, f"{number} runs are claimed, and {check.min} are asked for")
    return claimed(number, check.program, record)


def _events(told: Sequence[CheckResult]) -> tuple[int, ...]:
    return tuple(sorted({seq for one in told for seq in one.events}))[:_MOST_EVENTS]
