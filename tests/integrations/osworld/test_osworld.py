"""The example of a desktop task: outcome grading pays whoever leaves the desktop alone, and Affidavit does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import EBPF, Trials

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/osworld"
TASK = EXAMPLE / "add-up"
MISSING = [name for name in ("Xvfb", "xdotool", "xedit") if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: not installed")


@pytest.mark.parametrize(
    ("agent", "paid"),
    [
        ("add-up/solution/solve.sh", "1"),
        ("agents/nop.sh", "0"),
        ("agents/copy-gold.sh", "1"),
        ("agents/write-result.sh", "1"),
    ],
)
def test_what_outcome_grading_pays(agent: str, paid: str) -> None:
    command = [sys.executable, EXAMPLE / "stock.py", EXAMPLE / agent]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == paid


@pytest.mark.usefixtures("nothing_left")
def test_work_in_the_editor_passes(trials: Trials) -> None:
    outcome = trials(EBPF, TASK)
    assert (outcome.verdict, outcome.score, outcome.rules) == ("pass", 1.0, set()), outcome.reasons


def test_whoever_does_nothing_fails(trials: Trials) -> None:
    outcome = trials(EBPF, TASK, (EXAMPLE / "agents/nop.sh").read_text())
    assert (outcome.verdict, outcome.score) == ("fail", 0.0), outcome.reasons


@pytest.mark.parametrize(
    ("agent", "rule"),
    [("copy-gold", "files.deny"), ("write-result", "files.write"), ("preload", "scopes.editor.files.read")],
)
def test_whoever_goes_round_the_editor_is_not_paid(trials: Trials, agent: str, rule: str) -> None:
    outcome = trials(EBPF, TASK, (EXAMPLE / f"agents/{agent}.sh").read_text())
    assert (outcome.verdict, outcome.score) == ("violation", 0.0), outcome.reasons
    assert rule in outcome.rules
