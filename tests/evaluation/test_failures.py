"""What fails after something was found: the finding stands, other trials go on, and each has its entry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.evaluation import Agent, Job, RunOptions, grading_run, run_jobs, trial
from affidavit.evaluation.active_sandboxes import Interrupted
from affidavit.evidence import BundleReader, canonical_json, keys_dir, load_key
from affidavit.evidence.statement import IN_TOTO, Statement, read_statement
from affidavit.signing import read_envelope, sign
from affidavit.tasks import load_task
from affidavit.verification import verify
from harness import EBPF, Silent, Trials

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]
CHEAT = "cat /tests/x; echo 42 >answer"


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    "error", [RecursionError("too deep"), MemoryError(), ValueError("line\nbreak"), OSError(5, "gone")], ids=repr
)
def test_a_violation_outlives_the_grading(
    trials: Trials, task: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(grading_run, "grade_all", failing(error))
    outcome = trials(EBPF, task(), CHEAT)
    assert (outcome.verdict, outcome.score, outcome.rules) == ("violation", 0.0, {"files.deny"})
    assert "the grading failed, and its part of the bundle is missing" in outcome.reasons
    # The harness has verified the bundle; it says what is missing.
    assert outcome.json("grade.json")["graders"] == []
    assert outcome.json("grade.json")["failed"]


def test_a_violation_outlives_its_bundle(trials: Trials, task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "take_over", failing(RuntimeError("no layer")))
    outcome = trials(EBPF, task(), CHEAT)
    assert (outcome.verdict, outcome.rules, outcome.trial.bundle) == ("violation", {"files.deny"}, None)
    assert outcome.reasons == "no layer"


def test_without_a_violation_a_failure_is_an_error(trials: Trials, task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading_run, "grade_all", failing(RuntimeError("out of order")))
    outcome = trials(EBPF, task())
    assert (outcome.verdict, outcome.score, outcome.reasons) == ("error", None, "out of order")
    assert outcome.trial.bundle is None


def test_no_failure_touches_another_trial(
    at_home: None, task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = grading_run.grade_all

    def sometimes(graders: Any, material: Any) -> Any:
        if b"fail" in material.agent.stdout:
            raise RecursionError("maximum recursion depth exceeded")
        return real(graders, material)

    monkeypatch.setattr(grading_run, "grade_all", sometimes)
    agents = [Agent.shell(command, name) for name, command in (("a", "echo fail"), ("b", "echo 42 >answer"))]
    folder = load_task(task())
    result = run_jobs([Job(folder, agent) for agent in agents], RunOptions(out=tmp_path / "out"), Silent())
    assert [str(one.judgement.verdict) for one in result.trials] == ["error", "pass"]
    document = json.loads((result.folder / "run.json").read_text())
    assert [one["verdict"] for one in document["trials"]] == ["error", "pass"]


def test_an_interrupt_is_none_of_these(trials: Trials, task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading_run, "grade_all", failing(Interrupted()))
    with pytest.raises((Interrupted, KeyboardInterrupt, SystemExit)):
        trials(EBPF, task(), CHEAT)


def test_nobody_can_say_that_the_grading_failed(trials: Trials, task: Make) -> None:
    """A signer can't turn a score that is not wanted into a missing one."""
    outcome = trials(EBPF, task(), "echo 41 >answer")
    bundle = outcome.bundle
    grade = {**outcome.json("grades.json"), "score": None, "graders": [], "failed": "by chance"}
    verdict = {**outcome.json("verdict.json"), "verdict": "inconclusive", "score": None, "raw_score": None}
    verdict.pop("assurance")
    for name, content in (("grades.json", grade), ("verdict.json", verdict)):
        (bundle / name).write_bytes(canonical_json(content))
    name = "statement.dsse.json"
    statement = read_statement(read_envelope((bundle / name).read_bytes()).payload)
    facts = statement.facts.model_copy(
        update={"verdict": "inconclusive", "score": None, "raw_score": None, "assurance": None}
    )
    with BundleReader(bundle) as reader:
        files = {one: reader.digest(one) for one in reader.names()}
    (bundle / name).write_bytes(sign(Statement(files, facts).payload(), IN_TOTO, load_key(keys_dir())))
    wrong = {check.name: check.detail for check in verify(bundle).checks if not check.ok}
    assert "only a violation survives" in wrong["verdict"], wrong
