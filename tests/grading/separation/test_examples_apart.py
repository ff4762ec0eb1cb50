"""The example suite's Python tests, and those of attacks, run apart from the solution."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from separated import Pair

SUITE = Path(__file__).parents[3] / "examples/suite"
# shop-summary has the solution read a file beside the tests, which is not to be in its sandbox.
APART = (
    "fix-ttl-cache", "parse-arithmetic", "refactor-billing", "log-report", "build-textstats", "find-culprit",
    "clean-orders", "station-quiz",
)  # fmt: skip
# Equal to the words that S gives: what `in` says of a cache.
WORDS = {"fix-ttl-cache": 13}


def prepare(pair: Pair, task: Path, solved: bool) -> None:
    """Lay out a task with its paths those of the pair."""
    solution = pair.folder / "solution"
    given = task / "environment/root/workspace"
    shutil.copytree(given, solution)
    pair.workdir.mkdir()
    script = (task / "solution/solve.sh").read_text().replace("/workspace", str(pair.workdir))
    if solved:
        command = [
            "unshare",
            "--mount",
            "sh",
            "-ec",
            f'mount --bind {solution} {pair.workdir}; exec bash -c "$0"',
            script,
        ]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PATH": "/usr/bin:/bin"})
    shutil.copytree(task / "tests", pair.tests)
    for path in pair.tests.glob("*.py"):
        text = path.read_text().replace("/workspace", str(pair.workdir)).replace('"/tests', f'"{pair.tests}')
        path.write_text(text)


def play(pair: Pair) -> int:
    script = (
        f'cd {pair.workdir}; export PYTHONPATH="$PYTHONPATH:{pair.workdir}:{pair.workdir}/src";'
        f" {sys.executable} -m pytest -q -p no:cacheprovider --rootdir {pair.tests} {pair.tests}"
    )
    return pair.run(["sh", "-c", script])


@pytest.mark.parametrize("task", APART)
def test_a_reference_solution_passes_apart(pair: Pair, task: str) -> None:
    prepare(pair, SUITE / task, solved=True)
    assert play(pair) == 0, pair.output
    assert pair.words == WORDS.get(task, 0)


@pytest.mark.parametrize("task", APART)
def test_doing_nothing_fails_apart(pair: Pair, task: str) -> None:
    prepare(pair, SUITE / task, solved=False)
    assert play(pair) == 1, pair.output
