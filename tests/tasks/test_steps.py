"""Tasks of several steps: what is read, and what is refused in which words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.tasks import TaskError, load_task

TOML = """\
multi_step_reward_strategy = "final"
[agent]
timeout_sec = 50
[verifier]
timeout_sec = 40
env = { A = "task", B = "task" }

[[steps]]
name = "01-plan"
min_reward = 0.5
[steps.agent]
timeout_sec = 7
[steps.verifier]
timeout_sec = 8
env = { B = "step" }

[[steps]]
name = "02-do"
min_reward = { reward = 1 }
"""

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a task folder of two steps; `files`: further ones, None for one that is left out."""

    def make(toml: str = TOML, **files: str | None) -> Path:
        content: dict[str, str | None] = {"task.toml": toml, "solution/solve.sh": "exit 0\n"}
        for step in ("01-plan", "02-do"):
            content[f"steps/{step}/instruction.md"] = f"Do {step}.\n"
            content[f"steps/{step}/tests/test.sh"] = "exit 0\n"
        content["steps/02-do/solution/solve.sh"] = "exit 0\n"
        for name, text in {**content, **files}.items():
            path = tmp_path / "folder" / name
            if text is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        return tmp_path / "folder"

    return make


def test_steps_are_tasks_of_their_own(make: Make) -> None:
    folder = make(**{"steps/02-do/workdir/setup.sh": "exit 0\n"})
    task = load_task(folder)
    first, second = task.played
    assert (task.warnings, task.reward_strategy) == ((), "final")
    assert task.instruction == "Do 01-plan.\n\nDo 02-do.\n"
    assert [(one.step, one.instruction, one.steps) for one in task.played] == [
        ("01-plan", "Do 01-plan.\n", ()),
        ("02-do", "Do 02-do.\n", ()),
    ]
    assert first.tests.folder == folder / "steps/01-plan/tests"
    assert (first.solution.folder, second.solution.folder) == (folder / "solution", folder / "steps/02-do/solution")
    assert [step.workdir_files for step in task.steps] == [None, folder / "steps/02-do/workdir"]
    assert [step.has_setup for step in task.steps] == [False, True]
    assert [step.min_reward for step in task.steps] == [0.5, 1.0]
    assert (first.limits.agent_timeout_s, first.limits.verifier_timeout_s) == (7, 8)
    assert (second.limits.agent_timeout_s, second.limits.verifier_timeout_s) == (50, 40)
    assert (first.tests.env, second.tests.env) == ({"A": "task", "B": "step"}, {"A": "task", "B": "task"})
    assert set(task.hidden_folders) == {
        folder / name
        for name in ("tests", "steps/01-plan/tests", "solution", "steps/02-do/tests", "steps/02-do/solution")
    }


def test_steps_share_the_tests_of_the_task(make: Make) -> None:
    without = {f"steps/{step}/tests/test.sh": None for step in ("01-plan", "02-do")}
    task = load_task(make(**{**without, "tests/test.sh": "exit 0\n"}))
    assert {one.tests.folder for one in task.played} == {task.path / "tests"}


def test_the_tests_of_a_step_lie_over_those_of_the_task(make: Make) -> None:
    shared = {"tests/test.sh": "shared\n", "tests/lib/help.sh": "shared\n", "tests/lib/other.sh": "shared\n"}
    own = {"steps/01-plan/tests/test.sh": None, "steps/01-plan/tests/lib/help.sh": "own\n"}
    task = load_task(make(**{**shared, **own}))
    first, second = (one.tests.folder for one in task.played)
    read = [(first / name).read_text() for name in ("test.sh", "lib/help.sh", "lib/other.sh")]
    assert read == ["shared\n", "own\n", "shared\n"]
    assert ((second / "test.sh").read_text(), (second / "lib/help.sh").read_text()) == ("exit 0\n", "shared\n")
    assert {folder.relative_to(task.path).as_posix() for folder in task.hidden_folders} == {
        "tests",
        "steps/01-plan/tests",
        "steps/02-do/tests",
        "solution",
        "steps/02-do/solution",
    }


def test_a_task_without_steps_is_played_as_it_is(make: Make) -> None:
    task = load_task(make("", **{"instruction.md": "Do it.\n", "tests/test.sh": "exit 0\n"}))
    assert task.played == (task,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "02-do"', 'name = "../02-do"', "task.toml:18: [[steps]] number 2.name must be the name of a folder"),
        ('name = "02-do"', 'name = "01-PLAN"', "must be another one than those of the steps before it: '01-PLAN'"),
        ('name = "02-do"', 'name = "03"', "names a step whose folder"),
        ('name = "02-do"', "", "[[steps]] number 2 needs a name, which is that of its folder in steps/"),
        ("min_reward = 0.5", "min_reward = true", "min_reward must be a number, not True"),
        ("min_reward = 0.5", "min_reward = { speed = 1 }", "min_reward names the reward 'speed', and only the one"),
        ("timeout_sec = 7", 'user = "x"', "user of a step is not supported yet; set the task's own user"),
        ("timeout_sec = 7", 'network_mode = "none"', "network_mode of a step is not supported yet"),
        ("timeout_sec = 8", 'environment_mode = "separate"', "environment_mode of a step can't differ from the task's"),
        ("timeout_sec = 8", "environment = { cpus = 1 }", "environment of a step is not supported yet"),
        ("min_reward = 0.5", "healthcheck = { command = 1 }", "[steps.healthcheck].command must be a string"),
        ('"final"', '"best"', 'multi_step_reward_strategy must be "mean" or "final", not \'best\''),
    ],
)
def test_what_a_step_cannot_be(make: Make, old: str, new: str, message: str) -> None:
    assert old in TOML
    with pytest.raises(TaskError) as error:
        load_task(make(TOML.replace(old, new, 1)))
    assert message in str(error.value)


def test_a_step_is_checked_after_the_task(make: Make) -> None:
    check = '\n[environment.healthcheck]\ncommand = "task"\n'
    folder = make(TOML.replace("min_reward = 0.5", 'healthcheck = { command = "step", interval_sec = 1 }') + check)
    first, second = load_task(folder).played
    assert [one.command for one in first.environment.health_checks] == ["task", "step"]
    assert first.environment.health_checks[1].interval_s == 1
    assert [one.command for one in second.environment.health_checks] == ["task"]


def test_a_verifier_with_a_root_file_system_of_its_own(make: Make) -> None:
    separate = TOML.replace("[verifier]", '[verifier]\nenvironment_mode = "separate"', 1).replace(
        "min_reward = 0.5", 'artifacts = ["/a"]'
    )
    folder = make(f'artifacts = ["/all"]\n{separate}')
    first, second = load_task(folder).played
    for step, artifacts in ((first, ["/all", "/a"]), (second, ["/all"])):
        assert [one.path for one in step.tests.artifacts] == artifacts
        assert step.grading is not None
        assert (step.grading.tests.folder, step.grading.steps) == (step.tests.folder, ())
        assert step.grading.limits.verifier_timeout_s == step.limits.verifier_timeout_s
    (folder / "steps/02-do/tests/Dockerfile").touch()
    with pytest.raises(TaskError, match="tests/Dockerfile, which is not supported yet"):
        load_task(folder)


def test_there_may_be_too_many(make: Make) -> None:
    with pytest.raises(TaskError, match=r"task.toml:1: steps may be 50 at most, not 51"):
        load_task(make("[[steps]]\nname = 'x'\n" * 51))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"steps/01-plan/instruction.md": None}, "steps/01-plan/instruction.md: is missing"),
        ({"steps/01-plan/tests/test.sh": None}, "tests/test.sh: is missing"),
        ({"tests/test.sh/x": "", "steps/01-plan/tests/more": ""}, "01-plan/tests: can't be laid over"),
    ],
)
def test_what_a_step_must_have(make: Make, files: dict[str, str | None], message: str) -> None:
    with pytest.raises(TaskError) as error:
        load_task(make(**files))
    assert message in str(error.value)
