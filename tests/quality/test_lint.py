"""What can be seen in a task's folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.quality import TaskFinding, lint_task, new_task
from affidavit.tasks import TaskError, find_tasks, load_task
from harness import SOLVE, TEST, Command, write_task

SUITE = Path(__file__).parents[2] / "examples/suite"
Found = Callable[..., list[TaskFinding]]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """The findings on a tiny task that is made so."""

    def lint(instruction: str = "Write 42 into the file answer.\n", **content: object) -> list[TaskFinding]:
        folder = write_task(tmp_path / "task", **content)
        (folder / "instruction.md").write_text(instruction)
        return list(lint_task(load_task(folder)))

    return lint


def only(findings: list[TaskFinding]) -> tuple[str, str, str]:
    (finding,) = findings
    assert finding.fix
    return finding.check, str(finding.part), finding.message


def test_the_example_suite_and_the_template_are_clean(tmp_path: Path) -> None:
    tasks = [*find_tasks(SUITE), load_task(new_task(tmp_path / "fresh"))]
    assert {task.id: lint_task(task) for task in tasks} == {task.id: () for task in tasks}


def test_each_step_is_looked_at(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SUITE.parent / "steps/parcel-quote", tmp_path / "task"))
    assert lint_task(load_task(folder)) == ()
    (folder / "steps/02-quote/solution/solve.sh").unlink()
    (folder / "steps/01-rates/tests/test.sh").write_text("curl -s https://x && echo 1 >/logs/verifier/reward.txt\n")
    assert [finding.message for finding in lint_task(load_task(folder))] == [
        "step 01-rates: tests/test.sh:1: curl https://x wants a network, and there is none",
        "step 02-quote: there is no solution/solve.sh",
    ]


def test_a_tiny_task_is_clean(found: Found) -> None:
    assert found() == []


def test_missing_solution(found: Found) -> None:
    assert only(found(solve=None)) == ("files", "task", "there is no solution/solve.sh")


def test_empty_instruction(found: Found) -> None:
    assert only(found(" \n")) == ("files", "task", "instruction.md is empty")


def test_tests_that_write_no_reward(found: Found) -> None:
    assert only(found(test="exit 0\n"))[:2] == ("files", "grader")


@pytest.mark.parametrize(
    "line",
    [
        "apt-get update",
        "apt-get -y install curl",
        "pip install pytest==8.4.1",
        "curl -LsSf https://example.org/install.sh | sh",
        "uvx -p 3.13 pytest /tests",
        "git clone https://example.org/x",
        "cd /x && npm install",
    ],
)
def test_tests_that_want_a_network(found: Found, line: str) -> None:
    check, part, message = only(found(test=f"# pip install nothing\n{line}\n{TEST}"))
    assert (check, part) == ("network", "grader")
    assert message.startswith("tests/test.sh:3: ")


@pytest.mark.parametrize("line", ["git log", "python3 -m pip --version", "echo get it", "go vet", "# curl https://x"])
def test_what_wants_no_network_is_left_alone(found: Found, line: str) -> None:
    assert found(test=f"{line}\n{TEST}") == []


@pytest.mark.parametrize(
    "name", ["tests/test.sh", "tests/lib/more.bash", "solution/solve.sh", "environment/healthcheck.sh"]
)
def test_scripts_with_the_line_ends_of_windows(found: Found, name: str) -> None:
    script = "echo 1 > /logs/verifier/reward.txt\r\n"
    findings = found(test=script) if name == "tests/test.sh" else found(files={name: script})
    check, _, message = only([finding for finding in findings if finding.check == "line ends"])
    assert (check, message.split(",")[0]) == ("line ends", f"{name} has CRLF line ends")


def test_a_promise_that_nobody_can_keep(found: Found) -> None:
    contract = {"files": {"write": ["/workspace/answer"]}}
    files = {"environment/root/workspace/in.csv": "1\n"}
    assert found("From /workspace/in.csv make /workspace/answer.", contract=contract, files=files) == []
    check, part, message = only(found("Make /workspace/out/b.csv.", contract=contract, files=files))
    assert (check, part) == ("promises", "contract")
    assert message.startswith("instruction.md names /workspace/out/b.csv")


@pytest.mark.parametrize(
    "line",
    [
        "echo 1 >/workspace/out",
        "cd /workspace && echo 1 > out",
        "cat >> out <<EOF\ntext > nothing\nEOF",
        "echo 1 | tee -a out",
        "sed -i 's/a > b/c/' out",
        "cp /tmp/x out",
        "python3 - <<'EOF'\nopen('/workspace/out', 'w')\nEOF",
        "python3 -c 'from pathlib import Path; Path(\"out\").write_text(str(1))'",
    ],
)
def test_a_solution_that_its_contract_forbids(found: Found, line: str) -> None:
    contract = {"files": {"write": ["/workspace/answer", "/tmp/**"]}}
    check, part, message = only(found(solve=f"{SOLVE}{line}\n", contract=contract))
    assert (check, part) == ("solution", "contract")
    assert "/workspace/out" in message
    assert found(solve=f"{SOLVE}{line}\n", contract={"files": {"write": ["/workspace/**", "/tmp/**"]}}) == []


@pytest.mark.parametrize(
    "line",
    [
        "# a > b",
        "[[ 2 > 1 ]] || true",
        "(( a > 5 ))",
        "awk 'x > 5 {\n y > 6 }' in",
        "echo x 2>/dev/null",
        "f() { :; } >&2",
    ],
)
def test_what_writes_nothing_is_left_alone(found: Found, line: str) -> None:
    assert found(solve=f"{SOLVE}{line}\n", contract={"files": {"write": ["/workspace/answer"]}}) == []


def test_a_log_that_an_agent_could_put_there_first(found: Found) -> None:
    check, part, message = only(found(test=f"echo PASSED >/tmp/run.log\n{TEST}"))
    assert (check, part) == ("scratch", "grader")
    assert "tests/test.sh:2: writes /tmp/run.log" in message


def test_output_that_is_taken_for_script(found: Found) -> None:
    check, part, message = only(found(test=f"out=$(/workspace/run)\nif [ $out = 3 ]; then :; fi\n{TEST}"))
    assert (check, part) == ("shell", "grader")
    assert "tests/test.sh:3: takes output for script: [ $out = 3 ]" in message


@pytest.mark.parametrize("named", ["tests", "tests/test_mine.py", "/workspace/tests/test_mine.py", '"tests/"'])
def test_visible_tests_that_the_agent_may_rewrite(found: Found, named: str) -> None:
    files = {"environment/root/workspace/tests/test_mine.py": "def test_fine():\n    pass\n"}
    test = f"cd /workspace; python3 -m pytest {named}\n{TEST}"
    assert only(found(test=test, files=files))[:2] == ("trust", "contract")
    assert found(test=test, files=files, contract={"files": {"write": ["/workspace/answer"]}}) == []
    assert found(test=f"python3 -m pytest /tests\n{TEST}", files=files) == []


def test_the_command(affidavit: Command, task: Callable[..., Path], tmp_path: Path) -> None:
    task(name="tasks/good")
    task(name="tasks/bad", solve=None)
    ran = affidavit("task", "lint", "tasks", "--json")
    assert (ran.status, ran.json["ok"]) == (1, False)
    assert {row["task_id"]: row["ok"] for row in ran.json["tasks"]} == {"good": True, "bad": False}
    ran = affidavit("task", "lint", "tasks")
    assert "WRONG bad\n    task: there is no solution/solve.sh\n      fix: " in ran.out
    assert affidavit("task", "lint", "tasks/good").status == 0
    assert affidavit("task", "lint", "nowhere").status == 2


def test_new_makes_a_task_once(affidavit: Command, tmp_path: Path) -> None:
    ran = affidavit("task", "new", "tasks/my-task")
    assert (ran.status, ran.out) == (0, "made tasks/my-task; try  affidavit task check tasks/my-task\n")
    assert load_task(tmp_path / "tasks/my-task").id == "my-task"
    again = affidavit("task", "new", "tasks/my-task")
    assert (again.status, again.err) == (2, "affidavit: tasks/my-task: already exists; choose another name\n")
    assert affidavit("task", "new", "My Task").status == 2
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["my-task"]


def test_every_bad_task_of_a_folder_is_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_task(tmp_path / name)
    (tmp_path / "a/instruction.md").unlink()
    (tmp_path / "c/task.toml").write_text("[agent]\ntimeout_sec = 'soon'\n")
    with pytest.raises(TaskError) as error:
        find_tasks(tmp_path)
    said = str(error.value)
    assert said.startswith("2 of 3 tasks can't be used: ")
    assert "a/instruction.md: is missing" in said
    assert "c/task.toml:2" in said


COMPUTED = """\
from order import order

def reference(items):
    return sorted(items)

def test_many():
    items = list("hello")
    assert len(items) > 3
    assert order(items) == reference(items)

def test_few():
    assert order("ba") == reference("ba")
    assert order("ba") == ["a", "b"]

def test_kind():
    assert isinstance(order("a"), list)
"""


@pytest.mark.parametrize("separate", ["", "separate = false", "separate = true"])
def test_what_a_solution_in_the_tests_process_can_compute(tmp_path: Path, separate: str) -> None:
    folder = write_task(tmp_path / "task", files={"tests/test_order.py": COMPUTED})
    with (folder / "task.toml").open("a") as file:
        file.write(f'\n[[affidavit.graders]]\nkind = "test_run"\nframework = "pytest"\n{separate}\n')
    findings = [(one.check, one.message) for one in lint_task(load_task(folder)) if one.check == "computed"]
    message = (
        "tests/test_order.py:9: the solution shares this process and can compute what is expected: "
        "assert order(items) == reference(items)"
    )
    assert findings == ([("computed", message)] if "false" in separate else [])
