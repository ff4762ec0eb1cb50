"""What agents changed as SWE-bench's predictions."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from affidavit.report import ReportError, make_predictions, read_runs
from harness import Command
from run_folders import MakeRun, trial

Text = str | None
ATTRIBUTES = "*.py -text -diff\n*.txt eol=crlf\n"


def change(path: str, before: Text, after: Text, **columns: Any) -> dict[str, Any]:
    digest = None if after is None else hashlib.sha256(after.encode()).hexdigest()
    kind = "added" if before is None else "deleted" if after is None else "modified"
    return {
        **{"path": path, "kind": kind, "type": "file", "mode": 0o644, "uid": 0, "gid": 0, "size": 1},
        **{"sha256": digest, "target": None},
        **columns,
    }


def changed(files: dict[str, tuple[Text, Text]], *more: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """A trial whose agent changed these files in /testbed."""
    rows = [change(f"/testbed/{name}", before, after) for name, (before, after) in files.items()]
    texts = [{"path": f"/testbed/{name}", "before": old, "after": new} for name, (old, new) in files.items()]
    return trial(**keys, changes=[*rows, *more], texts={"files": texts, "left_out": 0})


@pytest.fixture
def run_of(make_run: MakeRun) -> MakeRun:
    def make(*trials: dict[str, Any]) -> Path:
        run = make_run(trials)
        for path in run.rglob("task.json"):
            path.write_text(json.dumps({"id": "tiny", "workdir": "/testbed"}))
        return run

    return make


def rows(run: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in make_predictions(read_runs([run])).text.splitlines()]


def test_a_patch_makes_of_the_old_files_the_new_ones(run_of: MakeRun, tmp_path: Path) -> None:
    files: dict[str, tuple[Text, Text]] = {
        "src/a.py": ("one\ntwo\nthree\n", "one\n2\nthree"),
        "gone.py": ("x = 1\n", None),
        "new name\t.py": (None, "é\r\n"),
        "empty": (None, ""),
        ".gitattributes": (None, ATTRIBUTES),
        "plain.txt": ("a\r\nb\n", "a\nb\n"),
    }
    run = run_of(changed(files, change("/testbed/link", None, None, kind="added", type="symlink", target="src/a.py")))
    [row] = rows(run)
    assert (row["instance_id"], row["model_name_or_path"]) == ("tiny", "oracle")
    tree = tmp_path / "tree"
    for name, (before, _) in files.items():
        if before is not None:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(before.encode())
    subprocess.run(["git", "apply", "-"], cwd=tree, input=row["model_patch"].encode(), check=True)
    assert (tree / "link").readlink() == Path("src/a.py")
    (tree / "link").unlink()
    found = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert found == {name: after.encode() for name, (_, after) in files.items() if after is not None}


def test_only_what_belongs_to_the_project_is_in_a_patch(run_of: MakeRun) -> None:
    names = (".git/hooks/pre-commit", "a/__pycache__/b.pyc", ".pytest_cache/README.md")
    others: dict[str, tuple[Text, Text]] = dict.fromkeys(names, (None, "x\n"))
    outside = change("/tmp/x", None, "x\n")
    owner = change("/testbed/b.py", "b", "b", kind="metadata")
    [row] = rows(run_of(changed({"a.py": ("1\n", "2\n"), **others}, outside, owner)))
    assert [line for line in row["model_patch"].splitlines() if line.startswith("diff")] == ["diff --git a/a.py b/a.py"]


def test_an_agent_that_changed_nothing_has_an_empty_patch(run_of: MakeRun) -> None:
    assert rows(run_of(trial())) == [{"instance_id": "tiny", "model_name_or_path": "oracle", "model_patch": ""}]


@pytest.mark.parametrize("verdict", ["violation", "inconclusive", "error"])
def test_a_verdict_without_a_score_gives_no_prediction(run_of: MakeRun, verdict: str) -> None:
    run = run_of(changed({"a.py": ("1\n", "2\n")}, verdict=verdict), trial("other"))
    made = make_predictions(read_runs([run]))
    assert made.missing == (f"tiny: no prediction: the verdict is {verdict}",)
    assert [row["instance_id"] for row in rows(run)] == ["other"]


def test_a_file_without_text_is_named(run_of: MakeRun) -> None:
    run = run_of(
        changed({"a.py": ("1\n", "2\n")}, change("/testbed/new.bin", None, "x")),
        changed({}, change("/testbed/large.py", "x", "y"), task_id="large"),
        # The bundle has a text, and not the one that diff.json names.
        changed({"b.py": ("1\n", "2\n")}, task_id="other") | {"changes": [change("/testbed/b.py", "1\n", "3\n")]},
    )
    made = make_predictions(read_runs([run]))
    assert made.lacking == ("tiny: the patch lacks the new file /testbed/new.bin: the bundle has no text of it",)
    assert [text.split(" before")[0] for text in made.missing] == [
        "large: no prediction: the bundle has no text of /testbed/large.py",
        "other: no prediction: the bundle has no text of /testbed/b.py",
    ]
    assert [row["instance_id"] for row in rows(run)] == ["tiny"]


def test_a_hostile_diff_gives_no_prediction(run_of: MakeRun) -> None:
    run = run_of(changed({}, change("/testbed/x", None, "x") | {"path": 7}))
    assert make_predictions(read_runs([run])).missing == (
        "tiny: no prediction: diff.json: holds something that is not a change",
    )


def test_an_instance_has_one_prediction(run_of: MakeRun) -> None:
    assert len(rows(run_of(trial("once"), trial("once", 1)))) == 1


def test_two_agents_on_a_task_are_refused(make_run: MakeRun) -> None:
    runs = [make_run([trial(agent=name)], name, name) for name in ("a", "b")]
    with pytest.raises(ReportError, match="tiny was run twice, and an instance has one prediction"):
        make_predictions(read_runs(runs))


def test_the_command_writes_them(affidavit: Command, run_of: MakeRun, tmp_path: Path) -> None:
    run = run_of(changed({"a.py": ("1\n", "2\n")}), trial("bad", verdict="violation"))
    ran = affidavit("report", run, "--predictions", tmp_path / "out.jsonl")
    assert (ran.status, ran.err) == (1, "affidavit: bad: no prediction: the verdict is violation\n")
    [row] = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert "\n-1\n+2\n" in row["model_patch"]
