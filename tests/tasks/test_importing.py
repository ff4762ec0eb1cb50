"""Taking over Harbor's tasks."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from affidavit.tasks import TaskError, import_harbor


def make_task(folder: Path, toml: str = 'version = "1.0"\n') -> Path:
    (folder / "tests").mkdir(parents=True)
    (folder / "task.toml").write_text(toml)
    (folder / "instruction.md").write_text("Do it.\n")
    (folder / "tests" / "test.sh").write_text("#!/bin/sh\n")
    (folder / "tests" / "test.sh").chmod(0o755)
    return folder


def repository(folder: Path) -> tuple[str, str]:
    """A repository with the task ``tasks/one``: its address and commit."""
    make_task(folder / "tasks" / "one")
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example"]
    for arguments in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "x")):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return f"file://{folder}", commit


def registry(path: Path, *tasks: dict[str, Any], name: str = "set", version: str = "1") -> Path:
    path.write_text(json.dumps([{"name": name, "version": version, "description": "", "tasks": list(tasks)}]))
    return path


def test_a_folder_with_tasks_at_any_depth(tmp_path: Path) -> None:
    make_task(tmp_path / "in" / "one")
    make_task(tmp_path / "in" / "group" / "two", "[environment]\nskills_dir = '/s'\n")
    make_task(tmp_path / "in" / "group" / "three", "[[steps]]\nname = 'x'\n")
    (tmp_path / "in" / "one" / "link").symlink_to("tests/test.sh")
    tasks = {task.name: task for task in import_harbor(tmp_path / "in", tmp_path / "out")}
    assert tasks.keys() == {"one", "two", "three"}
    assert not tasks["one"].problem
    assert tasks["two"].warnings == ("task.toml:2: [environment].skills_dir is ignored: no agent here reads skills",)
    assert "names a step whose folder" in tasks["three"].problem
    assert os.access(tmp_path / "out" / "one" / "tests" / "test.sh", os.X_OK)
    assert (tmp_path / "out" / "one" / "link").is_symlink()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one", "three", "two"]


def test_a_registry(tmp_path: Path) -> None:
    url, commit = repository(tmp_path / "repository")
    entry = {"name": "org/first", "git_url": url, "git_commit_id": commit, "path": "tasks/one"}
    path = registry(tmp_path / "registry.json", entry)
    (task,) = import_harbor(path, tmp_path / "out", "set@1")
    assert (task.name, task.problem) == ("first", "")
    assert (tmp_path / "out" / "first" / "instruction.md").read_text() == "Do it.\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "../up"}, r"first: its path must lie inside of the repository"),
        ({"path": "/etc"}, r"first: its path must lie inside of the repository"),
        ({"path": "gone"}, r"gone: git: .*did not match any files"),
        (
            {"name": "../x", "path": "a/.."},
            r"'\.\.' is not a valid name|is not a valid name for a task's folder|lie inside",
        ),
        ({"name": ".hidden"}, r"'\.hidden' is not a valid name for a task's folder"),
        ({"git_url": "ext::sh -c touch% /tmp/x"}, r"first: its git_url must begin with https://"),
        ({"git_url": "--upload-pack=x"}, r"first: its git_url must begin with https://"),
        ({"git_commit_id": "--output=/etc/x"}, r"first: '--output=/etc/x' is not a git commit"),
        ({"git_commit_id": "0" * 40}, r"git: "),
    ],
)
def test_a_registry_that_lies(tmp_path: Path, change: dict[str, str], message: str) -> None:
    url, commit = repository(tmp_path / "repository")
    entry = {"name": "first", "git_url": url, "git_commit_id": commit, "path": "tasks/one"}
    with pytest.raises(TaskError, match=message) as raised:
        import_harbor(registry(tmp_path / "registry.json", entry | change), tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "dataset", "message"),
    [
        ("{", None, "is not JSON"),
        ("[" * 100_000, None, "is not JSON"),
        ("3", None, "is not a registry"),
        ("[]", None, "say which data set with --dataset NAME@VERSION; it has: none"),
        ('[{"name": "a", "version": "1"}]', "b", "it has: a@1"),
        ('[{"name": "a", "version": "1", "tasks": []}]', "a", "must have from 1 to"),
        ('[{"name": "a", "version": "1", "tasks": [1]}]', "a@1", "a task must be an object"),
    ],
)
def test_what_is_no_registry(tmp_path: Path, text: str, dataset: str | None, message: str) -> None:
    (tmp_path / "registry.json").write_text(text)
    with pytest.raises(TaskError, match=message):
        import_harbor(tmp_path / "registry.json", tmp_path / "out", dataset)


@pytest.mark.parametrize("link", ["/etc/passwd", "../../../etc/passwd", "tests/../../x"])
def test_a_link_that_leads_out(tmp_path: Path, link: str) -> None:
    (make_task(tmp_path / "in" / "one") / "link").symlink_to(link)
    with pytest.raises(TaskError, match="one/link: is a link that leads out of the task"):
        import_harbor(tmp_path / "in", tmp_path / "out")
    assert not [*(tmp_path / "out").iterdir()]


def test_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(make_task(tmp_path / "one") / "pipe")
    with pytest.raises(TaskError, match="one/pipe: is a device, a pipe or a socket"):
        import_harbor(tmp_path / "one", tmp_path / "out")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    make_task(tmp_path / "one")
    import_harbor(tmp_path / "one", tmp_path / "out")
    (tmp_path / "out" / "one" / "mine").touch()
    with pytest.raises(TaskError, match="out/one: already exists"):
        import_harbor(tmp_path / "one", tmp_path / "out")
    assert (tmp_path / "out" / "one" / "mine").exists()


def test_two_of_one_name(tmp_path: Path) -> None:
    for group in ("a", "b"):
        make_task(tmp_path / "in" / group / "one")
    with pytest.raises(TaskError, match="one: two tasks have a folder of that name"):
        import_harbor(tmp_path / "in", tmp_path / "out")


def test_no_task(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="holds no task"):
        import_harbor(tmp_path, tmp_path / "out")
