"""One score from many graders: weights, gates, and what is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.grading.grader import Assurance, Component, Evidence, Finding, Grade, weakest
from affidavit.tasks import MOST_WEIGHT


@dataclass(frozen=True)
class Graded:
    """A grade and how much it counts.

    Attributes:
        name, kind: the grader's.
        weight: 0 or more.
        gate: a lower score makes the whole score 0; None: it is no gate.
        deterministic: the grader is.
        grade: what it said.
    """

    name: str
    kind: str
    weight: float
    gate: float | None
    deterministic: bool
    grade: Grade

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``grade.json``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "weight": self.weight,
            "gate": self.gate,
            "deterministic": self.deterministic,
            **self.grade.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Graded":
        """What `to_json` gave.

        Raises:
            ValueError: it is none.
        """
        match value:
            case {
                "name": str(name),
                "kind": str(kind),
                "weight": int() | float() as weight,
                "gate": int() | float() | None as gate,
                "deterministic": bool(deterministic),
                "score": int() | float() | None as score,
                "message": str(message),
                "error": str() | None as error,
                "abstained": str() | None as abstained,
                "unproven": str() | None as unproven,
                "findings": list(findings),
                "components": list(components),
                "evidence": dict(evidence),
            } if (
                0 <= weight <= MOST_WEIGHT
                and (gate is None or 0 < gate <= 1)
                and not any(isinstance(x, bool) for x in (weight, gate, score))
            ):
                grade = Grade(
                    score,
                    message,
                    tuple(_component(component) for component in components),
                    _evidence(evidence),
                    error=error,
                    abstained=abstained,
                    unproven=unproven,
                    findings=tuple(_finding(finding) for finding in findings),
                    assurance=_assurance(value),
                    note=_note(value),
                )
                return cls(name, kind, weight, gate, deterministic, grade)
        raise ValueError("grade.json: holds something that is no grader's result")


def _assurance(value: Mapping[str, Any]) -> Assurance | None:
    match value.get("assurance"):
        case None | "outcome" | "control" | "separate" as assurance:
            return assurance
    raise ValueError("grade.json: holds something that is no assurance")


def _note(value: Mapping[str, Any]) -> str | None:
    match value.get("note"):
        case None | str() as note:
            return note
    raise ValueError("grade.json: holds something that is no note")


def _component(value: Any) -> Component:
    match value:
        case {
            "name": str(name),
            "score": int() | float() as score,
            "message": str(message),
            "weight": int() | float() as weight,
        } if not any(isinstance(number, bool) for number in (score, weight)):
            return Component(name, score, message, weight)
    raise ValueError("grade.json: holds something that is no component")


def _evidence(value: Mapping[str, Any]) -> Evidence:
    match value:
        case {
            "events": list(events),
            "files": list(files),
            "stage": str(stage),
            "details": dict(details),
        } if all(type(seq) is int for seq in events) and all(isinstance(path, str) for path in files):
            return Evidence(tuple(events), tuple(files), stage, details)
    raise ValueError("grade.json: holds something that is no evidence of a grade")


def _finding(value: Any) -> Finding:
    match value:
        case {"rule": str(rule), "message": str(message), "events": list(events), "stage": "agent" | "grader" as stage}:
            return Finding(rule, message, tuple(events), stage)
    raise ValueError("grade.json: holds something that is no finding")


@dataclass(frozen=True)
class Assessment:
    """What all graders together came to.

    Attributes:
        score: from 0 to 1, None where there is none.
        error: why there is none, or why it can't count through no fault of the agent's.
        unproven: why the record does not show what the score rests on.
        findings: what speaks against the agent.
        notes: what graders add to their score, which were left out and which gate closed, a sentence each.
        assurance: what stands behind the score: the weakest of what stands behind the graders that decide it; None
            where there is no score.
    """

    score: float | None
    error: str | None = None
    unproven: str | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    assurance: Assurance | None = None


def combine(graded: Sequence[Graded]) -> Assessment:
    """The mean of the scores by their weights, or 0 where a gate is closed.

    A grader that abstains counts for nothing, and a gate of its own stays open; a deterministic grader that does so, or
    that is in error, leaves no score.
    """
    alone = len(graded) == 1
    errors = [
        grade.grade.error if alone else f"grader {grade.name}: {grade.grade.error}"
        for grade in graded
        if grade.grade.error
    ]
    errors += [
        f"grader {grade.name} has no score: {grade.grade.abstained}"
        for grade in graded
        if grade.grade.abstained and grade.deterministic
    ]
    findings = tuple(finding for grade in graded for finding in grade.grade.findings)
    unproven = "; ".join(grade.grade.unproven for grade in graded if grade.grade.unproven) or None
    scored = [(grade, grade.grade.score) for grade in graded if grade.grade.score is not None]
    notes = [f"grader {grade.name} was left out: {grade.grade.abstained}" for grade in graded if grade.grade.abstained]
    if any(grade.grade.score is None and not grade.grade.abstained for grade in graded):
        return Assessment(None, "; ".join(errors), unproven, findings, tuple(notes))
    closed = [
        f"grader {grade.name} gave {score:g}, and below {grade.gate:g} the whole score is 0"
        for grade, score in scored
        if grade.gate is not None and score < grade.gate
    ]
    notes += [grade.grade.note for grade in graded if grade.grade.note]
    total = sum(grade.weight for grade, _ in scored)
    if closed:
        score: float | None = 0.0
    elif total:
        score = min(1.0, sum(score * grade.weight for grade, score in scored) / total)
    else:
        score, errors = None, [*errors, "every grader with a weight was left out"]
    deciding = [grade.grade.assurance for grade, _ in scored if grade.weight or grade.gate is not None]
    stated = [assurance for assurance in deciding if assurance is not None]
    # Bundles of version 0.1 state none.
    assurance = weakest(stated) if score is not None and len(stated) == len(deciding) else None
    return Assessment(score, "; ".join(errors) or None, unproven, findings, (*notes, *closed), assurance)
