"""SWE-bench's predictions as agents."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from affidavit.evaluation import Job, Predictions, RunError, RunOptions, run, run_suite
from harness import Command, write_task

PATCH = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1,2 @@\n-$(touch x) `y`\n+'\\n\"\n+END_OF_PATCH\n"


def row(instance: str = "tiny", patch: Any = PATCH, **keys: Any) -> dict[str, Any]:
    return {"instance_id": instance, "model_name_or_path": "acme/model-1", "model_patch": patch, **keys}


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(one) for one in rows) + "\n")
    return path


@pytest.mark.parametrize("end", ["\n", ""])
def test_the_agent_applies_its_tasks_patch_and_runs_nothing_of_it(tmp_path: Path, end: str) -> None:
    read = Predictions(written(tmp_path / "p.jsonl", row(patch=PATCH.rstrip("\n") + end), row("other", None)))
    agent = read.agent("tiny")
    assert (agent.name, agent.sees_solution) == ("acme__model-1", False)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("$(touch x) `y`\n")
    subprocess.run(["/bin/sh", "-c", agent.command], cwd=tree, check=True)
    assert [path.name for path in tree.iterdir()] == ["a"]
    assert (tree / "a").read_text() == "'\\n\"\nEND_OF_PATCH\n"
    assert {read.agent(name).command for name in ("other", "without")} == {":"}


def test_a_line_of_the_patch_does_not_end_it(tmp_path: Path) -> None:
    patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\nEND_OF_PATCH\ntouch hacked\n"
    agent = Predictions(written(tmp_path / "p.jsonl", row(patch=patch))).agent("tiny")
    tree = tmp_path / "tree"
    tree.mkdir()
    subprocess.run(["/bin/sh", "-c", agent.command], cwd=tree, capture_output=True)
    assert [*tree.iterdir()] == []


def test_each_task_gets_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tiny", "other"):
        write_task(tmp_path / "tasks" / name)
    jobs: list[Job] = []
    monkeypatch.setattr(run, "run_jobs", lambda given, *_: jobs.extend(given))
    read = Predictions(written(tmp_path / "p.jsonl", row("tiny")))
    run_suite(tmp_path / "tasks", read, RunOptions(), None)  # type: ignore[arg-type]
    assert {job.task.id: job.agent.command for job in jobs} == {"tiny": read.agent("tiny").command, "other": ":"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": has no prediction"),
        ("{}\n", ":1: must be an object with the texts instance_id"),
        ("\n[1", ":2: is not JSON"),
        (json.dumps(row(patch=7)), ":1: must be an object"),
        (json.dumps(row(model_name_or_path="../x\n")), ":1: model_name_or_path '../x\\n' can't be an agent's name"),
        (json.dumps(row()) + "\n" + json.dumps(row()), ":2: instance_id tiny has a prediction already"),
        (json.dumps(row()) + "\n" + json.dumps(row("b", model_name_or_path="z")), ":2: model_name_or_path is z here"),
        (json.dumps(row(patch="x" * 120_000)), ":1: model_patch is longer than 119,000 bytes"),
        (json.dumps(row(patch="a\0b")), ":1: model_patch holds a NUL"),
        ('{"instance_id": "a", "model_name_or_path": "m", "model_patch": "\\ud800"}', ":1: model_patch is not text"),
    ],
)
def test_a_file_that_is_not_as_it_should_be(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(RunError) as caught:
        Predictions(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_predictions_of_other_tasks_are_wrong_use(affidavit: Command, tmp_path: Path) -> None:
    ran = affidavit("run", write_task(tmp_path / "tiny"), "--predictions", written(tmp_path / "p.jsonl", row("z")))
    assert ran.status == 2
    assert "has no prediction for tiny or any other of these tasks" in ran.err
    ran = affidavit("run", tmp_path / "tiny", "--agent", "nop", "--predictions", tmp_path / "p.jsonl")
    assert (ran.status, "--predictions FILE (one of them)" in ran.err) == (2, True)
