"""Which graders a task asks for."""

from pathlib import Path

import pytest

from affidavit.tasks import DEFAULT_GRADERS, TaskError, load_task
from affidavit.tasks.graders import read_graders
from affidavit.tasks.toml import read_toml


def write(folder: Path, text: str, *, test: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "task.toml").write_text(text)
    (folder / "instruction.md").write_text("Do it.\n")
    (folder / "tests").mkdir(exist_ok=True)
    if test:
        (folder / "tests" / "test.sh").write_text("echo 1 >/logs/verifier/reward.txt\n")
    return folder


def graders(tmp_path: Path, text: str) -> tuple[object, ...]:
    path = tmp_path / "task.toml"
    path.write_text(text)
    return read_graders(read_toml(path).table("affidavit"))


def test_no_table_means_the_tests_and_their_reward(tmp_path: Path) -> None:
    task = load_task(write(tmp_path / "t", ""))
    assert task.scoring.graders == DEFAULT_GRADERS
    assert (task.scoring.graders[0].kind, task.scoring.graders[0].weight, task.scoring.graders[0].gate) == (
        "test_run",
        1.0,
        None,
    )
    assert task.scoring.passing_score == 1.0


def test_graders_with_their_settings(tmp_path: Path) -> None:
    text = """
[affidavit]
passing_score = 0.8
[[affidavit.graders]]
kind = "test_run"
weight = 3
gate = 0.5
[[affidavit.graders]]
kind = "value"
name = "total"
answer = "/workspace/answer.txt"
tolerance = { relative = 0.1 }
"""
    task = load_task(write(tmp_path / "t", text))
    first, second = task.scoring.graders
    assert (first.name, first.weight, first.gate, first.settings) == ("test_run", 3.0, 0.5, {})
    assert (second.name, second.kind, second.weight, second.gate) == ("total", "value", 1.0, None)
    assert second.settings == {"answer": "/workspace/answer.txt", "tolerance": {"relative": 0.1}}
    assert task.scoring.passing_score == 0.8
    assert task.warnings == ()


def test_only_a_test_run_needs_the_script(tmp_path: Path) -> None:
    text = '[[affidavit.graders]]\nkind = "value"\n'
    assert load_task(write(tmp_path / "a", text, test=False)).scoring.graders[0].kind == "value"
    with pytest.raises(TaskError, match=r"test\.sh: is missing"):
        load_task(write(tmp_path / "b", "", test=False))


HEAD = '[[affidavit.graders]]\nkind = "value"\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[affidavit]\ngraders = 3\n", 2, "must be an array of tables, [[affidavit.graders]], not 3"),
        ("[affidavit]\ngraders = [3]\n", 2, "must be an array of tables"),
        ("[[affidavit.graders]]\nname = 'x'\n", 1, ".kind is missing"),
        (HEAD + "kind2 = 1\n\n" + HEAD, 5, "'value' is the name of another grader"),
        (HEAD + "\n" + HEAD + "name = 'a b'\n", 6, "must be 1 to 64 letters"),
        (HEAD + "weight = -1\n", 3, "must be from 0"),
        (HEAD + "weight = true\n", 3, "must be a number"),
        (HEAD + "weight = nan\n", 3, "must be a number"),
        (HEAD + "weight = 0\n", 3, "decides nothing"),
        (HEAD + "gate = 0\n", 3, "must be above 0"),
        (HEAD + "gate = 1.5\n", 3, "must be above 0 and at most 1"),
        (HEAD + "weight = 0\ngate = 1\n", 1, "all have weight 0"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(TaskError) as caught:
        graders(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/task.toml:{line}: ")
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("value", ["0", "1.5", "true", '"1"'])
def test_passing_score(tmp_path: Path, value: str) -> None:
    with pytest.raises(TaskError, match="passing_score"):
        load_task(write(tmp_path / "t", f"[affidavit]\npassing_score = {value}\n"))
