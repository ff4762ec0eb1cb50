"""Graders and agents that another distribution brings, as docs/plugins.md shows them."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Command

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
SETTINGS = """
[[affidavit.graders]]
kind = "has_readme"
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the distribution, for PYTHONPATH."""
    (module,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    folder = tmp_path / "site"
    facts = folder / "house-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / "house.py").write_text(module)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: house\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[affidavit.agents]\nhouse-agent = house:agent\nbroken = house:nothing\noracle = house:nothing\n"
        "[affidavit.graders]\nhas_readme = house:grader\n"
    )
    return folder


def test_an_agent_and_a_grader(affidavit: Command, task: Callable[..., Path], installed: Path) -> None:
    made = task(graders=SETTINGS)
    ran = affidavit.alone("run", made, "--agent", "house-agent", "--json", PYTHONPATH=str(installed))
    assert ran.status == 0, ran.err
    assert ran.json["trials"][0]["score"] == 1.0
    assert affidavit.alone("run", made, "--agent", "nop", "--json", PYTHONPATH=str(installed)).status == 1


def test_wrong_plugins(affidavit: Command, task: Callable[..., Path], installed: Path) -> None:
    made = task(graders=SETTINGS)
    for name, says in (
        ("broken", "--agent broken: house 1.0: house:nothing can't be loaded: AttributeError"),
        (
            "unknown",
            "no such agent; use oracle, nop, acp, aider, claude-code, codex, gemini-cli, mini-swe-agent, opencode, "
            "broken or house-agent",
        ),
    ):
        ran = affidavit.alone("run", made, "--agent", name, PYTHONPATH=str(installed))
        assert (ran.status, ran.out) == (2, "")
        assert says in ran.err
    ran = affidavit.alone("run", made, "--agent", "nop")
    assert ran.status == 2
    assert "there is no grader 'has_readme'" in ran.err


def test_listing_them_loads_nothing(installed: Path) -> None:
    program = """
import sys
from affidavit.plugins import Group, plugins
print({name for group in Group for name in plugins(group)}, "house" in sys.modules)
"""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    said = subprocess.check_output([sys.executable, "-c", program], text=True, env=env)
    assert said.endswith(" False\n")
    assert "'has_readme'" in said
