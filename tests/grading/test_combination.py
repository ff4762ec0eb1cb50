"""Weights, gates, and graders without an opinion."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.grading import Assessment, Component, Finding, Grade, Graded, combine, weighted


def graded(score: float | None, weight: float = 1.0, gate: float | None = None, **about: object) -> Graded:
    deterministic = bool(about.pop("deterministic", True))
    name = str(about.pop("name", "g"))
    return Graded(name, "value", weight, gate, deterministic, Grade(score, **about))  # type: ignore[arg-type]


def test_the_mean_by_weights() -> None:
    assert combine([graded(1.0, 3), graded(0.0, 1)]) == Assessment(0.75)
    assert combine([graded(0.3)]) == Assessment(0.3)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=8))
def test_full_marks_are_exactly_one(weights: list[float]) -> None:
    assert combine([graded(1.0, weight) for weight in weights]).score == 1.0
    assert weighted([Component(str(w), 1.0, "", w) for w in weights]) == 1.0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1e6)), min_size=1, max_size=8))
def test_a_score_lies_between_its_parts(parts: list[tuple[float, float]]) -> None:
    score = combine([graded(*part) for part in parts]).score
    assert score is not None
    assert min(s for s, _ in parts) - 1e-9 <= score <= max(s for s, _ in parts) + 1e-9
    assert 0 <= score <= 1


def test_a_closed_gate_takes_everything() -> None:
    assert combine([graded(1.0, 9), graded(0.4, 1, gate=0.5, name="tests")]).score == 0.0
    assert combine([graded(1.0), graded(0.5, gate=0.5)]).score == 0.75
    note = combine([graded(1.0), graded(0.4, 0, gate=0.5, name="tests")]).notes
    assert note == ("grader tests gave 0.4, and below 0.5 the whole score is 0",)


def test_a_gate_without_weight() -> None:
    assert combine([graded(0.6), graded(1.0, 0, gate=1.0)]).score == 0.6


def test_a_model_that_is_off_is_left_out() -> None:
    off = graded(None, 5, abstained="no model is set", deterministic=False, name="style")
    assessment = combine([graded(0.5), off])
    assert (assessment.score, assessment.error) == (0.5, None)
    assert assessment.notes == ("grader style was left out: no model is set",)


def test_nothing_is_left_when_all_weights_are_out() -> None:
    off = graded(None, abstained="no model is set", deterministic=False)
    assert combine([graded(1.0, 0, gate=0.5), off]).error == "every grader with a weight was left out"


def test_a_deterministic_grader_has_no_right_to_abstain() -> None:
    assessment = combine([graded(1.0), graded(None, abstained="don't know", name="total")])
    assert assessment.error == "grader total has no score: don't know"


def test_an_error_leaves_no_score() -> None:
    assessment = combine([graded(1.0), graded(None, error="no reward", name="tests")])
    assert (assessment.score, assessment.error) == (None, "grader tests: no reward")
    assert combine([graded(None, error="no reward")]).error == "no reward"


def test_findings_and_doubts_are_gathered() -> None:
    finding = Finding("grading.control", "it cheats", (3,))
    assessment = combine([graded(1.0, findings=(finding,)), graded(1.0, unproven="who knows")])
    assert (assessment.findings, assessment.unproven) == ((finding,), "who knows")


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_score_is_from_0_to_1(score: float) -> None:
    with pytest.raises(ValueError, match="not from 0 to 1"):
        Grade(score)
    with pytest.raises(ValueError, match="not from 0 to 1"):
        Grade(1.0, components=(Component("a", score, ""),))


def test_a_grade_without_a_score_says_why() -> None:
    with pytest.raises(ValueError, match="says why"):
        Grade(None)


def test_json_and_back() -> None:
    finding = Finding("grading.control", "it cheats", (3,))
    one = graded(0.5, 2, 0.25, message="half", findings=(finding,), unproven="?")
    assert Graded.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(
    "change",
    [
        {"score": True},
        {"score": 2},
        {"weight": -1},
        {"weight": 10**400},
        {"weight": float("inf")},
        {"score": 10**400},
        {"score": float("nan")},
        {"gate": float("nan")},
        {"gate": 10**400},
        {"weight": "1"},
        {"findings": [3]},
        {"gate": False},
        {"name": None},
    ],
)
def test_json_that_is_no_grade(change: dict[str, object]) -> None:
    value = json.loads(json.dumps(graded(0.5).to_json()))
    with pytest.raises(ValueError, match=r"grade\.json|not from 0 to 1"):
        Graded.from_json({**value, **change})
