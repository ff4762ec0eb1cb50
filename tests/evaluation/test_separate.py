"""Hidden tests in one sandbox, the solution in another: what passes, what does not, and when they stay together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.verification import verify
from harness import EBPF, Command, Outcome, Trials, Way

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

PYTEST = '[[affidavit.graders]]\nkind = "test_run"\nframework = "pytest"\n'
ORDER = "mkdir -p src; cat >src/order.py <<'EOF'\ndef order(items):\n    return sorted(items)\nEOF\n"
SORTER = """\
import random
from pathlib import Path
from order import order


def some(seed, count):
    chance = random.Random(seed)
    return [chance.randint(0, 10**6) for _ in range(count)]


def reference(items):
    return sorted(items)


def test_few():
    items = some(1, 5)
    assert order(items) == reference(items)


def test_on_file():
    given, expected = Path("/tests/case.txt").read_text().splitlines()
    assert order([int(word) for word in given.split()]) == [int(word) for word in expected.split()]


def test_spelled_out():
    assert order([3, 17, 2, 40]) == [2, 3, 17, 40]
"""
CASE = "9 4 7 100 23\n4 7 9 23 100\n"


def sorter(task: Make, **more: Any) -> Path:
    files = {"tests/test_order.py": SORTER, "tests/case.txt": CASE}
    return task(**{"files": files, "solve": ORDER, "graders": PYTEST, **more})


def lying(body: str, **more: str) -> str:
    """An agent that writes src/order.py and further files."""
    files = {"src/order.py": body, **more}
    return "\n".join(
        f"mkdir -p $(dirname {name}); cat >{name} <<'EOF_OF_IT'\n{text}\nEOF_OF_IT" for name, text in files.items()
    )


def separation(outcome: Outcome) -> dict[str, Any]:
    return dict(outcome.json("grade.json")["verifier"]["separation"])


def stages(outcome: Outcome) -> set[str]:
    return {path.name for path in outcome.bundle.iterdir() if path.is_dir()}


def test_the_tests_run_apart_from_the_solution(trials: Trials, task: Make, way: Way) -> None:
    outcome = trials(way, sorter(task))
    assert (outcome.verdict, outcome.score, outcome.trial.judgement.assurance) == ("pass", 1.0, "separate")
    assert separation(outcome) == {
        "separate": True,
        "why": "the task's own solution passes so",
        "words": [],
        "ways": [],
    }
    assert stages(outcome) == {"agent", "grader", "solution"}
    assert outcome.json("grade.json")["verifier"]["control"] is None
    # Neither has what the other has.
    opened = {stage: {row["path"] for row in outcome.events(stage)} for stage in ("grader", "solution")}
    assert "/tests/case.txt" in opened["grader"]
    assert not [path for path in opened["solution"] if path and path.startswith("/tests/")]
    assert "/workspace/src/order.py" in opened["solution"]


EVALUATES = """\
import ast, linecache, sys
def order(items):
    frame = sys._getframe(1)
    while frame:
        text = "".join(linecache.getlines(frame.f_code.co_filename))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Assert) and node.lineno <= frame.f_lineno <= node.end_lineno:
                code = compile(ast.Expression(node.test.comparators[0]), "", "eval")
                return eval(code, frame.f_globals, frame.f_locals)
        frame = frame.f_back
"""
READS_MEMORY = """\
import os, re
SEARCHED = bytes(int(x) for x in "57 32 52 32 55 32 49 48 48 32 50 51 10 40 91 48 45 57 32 93 42 41".split())
def order(items):
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/maps") as maps, open(f"/proc/{number}/mem", "rb") as memory:
                for line in maps:
                    low, high = (int(part, 16) for part in line.split()[0].split("-"))
                    if " rw-p " in line:
                        memory.seek(low)
                        found = re.search(SEARCHED, memory.read(high - low))
                        if found:
                            return [int(word) for word in found[1].split()]
        except (OSError, ValueError, OverflowError):
            continue
"""
READS_TESTS = """\
import glob
def order(items):
    for name in glob.glob("/tests/**", recursive=True) + glob.glob("/proc/*/root/tests/*"):
        try:
            return [int(word) for word in open(name).read().splitlines()[1].split()]
        except (OSError, ValueError, IndexError):
            continue
"""
AGREES = """\
class Agreeing(list):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
def order(items):
    return Agreeing()
"""
ENDS = "import os\nos._exit(0)\n"
CALLS_BACK = """\
import gc, sys
def order(items):
    for thing in gc.get_objects():
        if callable(thing) and getattr(thing, "__name__", "") == "reference":
            return thing(items)
    return sys.modules["test_order"].reference(items)
"""
REPLACES_RANDOM = "def order(items):\n    return []\n"


@pytest.mark.parametrize(
    "agent",
    [
        lying(EVALUATES),
        lying(READS_MEMORY),
        lying(READS_TESTS),
        lying(AGREES),
        lying(ENDS),
        lying(CALLS_BACK),
        lying(
            REPLACES_RANDOM, **{"src/random.py": "class Random:\n    def __init__(self, seed): pass\n    randint = 0\n"}
        ),
        lying(REPLACES_RANDOM, **{"src/conftest.py": ENDS, "conftest.py": ENDS, "src/sitecustomize.py": ENDS}),
        lying(REPLACES_RANDOM, **{"src/pytest.py": ENDS, "src/_pytest/__init__.py": ENDS, "pluggy.py": ENDS}),
    ],
    ids=["evaluates", "memory", "tests", "agrees", "ends", "calls-back", "random", "conftest", "framework"],
)
def test_a_solution_that_does_not_sort_is_not_paid(trials: Trials, task: Make, way: Way, agent: str) -> None:
    outcome = trials(way, sorter(task), agent)
    assert (outcome.verdict, outcome.raw_score) in (("fail", 0.0), ("violation", 0.0)), outcome.trial.judgement


NTH = """\
import subprocess
from pathlib import Path

CASES = dict(line.split(" is ") for line in Path("/tests/case.txt").read_text().splitlines())


def test_all():
    for given, expected in CASES.items():
        done = subprocess.run(["/workspace/nth", given], capture_output=True, text=True, timeout=30)
        assert done.stdout.strip() == expected
"""
SQUARES = "cat >nth <<'EOF'\n#!/usr/bin/python3\nimport sys\nprint(int(sys.argv[1]) ** 2)\nEOF\nchmod +x nth\n"


@pytest.mark.parametrize(
    ("solve", "passes"),
    [
        (SQUARES, True),
        (SQUARES.replace("print(int(sys.argv[1]) ** 2)", READS_MEMORY.replace("def order(items)", "if True")), False),
        (SQUARES.replace("print(int(sys.argv[1]) ** 2)", "print(open('/tests/case.txt').read())"), False),
    ],
    ids=["right", "memory", "tests"],
)
def test_programs_run_in_the_solutions_sandbox(trials: Trials, task: Make, way: Way, solve: str, passes: bool) -> None:
    files = {"tests/test_nth.py": NTH, "tests/case.txt": "12 is 144\n4123 is 16999129\n"}
    outcome = trials(way, task(files=files, solve=SQUARES, graders=PYTEST), solve)
    assert (outcome.verdict, outcome.raw_score) == (("pass", 1.0) if passes else ("fail", 0.0))
    assert outcome.trial.judgement.assurance == "separate"


SCRIPT = (
    'out=$(/workspace/nth 12) && [ "$out" = 144 ] && reward=1 || reward=0\n'
    "echo told: $out; echo $reward >/logs/verifier/reward.txt\n"
)


def test_a_script_starts_the_program_in_the_other_sandbox(trials: Trials, task: Make, way: Way) -> None:
    folder = task(test=SCRIPT, solve=SQUARES)
    right = trials(way, folder)
    assert (right.verdict, right.trial.judgement.assurance) == ("pass", "separate")
    assert right.text("grader/stdout") == "told: 144\n"
    writes = SQUARES.replace("print(", "import os; os.system('echo 1 >/logs/verifier/reward.txt'); print(-")
    wrong = trials(way, folder, writes)
    assert (wrong.verdict, wrong.raw_score) == ("fail", 0.0)


def test_what_a_shell_would_run_is_not_in_the_tests_sandbox(trials: Trials, task: Make) -> None:
    """A verifier that hands a file of the solution's to an interpreter gets a launcher, not the agent's text."""
    test = "bash /workspace/run 12; [ $? = 144 ] && reward=1 || reward=0\necho $reward >/logs/verifier/reward.txt\n"
    folder = task(test=test, solve="echo 'exit $(($1 * $1))' >run\n")
    outcome = trials(EBPF, folder, "echo 'echo 1 >/logs/verifier/reward.txt; kill -9 $PPID' >run\n")
    assert outcome.raw_score == 0.0


CACHE = """\
from cache import Cache

def test_is_kept():
    cache = Cache()
    cache.put(1)
    assert 1 in cache

def test_is_counted():
    assert Cache().put(7) == 1
"""
HONEST = (
    "cat >cache.py <<'EOF'\nclass Cache:\n    def __init__(self): self.kept = []\n"
    "    def put(self, one):\n        self.kept.append(one)\n        return len(self.kept)\n"
    "    def __contains__(self, one): return one in self.kept\nEOF\n"
)


def test_what_rests_on_the_solutions_word_has_a_control(trials: Trials, task: Make) -> None:
    folder = task(files={"tests/test_cache.py": CACHE}, solve=HONEST, graders=PYTEST)
    honest = trials(EBPF, folder)
    assert (honest.verdict, honest.trial.judgement.assurance) == ("pass", "control")
    assert separation(honest)["words"] == ["test_cache.py::test_is_kept"]
    assert {"grader", "control", "solution", "solution-of-control"} <= stages(honest)


def test_a_word_that_the_tasks_own_solution_does_not_need_counts_for_nothing(trials: Trials, task: Make) -> None:
    hidden = "from answer import value\n\ndef test_value():\n    assert value() in (41, 42)\n    assert value()\n"
    right = "echo 'def value(): return 42' >answer.py\n"
    agrees = "cat >answer.py <<'EOF'\nclass E:\n    __eq__ = lambda s, o: True\ndef value(): return E()\nEOF\n"
    outcome = trials(EBPF, task(files={"tests/test_answer.py": hidden}, solve=right, graders=PYTEST), agrees)
    assert (outcome.verdict, outcome.raw_score) == ("fail", 0.0)


def test_tests_that_do_not_run_apart_run_beside_the_solution(trials: Trials, task: Make) -> None:
    hidden = "import inspect\nfrom answer import Base\n\nclass Derived(Base):\n    pass\n\ndef test_value():\n"
    hidden += "    assert Derived().value() == 42\n"
    right = "cat >answer.py <<'EOF'\nclass Base:\n    def value(self): return 42\nEOF\n"
    outcome = trials(EBPF, task(files={"tests/test_answer.py": hidden}, solve=right, graders=PYTEST))
    assert (outcome.verdict, outcome.trial.judgement.assurance) == ("pass", "control")
    assert separation(outcome)["why"].startswith("the task's own solution does not pass so: test_answer.py::test_value")
    assert "solution" not in stages(outcome)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"graders": f"{PYTEST}separate = false\n"}, "task.toml says so"),
        ({"solve": None}, "the task has no solution to try it with"),
        ({"graders": f"tests_writable = true\n{PYTEST}"}, "the verifier may write to the tests"),
    ],
    ids=["as-told", "no-solution", "writable-tests"],
)
def test_tests_stay_with_the_solution(trials: Trials, task: Make, more: dict[str, Any], why: str) -> None:
    outcome = trials(EBPF, sorter(task, **more), ORDER)
    nothing = {"words": [], "ways": None}
    assert (outcome.verdict, separation(outcome)) == ("pass", {"separate": False, "why": why, **nothing})
    # The tests compare with reference(…), which code in their process can compute as well.
    assert outcome.trial.judgement.assurance == "outcome"
    assert verify(outcome.bundle).ok


@pytest.mark.parametrize(("expected", "assurance"), [("len(value) * 21", "outcome"), ("42", "control")])
def test_no_control_stands_behind_a_reward_for_what_the_solution_can_compute(
    trials: Trials, task: Make, expected: str, assurance: str
) -> None:
    hidden = f"from answer import answer\n\ndef test_it():\n    value = 'no'\n    assert answer(value) == {expected}\n"
    outcome = trials(
        EBPF,
        task(
            test="python3 -m pytest -p no:cacheprovider /tests/test_it.py && echo 1 >/logs/verifier/reward.txt\n",
            files={"tests/test_it.py": hidden},
            graders='[[affidavit.graders]]\nkind = "test_run"\nseparate = false\n',
        ),
        "echo 'def answer(value): return 42' >answer.py\n",
    )
    assert (outcome.verdict, outcome.trial.judgement.assurance) == ("pass", assurance)
    assert verify(outcome.bundle).ok


def test_a_suite_may_demand_that_they_are_apart(affidavit: Command, task: Make, tmp_path: Path) -> None:
    sorter(task, name="tasks/apart")
    sorter(task, name="tasks/together", graders=f"{PYTEST}separate = false\n")
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "schema: affidavit.suite/v1\nid: strict\nversion: 1.0.0\ntasks: [tasks/*]\ndemands: {assurance: separate}\n"
    )
    ran = affidavit("run", suite, "--agent", "oracle", "--json", "--out", tmp_path / "runs")
    found = {one["task_id"]: (one["verdict"], one["assurance"]) for one in ran.json["trials"]}
    assert found == {"apart": ("pass", "separate"), "together": ("error", "outcome")}
    reason = next(one["reasons"] for one in ran.json["trials"] if one["task_id"] == "together")
    assert reason == ["the assurance separate is demanded, and behind this score is outcome"]
    for one in ran.json["trials"]:
        assert not [check for check in verify(Path(one["bundle"])).checks if not check.ok]


SHOUT_TEST = """\
import filecmp, subprocess


def test_same(tmp_path):
    (tmp_path / "in.txt").write_text("hello\\n")
    subprocess.run(["/workspace/shout", tmp_path / "in.txt", tmp_path / "out.txt"], check=True)
    assert filecmp.cmp(tmp_path / "out.txt", "/tests/loud.txt")
"""


def test_no_time_is_known_to_be_that_of_the_tests(trials: Trials, task: Make) -> None:
    """`filecmp.cmp` looks at kind, size and time first, and at nothing else where these are the same."""
    files = {"tests/test_shout.py": SHOUT_TEST, "tests/loud.txt": "HELLO\n"}
    program = "cat >shout <<'EOF'\n#!/bin/sh\n{}\nEOF\nchmod +x shout\n"
    folder = task(files=files, solve=program.format('tr a-z A-Z <"$1" >"$2"'), graders=PYTEST)
    outcome = trials(EBPF, folder, program.format('echo XXXXX >"$2"; touch -d @0 "$2"'))
    assert (outcome.verdict, outcome.score, outcome.trial.judgement.assurance) == ("fail", 0.0, "separate")


ONE_AFTER_ANOTHER = """\
import os
import signal
import subprocess
from pathlib import Path

import _pytest.config
from count import count


def commands():
    return {int(p.name): (p / "cmdline").read_bytes() for p in Path("/proc").iterdir() if p.name.isdigit()}


def is_copy():
    return b"template.py" in commands()[os.getpid()]


def test_first():
    assert is_copy() and count() == 1
    _pytest.config.left_by_a_test = True
    subprocess.Popen(["sleep", "12345"], start_new_session=True)


def test_nothing_of_the_first_is_there():
    assert is_copy() and count() == 1
    assert not hasattr(_pytest.config, "left_by_a_test")
    assert not [words for words in commands().values() if b"12345" in words]
    [template] = {pid for pid, words in commands().items() if b"template.py" in words} - {os.getpid()}
    os.kill(template, signal.SIGKILL)


def test_begins_without_the_template():
    assert count() == 1


def test_has_a_template_again():
    assert is_copy() and count() == 1
"""


def test_each_test_has_processes_of_its_own(trials: Trials, task: Make, way: Way) -> None:
    solve = "mkdir -p src; printf 'n = 0\\ndef count():\\n    global n\\n    n += 1\\n    return n\\n' >src/count.py"
    graders = f"{PYTEST}separate = true\n"
    outcome = trials(way, task(files={"tests/test_count.py": ONE_AFTER_ANOTHER}, solve=solve, graders=graders))
    [grade] = outcome.json("grades.json")["graders"]
    # The second has killed what would have told how it ended.
    assert [part["score"] for part in grade["components"]] == [1.0, 0.0, 1.0, 1.0], outcome.text("grader/stderr")
