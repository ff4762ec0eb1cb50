"""The pytest plug-in: the documented example, and what users see of trials that tell nothing."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Home

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/pytest/test_agents.py"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def suite(home: Home, tmp_path: Path) -> Run:
    """Runs pytest with the plug-in, and with no other."""

    def run(*words: object, **env: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pytest", "-p", "affidavit.integrations.pytest", "--strict-markers"]
        return subprocess.run(
            [*command, "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider", *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, **home.env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **env},
            capture_output=True,
            text=True,
            timeout=280,
        )

    return run


def test_the_example(suite: Run, tmp_path: Path) -> None:
    done = suite(EXAMPLE, "--junit-xml=report.xml", "--affidavit-out=kept")
    assert done.returncode == 0, done.stdout
    cases = ET.parse(tmp_path / "report.xml").getroot().iter("testcase")
    found = [{one.get("name"): one.get("value") for one in case.iter("property")} for case in cases]
    assert [one["affidavit_verdict"] for one in found] == ["pass", "violation"]
    bundles = [Path(str(one["affidavit_bundle"])) for one in found]
    assert all((bundle / "statement.dsse.json").is_file() for bundle in bundles)
    assert all(bundle.is_relative_to(tmp_path / "kept") for bundle in bundles)


@pytest.mark.parametrize(
    ("test", "status", "message"),
    [
        ("def test_x(affidavit_trial): pass", 1, "mark the test with @pytest.mark.affidavit"),
        ("def test_x(affidavit_run): affidavit_run('gone', agent='nop')", 1, "gone: is not a task folder"),
        ("def test_x(affidavit_run): affidavit_run('t')", 1, "give an agent or a command, not both or neither"),
    ],
)
def test_what_is_asked_for_wrongly(suite: Run, tmp_path: Path, test: str, status: int, message: str) -> None:
    (tmp_path / "test_x.py").write_text(test)
    done = suite("test_x.py")
    assert (done.returncode, message in done.stdout) == (status, True), done.stdout


INCONCLUSIVE = """
import affidavit, pytest
from types import SimpleNamespace as N

@pytest.fixture
def affidavit_run():
    judgement = N(verdict=affidavit.Verdict.INCONCLUSIVE, reasons=("3 events were lost",))
    return lambda **_: N(task_id="t", judgement=judgement)

@pytest.mark.affidavit(task="t", agent="nop")
def test_x(affidavit_trial): pass
"""


def test_an_inconclusive_trial_is_an_error(suite: Run, tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(INCONCLUSIVE)
    done = suite("test_x.py")
    assert "t: inconclusive: 3 events were lost" in done.stdout
    assert "1 error in" in done.stdout


def test_it_costs_nothing_where_it_is_not_used(suite: Run, tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import sys\n\ndef test_x():\n"
        "    ours = {name for name in sys.modules if name.split('.')[0] == 'affidavit'}\n"
        "    assert ours == {'affidavit', 'affidavit.integrations', 'affidavit.integrations.pytest'}\n"
        "    assert not {'duckdb', 'pyarrow', 'pydantic'} & sys.modules.keys()\n"
    )
    assert suite("test_x.py").returncode == 0
