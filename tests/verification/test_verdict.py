import itertools

import pytest

from affidavit.grading import Assessment, Finding
from affidavit.policy import Violation
from affidavit.verification import Verdict
from affidavit.verification.verdict import decide

BROKEN = Violation("files.deny", "high", "flag", "x wrote y", (3,), "agent", 1)
FORGED = Finding("grading.control", "forged", ())


def test_full_marks_pass_and_less_fails() -> None:
    assert decide("strict", [], Assessment(1.0), []).verdict is Verdict.PASS
    half = decide("strict", [], Assessment(0.5), [])
    assert (half.verdict, half.score) == (Verdict.FAIL, 0.5)


@pytest.mark.parametrize("assessment", [Assessment(1.0), Assessment(0.0), Assessment(None, "no reward"), None])
@pytest.mark.parametrize("incomplete", [[], ["lost 3 events"]])
def test_a_violation_stands_whatever_else_went_wrong(assessment: Assessment | None, incomplete: list[str]) -> None:
    judgement = decide("strict", [BROKEN], assessment, incomplete)
    assert (judgement.verdict, judgement.score) == (Verdict.VIOLATION, 0.0)
    assert judgement.raw_score == (assessment.score if assessment else None)


def test_a_finding_of_the_grading_is_a_violation() -> None:
    judgement = decide("strict", [], Assessment(1.0, findings=(FORGED,)), [])
    assert (judgement.verdict, judgement.violations[0].stage) == (Verdict.VIOLATION, "grader")


def test_a_hole_in_the_record_is_never_a_pass() -> None:
    for score, error in itertools.product([1.0, 0.0, None], [None, "bad"]):
        judgement = decide("strict", [], Assessment(score, error), ["the recorder died"])
        assert (judgement.verdict, judgement.score) == (Verdict.INCONCLUSIVE, None)


def test_a_reward_that_nobody_is_seen_to_write_is_inconclusive() -> None:
    assert decide("strict", [], Assessment(1.0, unproven="?"), []).verdict is Verdict.INCONCLUSIVE


def test_audit_mode_records_and_says_so() -> None:
    judgement = decide("audit", [BROKEN], Assessment(1.0), [])
    assert (judgement.verdict, judgement.violations) == (Verdict.PASS, (BROKEN,))
    assert "audit" in judgement.reasons[0]


def test_no_reward_is_the_tasks_fault() -> None:
    assert decide("strict", [], Assessment(None, "no reward"), []).verdict is Verdict.ERROR
    assert decide("strict", [], Assessment(1.0), [], fault="boom").verdict is Verdict.ERROR


def test_an_agent_that_could_not_go_on_has_not_failed() -> None:
    for score, verdict in ((0.0, Verdict.ERROR), (0.5, Verdict.ERROR), (1.0, Verdict.PASS)):
        assert decide("strict", [], Assessment(score), [], stranded="the model failed").verdict is verdict
    assert decide("strict", [BROKEN], Assessment(0.0), [], stranded="the model failed").verdict is Verdict.VIOLATION


def test_time_that_ran_out_while_the_model_failed_is_no_violation() -> None:
    late = Violation("limits.wall_ms", "medium", "flag", "still running", (), "agent", 1)
    judgement = decide("strict", [late], Assessment(1.0), [], stranded="the model failed")
    assert (judgement.verdict, judgement.score, judgement.reasons) == (
        Verdict.ERROR,
        None,
        ("the model failed", "still running"),
    )
    assert decide("strict", [late], Assessment(1.0), []).verdict is Verdict.VIOLATION
    assert decide("strict", [late, BROKEN], None, [], stranded="the model failed").verdict is Verdict.VIOLATION
