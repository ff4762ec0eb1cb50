"""Bundles for tests of commands that read them."""

import os
import shutil
from pathlib import Path

import pytest

from affidavit.evidence import beside
from harness import EBPF, Home, Outcome, Trials, write_task

# What each of these agents does to the task "write 42 into the file answer".
AGENTS = {
    "pass": "echo 42 >answer; cat answer",
    "fail": "echo 41 >answer",
    "violation": "echo 42 >answer; cat /tests/x",
}


@pytest.fixture(scope="session")
def judged(home: Home, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """A finished trial for each verdict that has a score; not to be changed."""
    folder = tmp_path_factory.mktemp("judged")
    before = dict(os.environ)
    os.environ.update(home.env)
    try:
        task = write_task(folder / "task")
        return {verdict: Trials(home, folder)(EBPF, task, agent) for verdict, agent in AGENTS.items()}
    finally:
        for name in home.env:
            os.environ.pop(name)
        os.environ.update(before)


@pytest.fixture
def bundle(judged: dict[str, Outcome], tmp_path: Path) -> Path:
    """A copy of a bundle that passed, to be spoilt."""
    shutil.copytree(beside(judged["pass"].bundle), tmp_path / "private")
    return Path(shutil.copytree(judged["pass"].bundle, tmp_path / "bundle"))
