"""No false alarms: honest ways of working that look odd pass clean."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import EBPF, GVISOR, PTRACE, SOLVE, Trials, Way
from honest.habits import HABITS

pytestmark = pytest.mark.usefixtures("nothing_left")

# What a task's author would write: the answer, an editor's files beside it, scratch files in /tmp.
CONTRACT = {
    "extends": ["affidavit:base", "affidavit:test-infrastructure"],
    "files": {
        "read": ["/workspace/**", "/tmp/**"],
        "write": ["/workspace/answer", "/workspace/answer?*", "/workspace/.answer?*", "/tmp/**"],
        "deny": ["/tests/**", "/solution/**", "/logs/**"],
    },
    "syscalls": {"deny": ["ptrace"]},
    "processes": {"max_processes": 128},
}
# Those that stay within it.
NARROW = [
    "scratch files in /tmp",
    "many short processes",
    "own tests and conftest.py in a place of their own",
    "a clone in /tmp",
    "gcc, a shared library and a debugger's build",
    "a database",
    "here-documents, pipes and process substitution",
    "a virtual environment",
    "pools of processes and threads",
    "a draft that is thrown away",
]
# Those that ask most of a recorder; the slow runtimes get no more.
FEW = [
    "failures and retries",
    "git in the working directory",
    "links within the working directory",
    "names in many alphabets",
]


def command(habit: str) -> str:
    # Whatever becomes of it, the answer is written.
    return f"({textwrap.dedent(HABITS[habit])}\n) </dev/null\ncd /workspace\n{SOLVE}"


def play(trials: Trials, way: Way, task: Callable[..., Path], habit: str, **content: object) -> None:
    folder = task(memory_mb=512, storage_mb=128, timeout_s=60, **content)
    outcome = trials(way, folder, command(habit))
    seen = [violation.message for violation in outcome.trial.judgement.violations]
    said = outcome.text("agent/stderr")
    assert (outcome.verdict, seen) == ("pass", []), (outcome.reasons, said)
    assert "yntax error" not in said
    assert "SyntaxError" not in said


def test_there_are_enough_of_them() -> None:
    assert len(HABITS) >= 60


@pytest.mark.parametrize("habit", HABITS)
def test_under_the_default_contract(trials: Trials, task: Callable[..., Path], habit: str) -> None:
    play(trials, EBPF, task, habit)


@pytest.mark.parametrize("habit", NARROW)
def test_under_a_tasks_contract(trials: Trials, task: Callable[..., Path], habit: str) -> None:
    play(trials, EBPF, task, habit, contract=CONTRACT)


@pytest.mark.parametrize("way", [PTRACE, GVISOR], ids=str)
@pytest.mark.parametrize("habit", FEW)
def test_with_other_recorders(trials: Trials, task: Callable[..., Path], habit: str, way: Way) -> None:
    if way.missing:
        pytest.skip(f"{way.missing}: not installed")
    play(trials, way, task, habit)
