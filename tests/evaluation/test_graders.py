"""Trials with several graders, and grading their bundles again."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from affidavit.grading import KINDS, Evidence, Grade, Material
from affidavit.tasks import GraderSpec
from affidavit.verification import Verification, verify
from harness import EBPF, Trials

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

GRADERS = """passing_score = 0.7
[[affidavit.graders]]
kind = "test_run"
weight = 3
[[affidavit.graders]]
kind = "says"
name = "word"
word = "forty-two"
"""


@dataclass(frozen=True)
class Says:
    """Looks for a word in a file, as a grader of these tests; the file's content is asked for in every way there is."""

    word: str
    deterministic: bool = True

    def grade(self, material: Material) -> Grade:
        path = "/workspace/word"
        facts, names = material.work.files.stat(path), material.work.files.names("/workspace")
        assert material.reference is not None
        assert (material.reference / "test.sh").is_file()
        right = material.text(path) == self.word
        assert right <= (facts is not None and facts.type == "file" and "word" in names)
        return Grade(float(right), f"{facts}", evidence=Evidence(files=(path,), details={"names": list(names)}))


@pytest.fixture(autouse=True)
def kind(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("says_grader")

    def grader(spec: GraderSpec) -> Says:
        return Says(str(spec.settings["word"]))

    module.grader = grader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "says_grader", module)
    monkeypatch.setitem(KINDS, "says", "says_grader")


def grades(verification: Verification) -> str:
    return next(check.detail for check in verification.checks if check.name == "grades")


def test_two_graders(trials: Trials, task: Make) -> None:
    folder = task(graders=GRADERS)
    outcome = trials(EBPF, folder, "echo 42 >answer; printf forty-two >word")
    assert (outcome.verdict, outcome.score) == ("pass", 1.0)
    tests, word = outcome.json("grade.json")["graders"]
    assert [tests["name"], tests["score"], tests["evidence"]["stage"]] == ["test_run", 1.0, "grader"]
    assert [word["name"], word["score"], word["evidence"]["files"]] == ["word", 1.0, ["/workspace/word"]]
    assert tests["evidence"]["events"]

    plain = verify(outcome.bundle)
    assert plain.ok
    assert grades(plain) == "graded again: test_run; taken as signed, for want of the task (--task FOLDER): word"
    whole = verify(outcome.bundle, task=folder)
    assert whole.ok
    assert grades(whole) == "graded again: test_run, word"

    other = Path(shutil.copytree(folder, folder.with_name("other")))
    (other / "instruction.md").write_text("Write 43.\n")
    foreign = verify(outcome.bundle, task=other)
    assert not foreign.ok
    assert "is not the task of this bundle" in grades(foreign)


def test_part_of_the_score_is_enough_where_the_task_says_so(trials: Trials, task: Make) -> None:
    folder = task(graders=GRADERS)
    outcome = trials(EBPF, folder, "echo 42 >answer; ln -s /etc/hostname word")
    assert (outcome.verdict, outcome.score) == ("pass", 0.75)
    assert verify(outcome.bundle, task=folder).ok


def test_without_hidden_tests_there_is_no_second_sandbox(trials: Trials, task: Make) -> None:
    graders = '[[affidavit.graders]]\nkind = "says"\nword = "x"\n'
    folder = task(graders=graders)
    outcome = trials(EBPF, folder, "printf x >word")
    assert (outcome.verdict, outcome.score) == ("pass", 1.0)
    assert not (outcome.bundle / "grader").exists()
    assert verify(outcome.bundle, task=folder).ok


def test_a_grader_that_fails_is_the_machinerys_fault(
    trials: Trials, task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = task(graders=GRADERS)
    monkeypatch.setattr(Says, "grade", _stumble)
    outcome = trials(EBPF, folder, "echo 42 >answer")
    assert (outcome.verdict, outcome.score) == ("error", None)
    assert "grader word: the grader failed: ZeroDivisionError" in outcome.reasons
    assert outcome.json("grade.json")["graders"][0]["score"] == 1.0


def _stumble(self: Says, material: Material) -> Grade:
    return Grade(1 / 0)
