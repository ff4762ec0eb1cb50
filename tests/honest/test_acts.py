"""Ordinary acts of honest agents, under the default contract: a part of those that `make bench-acts` plays."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import EBPF, SOLVE, Trials

pytestmark = pytest.mark.usefixtures("nothing_left")

ACTS = Path(__file__).resolve().parents[2] / "benchmarks" / "acts.txt"
# Sections of that file that wait for nothing.
SECTIONS = ("A project's own configuration", "Places outside of the working directory")


def acts_of(section: str) -> list[str]:
    """The acts below a heading."""
    lines = ACTS.read_text().splitlines()
    found: list[str] = []
    for line in lines[lines.index(f"# {section}") + 1 :]:
        if line.startswith("#"):
            break
        found.append(line)
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_ordinary_acts_leave_the_score_and_are_recorded(
    trials: Trials, task: Callable[..., Path], section: str
) -> None:
    acts = acts_of(section)
    assert len(acts) >= 6
    command = "\n".join(f"(timeout 20 bash <<'ACT'\n{act}\nACT\n) </dev/null >/dev/null 2>&1" for act in acts)
    outcome = trials(EBPF, task(storage_mb=128, timeout_s=120), f"{command}\ncd /workspace\n{SOLVE}")
    seen = [violation.message for violation in outcome.trial.judgement.violations]
    assert (outcome.verdict, outcome.score, seen) == ("pass", 1.0, []), outcome.reasons
    # None of it went by unseen: each section has acts that are refused or set aside.
    assert outcome.trial.judgement.attempts
