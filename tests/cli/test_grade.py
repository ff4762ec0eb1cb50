"""Every kind of grader in one trial, graded again by ``verify``, and judged by people afterwards."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import EBPF, Command, Trials

pytestmark = pytest.mark.usefixtures("nothing_left")

_RUBRIC = 'rubric = {"0" = "no", "0.3" = "hardly", "0.5" = "half", "0.8" = "nearly", "1" = "yes"}'
GRADERS = f"""passing_score = 1.0
[[affidavit.graders]]
kind = "value"
checks = [{{ type = "number", answer = "/workspace/answer", expected = 42 }}]
[[affidavit.graders]]
kind = "state_diff"
gate = 1.0
checks = [
  {{ type = "file", path = "/workspace/answer", equals = "42", mode = "0644" }},
  {{ type = "change", only = ["/workspace/**"], max_lines = 20 }},
]
[[affidavit.graders]]
kind = "execution_trace"
checks = [
  {{ type = "written", path = "/workspace/answer", by = {{ exe = ["/usr/bin/python3*"], argv = ["solve.py"] }} }},
  {{ type = "claim", answer = "stdout", program = {{ exe = ["/usr/bin/python3*"], argv = ["s*"], exit_code = 0 }} }},
]
[[affidavit.graders]]
kind = "ast"
checks = [
  {{ type = "require", path = "/workspace/solve.py", feature = {{ call = "open" }} }},
  {{ type = "ban", language = "python", feature = {{ imports = "subprocess" }} }},
]
[[affidavit.graders]]
kind = "model"
dimension = "Is it clear?"
answers = ["/workspace/solve.py"]
judges = ["some-model"]
{_RUBRIC}
[[affidavit.graders]]
kind = "human"
dimension = "Is it clear?"
answers = ["/workspace/solve.py"]
{_RUBRIC}
"""
WORK = """printf 'import os\\nwith open("answer", "w") as file:\\n    file.write(str(6 * 7))\\n' >solve.py; umask 022
python3 solve.py; echo 1"""


def test_all_graders_in_one_trial(
    trials: Trials, task: Callable[..., Path], affidavit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AFFIDAVIT_MODEL_URL", raising=False)
    folder = task(graders=GRADERS)
    outcome = trials(EBPF, folder, WORK)
    graders = {grader["name"]: grader for grader in outcome.json("grade.json")["graders"]}
    deterministic = ("value", "state_diff", "execution_trace", "ast")
    assert {name: graders[name]["score"] for name in deterministic} == dict.fromkeys(deterministic, 1.0), graders
    assert (outcome.verdict, outcome.score) == ("pass", 1.0)
    assert "off" in graders["model"]["abstained"]
    assert graders["execution_trace"]["evidence"]["events"]

    verified = affidavit("verify", outcome.bundle, "--task", folder)
    assert verified.status == 0, verified.out
    assert "graded again: value, state_diff, execution_trace, ast" in verified.out

    queue = ("--queue", tmp_path / "queue")
    assert affidavit("grade", "human", "add", outcome.bundle.parent, *queue).out.startswith("1 added")
    assert affidavit("grade", "human", "add", outcome.bundle, *queue).out.startswith("0 added")
    (item,) = json.loads(affidavit("grade", "human", "list", "--json", *queue).out)
    shown = affidavit("grade", "human", "next", "--rater", "ann", *queue).out
    assert "file.write(str(6 * 7))" in shown
    assert not re.search(r"\bcmd\b|bundle", shown)
    assert affidavit("grade", "human", "score", item["id"], "0.5", "--rater", "ann", *queue).status == 0
    again = affidavit("grade", "human", "score", item["id"], "1", "--rater", "ann", *queue)
    assert (again.status, "--replace" in again.err) == (2, True)
    told = json.loads(affidavit("grade", "human", "result", outcome.bundle, "--json", *queue).out)
    assert (told["score"], told["signed_score"]) == (4.5 / 5, 1.0)
    assert "none" in affidavit("grade", "human", "agreement", *queue).out


def test_a_forged_answer_scores_less(trials: Trials, task: Callable[..., Path]) -> None:
    outcome = trials(EBPF, task(graders=GRADERS), "echo 42 >answer; echo 'import subprocess' >solve.py; echo 9")
    graders = {grader["name"]: grader["score"] for grader in outcome.json("grade.json")["graders"]}
    assert (graders["value"], graders["execution_trace"], graders["ast"]) == (1.0, 0.0, 0.0)
    assert outcome.verdict == "fail"
