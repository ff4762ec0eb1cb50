"""The examples hold together: what a task folder must have, and what the list of agents says of them."""

import ast
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from affidavit.contracts import contract_for, matcher
from affidavit.grading import mutate_tests, plan_tests
from affidavit.redteam import brief, load_exploits
from affidavit.tasks import find_tasks, load_task

EXAMPLES = Path(__file__).parents[2] / "examples"
TASKS = sorted(path.parent.name for path in EXAMPLES.glob("suite/*/task.toml"))
AGENTS = tomllib.loads((EXAMPLES / "agents/agents.toml").read_text())["agent"]
EXPLOITS = [agent for agent in AGENTS if "exploit" in agent]
SCRIPTS = [agent for agent in AGENTS if "file" in agent]
FLAWS = {
    "no-isolation",
    "answers-in-reach",
    "untrusted-code",
    "weak-matching",
    "evaluation-gap",
    "trusted-output",
    "needless-permissions",
}


def test_suite_loads_without_warnings() -> None:
    tasks = find_tasks(EXAMPLES / "suite")
    assert [task.id for task in tasks] == TASKS
    assert [task.warnings for task in tasks] == [()] * len(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_contract_is_the_tasks_own_and_without_warnings(name: str) -> None:
    contract = contract_for(load_task(EXAMPLES / "suite" / name))
    assert contract.id == name
    assert contract.warnings == ()


@pytest.mark.parametrize("name", TASKS)
def test_contract_leaves_no_way_to_the_tests(name: str) -> None:
    contract = contract_for(load_task(EXAMPLES / "suite" / name))
    write, deny = matcher(contract.write), matcher(contract.deny)
    machinery = ["conftest.py", "tests/conftest.py", "pytest.ini", "setup.cfg", "pytest.py", "src/sitecustomize.py"]
    hidden = ["/tests/test.sh", "/solution/solve.sh", "/logs/verifier/reward.txt"]
    assert not write.mask([f"/workspace/{path}" for path in machinery]).any()
    assert not write.mask(["/home/agent/.profile", "/home/agent/.local/bin/python3"]).any()
    assert deny.mask(hidden).all()


# Tests in other languages than Python are made wrong by edits that task.toml names.
EDITED = ["cover-wallet", "page-ranges", "utf8-scan"]


@pytest.mark.parametrize("name", EDITED)
def test_hidden_tests_in_other_languages_can_be_made_to_fail(name: str) -> None:
    (grader,) = load_task(EXAMPLES / "suite" / name).scoring.graders
    settings = plan_tests(grader, load_task(EXAMPLES / "suite" / name)).settings
    named = {test for edit in settings.turn for test in edit.tests}
    assert settings.turn
    assert named == {*settings.expected}


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ("prune-backups", *EDITED)])
def test_hidden_tests_can_be_made_to_fail(name: str, tmp_path: Path) -> None:
    tests = EXAMPLES / "suite" / name / "tests"
    for path in sorted(tests.glob("test_*.py")):
        functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        hidden = [node for node in functions if node.name.startswith("test_")]
        without = [node.name for node in hidden if not any(isinstance(part, ast.Assert) for part in node.body)]
        assert (without, hidden != []) == ([], True), path
    shutil.copytree(tests, tmp_path / "tests")
    assert mutate_tests(tmp_path / "tests")


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent["name"])
def test_listed_agent_is_described(agent: dict[str, Any]) -> None:
    cheat = agent["kind"] == "cheat"
    assert agent["kind"] in ("honest", "idle", "cheat")
    assert agent["tasks"] == ["*"] or set(agent["tasks"]) <= set(TASKS)
    assert isinstance(agent.get("gains"), bool) == cheat
    assert (agent.get("flaw") in FLAWS) == (cheat and "exploit" not in agent)


@pytest.mark.parametrize("agent", EXPLOITS, ids=lambda agent: agent["name"])
def test_exploit_is_of_the_battery_and_applies_to_its_tasks(agent: dict[str, Any]) -> None:
    (exploit,) = (exploit for exploit in load_exploits() if exploit.name == agent["exploit"])
    tasks = TASKS if agent["tasks"] == ["*"] else agent["tasks"]
    assert [exploit.unmet(brief(load_task(EXAMPLES / "suite" / name))) for name in tasks] == [None] * len(tasks)


@pytest.mark.parametrize("agent", SCRIPTS, ids=lambda agent: agent["name"])
def test_script_is_a_shell_command_that_says_what_it_does(agent: dict[str, str]) -> None:
    script = EXAMPLES / "agents" / agent["file"]
    first = script.read_text().splitlines()[0]
    assert first.startswith("# Honest: " if agent["kind"] == "honest" else "# Exploits: ")
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


def test_every_script_is_listed_once() -> None:
    files = sorted(path.name for path in (EXAMPLES / "agents").glob("*.sh"))
    assert sorted(agent["file"] for agent in SCRIPTS) == files


def test_every_task_has_an_honest_variant_and_a_cheat_that_pays() -> None:
    for kind, gains in (("honest", None), ("cheat", True)):
        lists = [agent["tasks"] for agent in AGENTS if agent["kind"] == kind and agent.get("gains") is gains]
        assert {task for tasks in lists for task in (TASKS if tasks == ["*"] else tasks)} == set(TASKS)
