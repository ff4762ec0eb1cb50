"""A bundle can be published: nothing in it tells what hidden tests ask and expect."""

import ast
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from affidavit.evaluation import Agent
from affidavit.evidence import beside
from affidavit.tasks import load_task
from affidavit.verification import verify
from harness import EBPF, Command, Outcome, Trials

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]
SUITE = Path(__file__).parents[2] / "examples/suite"
TASKS = sorted(path.parent for path in SUITE.glob("*/task.toml"))


def published(bundle: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a bundle and every text in its columns, by what it is called; but for what the agent itself did,
    which is for everybody to see."""
    own = ("agent", "files", "diff.json", "texts.json")
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        if path.relative_to(bundle).parts[0] in own:
            continue
        yield path.name, path.read_bytes()
        if path.suffix == ".parquet":
            for column in pq.read_table(path).itercolumns():
                values = column.combine_chunks()
                values = values.flatten() if pa.types.is_list(values.type) else values
                if pa.types.is_string(values.type) or pa.types.is_dictionary(values.type):
                    yield path.name, "\n".join(str(value) for value in values.unique().to_pylist()).encode()


def secrets_of(task: Path) -> set[bytes]:
    """Texts and numbers in a task's hidden tests that it tells nobody: not in the instruction, the start or the
    solution, and long enough not to stand somewhere by chance."""
    known = (task / "instruction.md").read_bytes() + (task / "task.toml").read_bytes()
    for folder in ("environment", "solution"):
        known += b"".join(path.read_bytes() for path in (task / folder).rglob("*") if path.is_file())
    found: set[bytes] = set()
    for path in (path for path in (task / "tests").rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        data = path.read_bytes()
        if path.suffix == ".py":
            constants = [node.value for node in ast.walk(ast.parse(data)) if isinstance(node, ast.Constant)]
            found |= {str(value).encode() for value in constants if isinstance(value, str | int | float)}
        else:
            found |= set(data.split())
    known += b" ".join(path.name.encode() for path in Path("/usr/bin").iterdir())
    # What tests are called and where they lie is no secret.
    return {text for text in found if len(text) >= 5 and text not in known and b"/tests" not in text and text.isascii()}


_OTHER: list[bytes] = []


# What solves nothing is graded in the same way: `make test` plays it on a part of the suite only.
IDLE = TASKS if os.environ.get("AFFIDAVIT_WHOLE_SUITE") else TASKS[::4]
PUBLISHED = [(task, "oracle") for task in TASKS] + [(task, "nop") for task in IDLE]


@pytest.mark.parametrize(("example", "agent"), PUBLISHED, ids=lambda it: it if isinstance(it, str) else it.name)
def test_no_secret_of_the_example_suite_is_published(trials: Trials, task: Make, example: Path, agent: str) -> None:
    outcome = trials(EBPF, example, Agent.named(agent))
    wanted = secrets_of(example)
    timed = 'kind = "performance"' in (example / "task.toml").read_text()
    # On a machine that does other things at once, a solution may be too slow for a task that times it.
    assert outcome.verdict == ("pass" if agent == "oracle" else "fail") or (timed and outcome.verdict == "fail")
    # What stands in the bundle of a task that has none of this, such as words of the recorder's.
    if not _OTHER:
        _OTHER.append(b"".join(data for _, data in published(trials(EBPF, task(), Agent.named("nop")).bundle)))
    wanted = {text for text in wanted if text not in _OTHER[0]}
    told = [(name, text) for name, data in published(outcome.bundle) for text in wanted if text in data]
    assert told == []


# What the grading prints, reports and compares with.
TELLS = """\
import json, pytest
from answer import value

@pytest.mark.parametrize("given", ["hidden-parameter-1", "hidden-parameter-2"])
def test_value(given):
    print("hidden-output")
    assert value(given) == "hidden-answer-" + given
"""
PYTEST = '[[affidavit.graders]]\nkind = "test_run"\nframework = "pytest"\nexpected = [{}]\n'.format(
    ", ".join(f'"test_answer.py::test_value[hidden-parameter-{number}]"' for number in (1, 2))
)
VALUE = (
    '[[affidavit.graders]]\nkind = "value"\n'
    'checks = [{ type = "text", answer = "/workspace/answer.txt", expected = "hidden-answer" }]\n'
)
SOLVE = "echo \"def value(given): return 'hidden-answer-' + given\" >answer.py\n"


@pytest.mark.parametrize("graders", [PYTEST, f"{PYTEST}separate = false\n", VALUE, "", "bad-reward"])
@pytest.mark.parametrize("agent", ["echo 'def value(given): return 7' >answer.py; echo 7 >answer.txt", "true"])
def test_nothing_that_graders_say_is_published(trials: Trials, task: Make, graders: str, agent: str) -> None:
    test = "python3 -m pytest /tests/test_answer.py; echo 0 >/logs/verifier/reward.txt\n"
    if graders == "bad-reward":
        graders, test = "", "echo hidden-reward >/logs/verifier/reward.txt\n"
    solve = None if graders == VALUE else SOLVE
    outcome = trials(EBPF, task(test=test, files={"tests/test_answer.py": TELLS}, graders=graders, solve=solve), agent)
    assert outcome.verdict in ("fail", "error")
    told = {name for name, data in published(outcome.bundle) if b"hidden-" in data}
    assert told == set()
    kept = b"".join(path.read_bytes() for path in beside(outcome.bundle).rglob("*") if path.is_file())
    assert b"hidden-" in kept or agent == "true" or graders == VALUE


@pytest.fixture
def outcome(trials: Trials, task: Make) -> Outcome:
    return trials(EBPF, task())


def details(bundle: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify(bundle).checks}


def test_what_is_published_verifies_and_says_what_it_can_not(outcome: Outcome, tmp_path: Path) -> None:
    shutil.copytree(outcome.bundle, tmp_path / "bundle")
    verification = verify(tmp_path / "bundle")
    assert verification.ok
    found = details(tmp_path / "bundle")
    assert found["files"].endswith("the private part, which is signed too, is not here and not checked")
    assert found["grades"].startswith("what the graders said is the signer's claim")
    assert "trace grader" not in found


def test_the_private_part_is_for_the_owner(outcome: Outcome) -> None:
    folder = beside(outcome.bundle)
    assert folder.stat().st_mode & 0o077 == 0
    assert details(outcome.bundle)["grades"] == "graded again: tests"


@pytest.mark.parametrize("how", ["changed", "missing", "more", "key", "other", "link"])
def test_a_private_part_that_is_not_this_bundles(
    outcome: Outcome, trials: Trials, task: Make, tmp_path: Path, how: str
) -> None:
    folder = beside(outcome.bundle)
    grade = folder / "grade.json"
    match how:
        case "changed":
            grade.write_bytes(grade.read_bytes().replace(b'"score": 1.0', b'"score": 0.0', 1))
        case "missing":
            grade.unlink()
        case "more":
            (folder / "more").write_text("x")
        case "key":
            (folder / "key").write_text("0" * 64 + "\n")
        case "other":
            other = trials(EBPF, task("tasks/other"))
            shutil.rmtree(folder)
            shutil.copytree(beside(other.bundle), folder)
        case "link":
            grade.rename(tmp_path / "grade.json")
            grade.symlink_to(tmp_path / "grade.json")
    wrong = [check for check in verify(outcome.bundle).checks if not check.ok]
    assert [check.name for check in wrong] == ["files"]
    assert "private" in wrong[0].detail or "grade.json" in wrong[0].detail


def test_digests_of_the_private_part_can_not_be_tried(outcome: Outcome, trials: Trials, task: Make) -> None:
    """The same content has another digest in each bundle."""
    again = trials(EBPF, load_task(task("tasks/again")).path)
    stated = [verify(one.bundle).facts for one in (outcome, again)]
    digests = [facts.model_extra["private"]["grader/stdout"] for facts in stated if facts and facts.model_extra]
    assert digests[0]["size"] == digests[1]["size"]
    assert digests[0]["hmac_sha256"] != digests[1]["hmac_sha256"]


def test_queries_find_the_private_part(affidavit: Command, outcome: Outcome, tmp_path: Path) -> None:
    query = ("--sql", "SELECT count(*) > 0 AS some FROM grader_events", "--json")
    assert affidavit("trace", outcome.bundle, *query).json == [{"some": True}]
    shutil.copytree(outcome.bundle, tmp_path / "bundle")
    ran = affidavit("trace", tmp_path / "bundle", *query)
    assert (ran.status, "grader_events" in ran.err) == (2, True)
