"""What the controls of several rounds say of a result, and what the reference adds."""

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from affidavit.grading import Grade, ReferenceRequest, Rerun, VerifierRecord, grade_run, next_step
from material import rows

PASSED = {"exit": 0, "items": 1, "passed": 1, "others": [], "errors": [], "changed": []}
FAILED = {**PASSED, "exit": 1, "passed": 0}
EXIT = {"code": 0, "signal": None, "timed_out": False, "oom": False, "duration_ms": 9}
NOTHING: dict[str, Any] = {"reward": None, "report": None, "tests": None, "error": None, "forged": 0, "exit": EXIT}
REWARDED: tuple[dict[str, Any], ...] = (
    {"op": "open_read", "path": "/workspace/a.py", "pid": 7, "exe": "/usr/bin/python3.11"},
    {"op": "create", "path": "/logs/verifier/reward.txt", "pid": 8, "exe": "/usr/bin/bash"},
)
BROUGHT = ("/workspace/a.py",)


def reward(value: float | None) -> dict[str, Any]:
    if value is None:
        return {**NOTHING, "error": "no reward"}
    return {**NOTHING, "reward": {"file": "reward.txt", "raw": base64.b64encode(f"{value}".encode()).decode()}}


def told(passed: str, of: str = "ab") -> dict[str, Any]:
    lines = [
        {
            "test": name,
            "status": int(name not in passed),
            "signal": None,
            "timed_out": False,
            "odd": None,
            "reports": [PASSED if name in passed else FAILED],
        }
        for name in of
    ]
    return {**NOTHING, "tests": lines}


def held(right: Any, wrong: Any, *, of: str = "solution", names: str = "") -> dict[str, Any]:
    return {"of": of, "error": None, "names": list(names), "right": right, "wrong": wrong}


def a_round(given: Any, control: Any, references: Sequence[Any] = (), turned: str = "") -> dict[str, Any]:
    return {**given, "control": {**control, "turned": list(turned), "edits": 1, "references": list(references)}}


def facts(*rounds: dict[str, Any], framework: str = "reward", wanted: int = 4) -> dict[str, Any]:
    plan = {"framework": framework, "credit": "each", "expected": ["a", "b"] if framework == "pytest" else []}
    return {**plan, "rounds": wanted, "rounds_for": "loaded", **rounds[0], "again": list(rounds[1:])}


def graded(given: dict[str, Any]) -> tuple[Grade, ReferenceRequest | Rerun | None]:
    events = rows(*REWARDED) if given["framework"] == "reward" else rows(REWARDED[0])
    record = VerifierRecord.read(given)
    return grade_run(record, events, BROUGHT), next_step(record, events, BROUGHT)


@pytest.mark.parametrize(
    "honest",
    [
        facts(a_round(reward(1), reward(0)), wanted=1),
        facts(a_round(told("ab"), told(""), turned="ab"), framework="pytest", wanted=1),
    ],
    ids=["reward", "pytest"],
)
def test_where_services_remember_no_control_stands_behind_a_score(honest: dict[str, Any]) -> None:
    assert graded(honest)[0].assurance == "control"
    assert graded({**honest, "services": True})[0].assurance == "outcome"


class TestRewards:
    def test_a_reward_must_come_each_time(self) -> None:
        honest = a_round(reward(1), reward(0))
        for done in (1, 2, 3):
            assert graded(facts(*[honest] * done))[1] == Rerun(done + 1)
        grade, step = graded(facts(*[honest] * 4))
        assert (grade.score, grade.findings, step) == (1.0, (), None)

    def test_the_least_counts(self) -> None:
        grade, step = graded(facts(a_round(reward(1), reward(0)), a_round(reward(0), reward(0))))
        assert (grade.score, grade.message, grade.findings) == (0.0, "tests/test.sh gave 1, then 0", ())
        assert step is None

    def test_a_control_of_any_round_is_held_against_all(self) -> None:
        grade, step = graded(facts(a_round(reward(0.8), reward(0)), a_round(reward(0.5), reward(0.6))))
        assert ([finding.rule for finding in grade.findings], step) == (["grading.control"], ReferenceRequest(2))
        assert graded(facts(a_round(reward(0.8), reward(0.6)), a_round(reward(0.5), reward(0))))[1] == ReferenceRequest(
            1
        )

    def test_a_round_without_a_reward_is_an_error(self) -> None:
        grade, step = graded(facts(a_round(reward(1), reward(0)), a_round(reward(None), reward(0))))
        assert (grade.score, grade.error, step) == (None, "no reward", None)

    def test_no_further_round_where_no_code_of_the_agents_was_loaded(self) -> None:
        given = facts(a_round(reward(1), reward(0)))
        events = rows(REWARDED[1])

        def step(**change: Any) -> ReferenceRequest | Rerun | None:
            return next_step(VerifierRecord.read({**given, **change}), events, BROUGHT)

        assert step() is None
        assert step(rounds_for="any") == Rerun(2)
        assert step(control=None) is None

    def test_the_solution_confirms(self) -> None:
        accused = a_round(reward(1), reward(1), [held(reward(1), reward(0))])
        grade, step = graded(facts(accused))
        assert grade.findings[0].message.endswith("(the task's own solution fails there)")
        assert step is None

    def test_the_solution_excuses_nobody_who_had_another_control(self) -> None:
        untold = a_round(reward(1), reward(1), [held(reward(1), reward(1))])
        grade, step = graded(facts(untold))
        assert "passes with wrong tests as well as with right ones" in str(grade.error)
        assert (grade.findings, step) == ((), Rerun(2))
        # Another one tells: that is enough, and a cheat who passes it is one.
        assert graded(facts(untold, a_round(reward(1), reward(0))))[0].error is None
        cheat = a_round(reward(1), reward(1), [held(reward(1), reward(0))])
        assert [finding.rule for finding in graded(facts(untold, cheat))[0].findings] == ["grading.control"]
        # None does: no more than three or four are tried.
        assert graded(facts(*[untold] * 4))[1] is None
        assert str(graded(facts(*[untold] * 4))[0].error).startswith("the task's own solution passes")

    def test_a_solution_that_passes_nothing_excuses_nothing(self) -> None:
        grade, _ = graded(facts(a_round(reward(1), reward(1), [held(reward(0), reward(1))])))
        assert grade.findings[0].message.endswith("does not pass the right tests either, so that it says nothing)")
        failed = {**held(None, None), "error": "no more room"}
        grade, step = graded(facts(a_round(reward(1), reward(1), [failed])))
        assert "could not be seen: no more room" in grade.findings[0].message
        assert step is None

    @pytest.mark.parametrize(("paid", "blamed"), [(0.3, False), (0.6, True)])
    def test_what_tests_without_assertions_pay(self, paid: float, blamed: bool) -> None:
        grade, _ = graded(facts(a_round(reward(paid), reward(paid), [held(reward(1), reward(0.3))])))
        assert (bool(grade.findings), grade.score, grade.error) == (blamed, paid, None)
        assert ("no control vouches for it" in grade.message) is not blamed


class TestTests:
    def test_a_test_must_pass_each_time(self) -> None:
        given = facts(
            a_round(told("ab"), told(""), turned="ab"),
            a_round(told("b"), told(""), turned="ab"),
            framework="pytest",
            wanted=2,
        )
        grade, step = graded(given)
        assert (grade.score, grade.message, step) == (0.5, "1 of 2 tests passed, 2 times", None)
        assert grade.components[0].message == "failed (in round 2; it passed before)"

    def test_tests_that_pass_by_turns_count_for_nothing(self) -> None:
        rounds = [a_round(told(passed, "abcd"), told("", "abcd"), turned="abcd") for passed in ("abc", "ad")]
        given = {**facts(*rounds, framework="pytest", wanted=2), "expected": list("abcd")}
        grade, _ = graded(given)
        assert (grade.score, grade.findings) == (0.0, ())
        assert grade.message.endswith("more of them, b, c, d, passed only once in a while: none counts")

    def test_passing_wrong_tests_of_any_round(self) -> None:
        honest = a_round(told("ab"), told(""), turned="ab")
        cheat = a_round(told("ab"), told("b"), turned="ab")
        grade, step = graded(facts(honest, cheat, framework="pytest"))
        assert grade.findings[0].message.startswith("b passed even when made so")
        assert step == ReferenceRequest(2, ("b",))

    def test_what_the_solution_passes_wrong_is_without_control(self) -> None:
        same = held(told("b", "b"), told("b", "b"), names="b")
        one = a_round(told("ab"), told("b"), [same], turned="ab")
        grade, step = graded(facts(one, framework="pytest", wanted=1))
        assert (grade.score, grade.findings, grade.error) == (1.0, (), None)
        assert grade.evidence.details["without_control"] == ["b"]
        # Another control may tell.
        assert step == Rerun(2)
        other = a_round(told("ab"), told(""), turned="ab")
        grade, step = graded(facts(one, other, framework="pytest", wanted=1))
        assert (grade.evidence.details["without_control"], step) == ([], None)

    def test_a_few_tests_are_asked_for_and_then_the_rest(self) -> None:
        many = "abcdef"
        accused = a_round(told(many, many), told(many, many), turned=many)
        given = {**facts(accused, framework="pytest"), "expected": list(many)}
        assert graded(given)[1] == ReferenceRequest(1, ("a", "b", "c"))
        accused["control"]["references"] = [held(told("abc", "abc"), told("abc", "abc"), names="abc")]
        given = {**facts(accused, framework="pytest"), "expected": list(many)}
        assert graded(given)[1] == ReferenceRequest(1, ("d", "e", "f"))
        accused["control"]["references"].append(held(told("def", "def"), told("de", "def"), names="def"))
        grade, step = graded({**given, **accused})
        assert (step, [finding.message.partition(" ")[0] for finding in grade.findings]) == (None, ["f"])

    def test_no_test_means_anything(self) -> None:
        same = held(told("ab"), told("ab"), names="ab")
        one = a_round(told("ab"), told("ab"), [same], turned="ab")
        grade, step = graded(facts(*[one] * 3, framework="pytest", wanted=1))
        assert (grade.findings, step) == ((), None)
        assert str(grade.error).startswith("the task's own solution passes with wrong tests")
