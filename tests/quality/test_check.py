"""What shows when a task is run: which part is broken, and what to fix."""

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.quality import CHECKS, new_task, reachable_parts
from affidavit.redteam import brief
from affidavit.tasks import load_task
from harness import SOLVE, TEST, Command, write_task

# From 0 to 1, of 65,536 values.
DICE = "$(printf '0.%05d' $(( 0x$(od -An -N2 -tx1 /dev/urandom | tr -d ' ') )))"
KEY = '{"capital": "Canberra", "river": "Murray", "mountain": "Kosciuszko"}\n'


@pytest.fixture
def checked(affidavit: Command, task: Callable[..., Path]) -> Callable[..., dict[str, Any]]:
    """The one report on a tiny task that is made so."""

    def check(repeat: int = 1, **content: object) -> dict[str, Any]:
        folder = task(**content)
        ran = affidavit("task", "check", folder, "--repeat", repeat, "--workers", 2, "--runtime", "runc", "--json")
        (report,) = ran.json["tasks"]
        assert ran.status == (0 if report["ok"] else 1)
        wrong = {check["check"] for check in report["checks"] if not check["ok"]}
        assert wrong == {finding["check"] for finding in report["findings"]}
        return report

    return check


def seen(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(finding["check"], finding["part"]) for finding in report["findings"]}


def test_the_template_passes_its_own_check(affidavit: Command, tmp_path: Path, nothing_left: None) -> None:
    folder = new_task(tmp_path / "fresh")
    ran = affidavit("task", "check", folder, "--repeat", 2, "--workers", 2, "--runtime", "runc")
    assert ran.status == 0, ran.out
    assert ran.out.count("  ok    ") == len(CHECKS)
    assert ran.out.endswith("1 of 1 tasks are as they should be\n")


def test_a_wrong_solution_is_the_tasks_fault(checked: Callable[..., dict[str, Any]]) -> None:
    assert seen(checked(solve="echo 41 >answer\n")) == {("solution", "task")}


def test_a_solution_that_passes_below_full_marks(affidavit: Command, task: Callable[..., Path]) -> None:
    folder = task(test="r=0; [ -e answer ] && r=0.5\necho $r >/logs/verifier/reward.txt\n")
    with (folder / "task.toml").open("a") as file:
        file.write("passing_score = 0.4\n")
    ran = affidavit("task", "check", folder, "--repeat", 1, "--runtime", "runc", "--json")
    (report,) = ran.json["tasks"]
    assert seen(report) == {("solution", "grader")}
    assert report["findings"][0]["message"] == "the grader tests gives the solution 0.5"


def test_a_solution_that_the_contract_forbids_is_the_contracts_fault(checked: Callable[..., dict[str, Any]]) -> None:
    contract = {"files": {"write": ["/workspace/other"]}}
    report = checked(solve="echo 42 >answer\nexit 0\n", contract=contract)
    assert seen(report) == {("solution", "contract")}
    assert "files.write" in report["findings"][0]["message"]


def test_tests_without_a_reward_are_the_graders_fault(checked: Callable[..., dict[str, Any]]) -> None:
    report = checked(test='[ "$(cat answer)" = 42 ] && echo 1 >/logs/verifier/reward.txt\n')
    assert seen(report) == {("idle", "grader")}
    assert "doing nothing gets no score" in report["findings"][0]["message"]


def test_tests_that_pay_for_nothing_are_the_graders_fault(checked: Callable[..., dict[str, Any]]) -> None:
    report = checked(test="echo 1 >/logs/verifier/reward.txt\n", files={"tests/a.sh": "# /workspace/answer.txt\n"})
    assert seen(report) == {("idle", "grader")}
    assert {finding["message"].partition(" scores")[0] for finding in report["findings"]} == {
        "doing nothing",
        "the unchanged start, rewritten,",
        "the start with a blank line more",
        "an empty answer",
        "the answer {}",
        "random text",
    }


def test_checks_that_held_before_any_work_are_the_graders_fault(checked: Callable[..., dict[str, Any]]) -> None:
    graders = """
[[affidavit.graders]]
kind = "state_diff"
checks = [{ type = "file", path = "/workspace/a.py", contains = ["def f"] }]
"""
    report = checked(
        graders=graders, files={"environment/root/workspace/a.py": "def f(): pass\n"}, solve="echo '# done' >>a.py\n"
    )
    assert seen(report) == {("idle", "grader")}
    assert [finding["message"] for finding in report["findings"]] == ["the start with a blank line more scores 1"]


def test_tests_that_throw_dice_are_the_graders_fault(checked: Callable[..., dict[str, Any]]) -> None:
    report = checked(2, test=f"r=0; [ -e answer ] && r={DICE}\necho $r >/logs/verifier/reward.txt\n")
    assert seen(report) == {("solution", "task"), ("repeat", "grader")}


def test_a_solution_that_throws_dice_is_the_tasks_fault(checked: Callable[..., dict[str, Any]]) -> None:
    test = "r=0; [ -e answer ] && r=$(cat answer)\necho $r >/logs/verifier/reward.txt\n"
    assert seen(checked(2, test=test, solve=f"echo {DICE} >answer\n")) == {("solution", "task"), ("repeat", "task")}


def test_wrong_use(affidavit: Command) -> None:
    ran = affidavit("task", "check", "nowhere")
    assert (ran.status, len(ran.err.splitlines())) == (2, 1)


def reached(folder: Path, instruction: str = "Answer.") -> set[tuple[str, str, bool]]:
    """What can be reached in a task's start state, taken for the root file system."""
    (folder / "instruction.md").write_text(instruction)
    task = load_task(folder)
    assert task.environment.overlay
    return {
        (one.hidden, one.place, one.whole) for one in reachable_parts(task, [task.environment.overlay], brief(task))
    }


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """A task with a key, and an empty start state."""
    folder = write_task(
        tmp_path / "task", files={"tests/key.json": KEY, "environment/root/workspace/readme": "hello\n"}
    )
    assert reached(folder) == set()
    return folder


def test_a_copy_of_the_key_is_found(leaky: Path) -> None:
    (leaky / "environment/root/workspace/.cache").write_text(KEY)
    assert reached(leaky) == {("tests/key.json", "/workspace/.cache", True)}


def test_the_keys_lines_are_found(leaky: Path) -> None:
    (leaky / "environment/root/workspace/notes").write_text(f"one\n  {KEY}two\n")
    assert reached(leaky) == {("tests/key.json", "/workspace/notes", False)}


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("expected.txt", "requests 42\nclients 7\nbusiest 09\n"),
        (".old", "\ufeffrequests 42  \r\n\r\n  clients 7\r\nbusiest 09"),
        ("notes", "The report:\n\n    requests 42\n    clients 7\n    busiest 09\n\nSo much for that.\n"),
    ],
    ids=["copy", "rewritten", "quoted"],
)
def test_short_expected_lines_are_found(leaky: Path, place: str, text: str) -> None:
    (leaky / "tests/expected.txt").write_text("requests 42\nclients 7\nbusiest 09\n")
    assert reached(leaky) == set()
    (leaky / "environment/root/workspace" / place).write_text(text)
    assert reached(leaky) == {("tests/expected.txt", f"/workspace/{place}", place == "expected.txt")}


@pytest.mark.parametrize("secret", ["42\n", "yes\nno\nno\nyes\n", ""])
def test_what_stands_everywhere_is_not(leaky: Path, secret: str) -> None:
    (leaky / "tests/expected.txt").write_text(secret)
    (leaky / "environment/root/workspace/readme").write_text(f"hello\n{secret}")
    assert reached(leaky) == set()


def test_what_the_instruction_names_is_no_secret(leaky: Path) -> None:
    (leaky / "environment/root/workspace/docs").mkdir()
    (leaky / "environment/root/workspace/docs/key.json").write_text(KEY)
    assert reached(leaky) != set()
    assert reached(leaky, "See /workspace/docs.") == set()
    assert reached(leaky, "See docs/key.json.") == set()
    assert reached(leaky, "Work in /workspace.") != set()


def test_a_packed_key_is_found(leaky: Path) -> None:
    with tarfile.open(leaky / "environment/root/workspace/old.tar.gz", "w:gz") as archive:
        archive.add(leaky / "tests/key.json", "back/key.json")
    assert reached(leaky) == {("tests/key.json", "/workspace/old.tar.gz!back/key.json", True)}


def test_a_key_in_a_git_history_is_found(leaky: Path, tmp_path: Path) -> None:
    place = tmp_path / "repository"
    place.mkdir()

    def git(*words: object) -> None:
        command = ["git", "-C", place, "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)

    git("init", "-b", "main")
    (place / "key").write_text(KEY)
    git("add", "key")
    git("commit", "-m", "Answers")
    git("rm", "key")
    git("commit", "-m", "No answers")
    bundle = leaky / "environment/root/workspace/project.bundle"
    git("bundle", "create", bundle, "main")
    ((hidden, where, whole),) = reached(leaky)
    assert (hidden, whole) == ("tests/key.json", True)
    assert where.startswith("/workspace/project.bundle!")
    bundle.unlink()
    (place / ".git").rename(leaky / "environment/root/workspace/history")
    ((hidden, where, whole),) = reached(leaky)
    assert where.startswith("/workspace/history!")


def test_tiny_task_is_good(checked: Callable[..., dict[str, Any]]) -> None:
    report = checked(2, test=TEST, solve=SOLVE)
    assert report["ok"]
    assert (report["solution"], report["times"]) == ([1.0], 2)
