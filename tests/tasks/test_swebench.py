"""Taking over SWE-bench's instances: the sources, and a history that ends at the base commit."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from affidavit.quality.reach import reachable_parts
from affidavit.redteam import brief
from affidavit.tasks import TaskError, import_swebench, load_task

EXAMPLE = Path(__file__).parents[2] / "examples/integrations/swebench"
ID = "acme__slugs-7"


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    """The example's repository with all that a history can hide: packs, a tag, a stash-like ref, a reflog, a remote."""
    folder = tmp_path / "repositories/acme/slugs"
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    with (EXAMPLE / "slugs.fast-export").open("rb") as stream:
        subprocess.run(["git", "-C", str(folder), "fast-import", "--quiet"], stdin=stream, check=True)
    git(folder, "reset", "-q", "--hard", "main")
    git(folder, "remote", "add", "origin", "https://example.org/acme/slugs.git")
    git(folder, "update-ref", "refs/stash", "main")
    git(folder, "update-ref", "refs/remotes/origin/main", "main")
    git(folder, "repack", "-q", "-a", "-d")
    return tmp_path / "repositories"


def instance(**changes: Any) -> dict[str, Any]:
    folder = EXAMPLE / "tasks" / ID
    about = dict(line.split(": ", 1) for line in (folder / "task.yaml").read_text().splitlines())
    return {
        "instance_id": ID,
        "repo": "acme/slugs",
        "base_commit": about["base_commit"],
        "patch": (folder / "gold.patch").read_text(),
        "test_patch": (folder / "test.patch").read_text(),
        "problem_statement": (folder / "problem_statement.md").read_text(),
        **json.loads((folder / "tests.json").read_text()),
        **changes,
    }


def as_jsonl(path: Path, row: dict[str, Any]) -> Path:
    # As data sets on the web have them: lists as the text of a list.
    texts = {key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()}
    path.with_suffix(".jsonl").write_text(json.dumps(texts) + "\n\n")
    return path.with_suffix(".jsonl")


def as_parquet(path: Path, row: dict[str, Any]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def as_json(path: Path, row: dict[str, Any]) -> Path:
    path.with_suffix(".json").write_text(json.dumps([row]))
    return path.with_suffix(".json")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("write", [as_jsonl, as_json, as_parquet])
def test_every_source_gives_the_same_task(
    tmp_path: Path, repositories: Path, write: Callable[[Path, dict[str, Any]], Path]
) -> None:
    (first,) = import_swebench(EXAMPLE, tmp_path / "first", repositories)
    (second,) = import_swebench(write(tmp_path / "rows", instance()), tmp_path / "second", repositories)
    assert (first, second.problem) == (second, "")
    assert contents(tmp_path / "first" / ID) == contents(tmp_path / "second" / ID)


def test_the_history_ends_at_the_base_commit(tmp_path: Path, repositories: Path) -> None:
    import_swebench(EXAMPLE, tmp_path / "out", repositories)
    testbed = tmp_path / "out" / ID / "environment/root/testbed"
    base = instance()["base_commit"]
    assert git(testbed, "for-each-ref", "--format=%(refname) %(objectname)") == f"refs/heads/main {base}"
    assert git(testbed, "log", "--all", "--format=%s").splitlines() == ["Test slugs", "Make slugs of titles"]
    assert git(testbed, "status", "--porcelain") == ""
    assert (git(testbed, "remote"), git(testbed, "reflog")) == ("", "")
    there = set(git(testbed, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split())
    assert there == {line.split()[0] for line in git(testbed, "rev-list", "--objects", base).splitlines()}
    git(testbed, "fsck", "--strict")
    assert not [path for path in testbed.rglob("*") if b"_SEPARATORS" in (path.read_bytes() if path.is_file() else b"")]


def test_reach_finds_a_fix_that_a_history_still_holds(tmp_path: Path, repositories: Path) -> None:
    import_swebench(EXAMPLE, tmp_path / "out", repositories)
    folder = tmp_path / "out" / ID
    root = folder / "environment/root"
    task = load_task(folder)
    assert reachable_parts(task, [root], brief(task)) == ()
    # As a plain clone would be: the branch is back at the base, the objects are there.
    git(root / "testbed", "fetch", "-q", str(repositories / "acme/slugs"), "main")
    found = {(one.hidden, one.whole) for one in reachable_parts(task, [root], brief(task))}
    assert {("solution/solve.sh", False), ("tests/tests/test_slugs.py", True)} <= found


def test_only_the_tests_that_count_are_expected(tmp_path: Path, repositories: Path) -> None:
    import_swebench(EXAMPLE, tmp_path / "out", repositories)
    task = load_task(tmp_path / "out" / ID)
    assert task.scoring.graders[0].settings["expected"] == [*instance()["FAIL_TO_PASS"], *instance()["PASS_TO_PASS"]]
    assert sorted(path.name for path in (task.tests.folder / "tests").iterdir()) == ["test_edges.py", "test_slugs.py"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_commit": "main"}, "'main' is not a commit's full name"),
        ({"base_commit": "0" * 40}, "git: "),
        ({"patch": "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"}, "its patch does not apply"),
        ({"test_patch": "nonsense\n"}, "its test_patch does not apply"),
        ({"FAIL_TO_PASS": ["test_a (module.Case)"]}, "is not the name of a pytest test"),
        ({"FAIL_TO_PASS": ["../x.py::test_a"]}, "is not the name of a pytest test"),
        ({"FAIL_TO_PASS": ["tests/test_gone.py::test_a"]}, "test_gone.py is there neither in"),
        ({"FAIL_TO_PASS": [], "PASS_TO_PASS": []}, "names no test that must pass"),
        ({"repo": "acme/other"}, "has no repository acme/other"),
    ],
)
def test_an_instance_that_cannot_be_taken_over(
    tmp_path: Path, repositories: Path, changes: dict[str, Any], message: str
) -> None:
    (task,) = import_swebench(as_jsonl(tmp_path / "rows", instance(**changes)), tmp_path / "out", repositories)
    assert message in task.problem
    assert "\n" not in task.problem
    assert not [*(tmp_path / "out").iterdir()]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instance_id": "../x"}, r"rows.jsonl:1: instance_id '\.\./x' can't be"),
        ({"repo": "--upload-pack=x/y"}, r"rows.jsonl:1: repo must be OWNER/NAME"),
        ({"patch": 3}, r"rows.jsonl:1: patch must be a text"),
        ({"FAIL_TO_PASS": "x"}, r"rows.jsonl:1: FAIL_TO_PASS: is not JSON"),
    ],
)
def test_a_row_that_is_wrong(tmp_path: Path, repositories: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        import_swebench(as_jsonl(tmp_path / "rows", instance(**changes)), tmp_path / "out", repositories)
    assert not (tmp_path / "out").exists()


def test_a_patch_that_ends_its_own_quotation(tmp_path: Path, repositories: Path) -> None:
    added = (
        "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\nEND_OF_PATCH\ntouch y\n"
    )
    import_swebench(as_jsonl(tmp_path / "rows", instance(patch=added)), tmp_path / "out", repositories)
    testbed = tmp_path / "out" / ID / "environment/root/testbed"
    script = (tmp_path / "out" / ID / "solution/solve.sh").read_text().replace("cd /testbed", f"cd {testbed}")
    subprocess.run(["bash", "-c", script], check=True)
    assert ((testbed / "x").exists(), (testbed / "y").exists()) == (True, False)


def test_instances_by_name(tmp_path: Path, repositories: Path) -> None:
    with pytest.raises(TaskError, match="has no instance acme__slugs-8"):
        import_swebench(EXAMPLE, tmp_path / "out", repositories, ids=["acme__slugs-8"])
    assert [task.name for task in import_swebench(EXAMPLE, tmp_path / "out", repositories, ids=[ID])] == [ID]
    with pytest.raises(TaskError, match="already exists"):
        import_swebench(EXAMPLE, tmp_path / "out", repositories)
