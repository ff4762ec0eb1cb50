"""What a verdict means for Inspect's scores."""

from collections.abc import Mapping
from typing import Any, cast

from inspect_ai.log import ProvenanceData, transcript
from inspect_ai.scorer import INCORRECT, Score, ScoreEdit
from inspect_ai.scorer._metric import Value

from affidavit.client import Bundle, Judgement
from affidavit.integrations.verdict_facts import verdict_facts

KEY = "affidavit"
"""Where scores have the verdict in their metadata."""


def enter_verdict(scores: Mapping[str, Score], judgement: Judgement, bundle: Bundle) -> None:
    """Put a verdict into the scores of a sample. After a violation they are 0 or incorrect; where nobody can know, they
    are left out of metrics; else they stand.

    Args:
        scores: the objects that Inspect goes on with; they are changed.
        judgement: Affidavit's.
        bundle: with the evidence.
    """
    facts = verdict_facts(judgement, bundle)
    transcript().info(facts, source=KEY)
    for score in scores.values():
        entered = {**(score.metadata or {}), KEY: {**facts, "scored": score.value}}
        if judgement.verdict in ("pass", "fail"):
            score.metadata = entered
        elif judgement.verdict == "violation":
            _edit(score, _nothing(score.value), "affidavit: violation", entered)
        else:
            _edit(score, _unknown(score.value), f"affidavit: {judgement.verdict}", entered)


def withdraw(scores: Mapping[str, Score], why: str) -> None:
    """Leave scores that have no evidence out of metrics.

    Args:
        scores: likewise.
        why: one line.
    """
    for score in scores.values():
        entered = {**(score.metadata or {}), KEY: {"verdict": "error", "reasons": [why], "scored": score.value}}
        _edit(score, _unknown(score.value), "affidavit: no evidence", entered)


def _edit(score: Score, value: Value, reason: str, metadata: dict[str, Any]) -> None:
    """Change a score as Inspect's own `edit_score` does: what it was stays in its history."""
    if not score.history:
        original = ScoreEdit(
            value=score.value,
            answer=score.answer,
            explanation=score.explanation,
            reason=score.reason,
            metadata=score.metadata or {},
        )
        score.history.append(original)
    provenance = ProvenanceData(author=KEY, reason=reason)
    score.history.append(ScoreEdit(value=value, reason=reason, metadata=metadata, provenance=provenance))
    score.value, score.reason, score.metadata = value, reason, metadata


def _nothing(value: Value) -> Value:
    """The value of the same kind that credits nothing."""
    match value:
        case str():
            return INCORRECT
        case bool():
            return False
        case int() | float():
            return 0
        case Mapping():
            return cast(Value, {name: _nothing(one) for name, one in value.items() if one is not None})
    return cast(Value, [_nothing(one) for one in value])


def _unknown(value: Value) -> Value:
    """What metrics leave out, in the same form."""
    match value:
        case Mapping():
            return dict.fromkeys(value, float("nan"))
        case str() | bool() | int() | float():
            return float("nan")
    return [float("nan")] * len(value)
