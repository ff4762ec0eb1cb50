"""A small plan and its key."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import several_agents
from affidavit.evaluation import Job, run_jobs
from affidavit.runs import LEDGER, RunPlan
from affidavit.signing import SigningKey, new_key
from affidavit.tasks import load_task
from harness import Home, Silent, wait_for, write_task
from plans import make_plan
from several_agents import AGENTS, all_jobs, options


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return new_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def plan(key: SigningKey) -> RunPlan:
    return make_plan(key.key_id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run."""
    made = tmp_path / "20261127T080000Z-000000"
    made.mkdir()
    return made


# `make test-tampering`: a run of 10 tasks, 2 agents and 5 trials, which is killed in the middle and resumed.
LARGE = "AFFIDAVIT_LARGE_RUN" in os.environ


@pytest.fixture(scope="session")
def finished(home: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of two trials of two tasks each, or a large one and a small one of the same agents and tasks; not to be
    changed."""
    folder = tmp_path_factory.mktemp("finished")
    before = dict(os.environ)
    os.environ.update(home.env)
    try:
        tasks = [write_task(folder / "tasks" / name) for name in ("abcdefghij" if LARGE else "ab")]
        # An agent for each task; the folders of several agents have their names.
        small = [Job(load_task(task), agent) for task, agent in zip(tasks, AGENTS, strict=False)]
        second = run_jobs(small, options(folder / "others", 2), Silent()).folder
        if LARGE:
            return interrupted(tasks, folder / "runs"), second
        return run_jobs(small, options(folder / "runs", 2), Silent()).folder, second
    finally:
        for name in home.env:
            os.environ.pop(name)
        os.environ.update(before)


def interrupted(tasks: list[Path], out: Path) -> Path:
    """The folder of a run that was killed when half of its bundles were sealed, and went on."""
    jobs, trials = all_jobs(tasks), 5
    half = len(jobs) * trials // 2
    script = Path(several_agents.__file__)
    child = subprocess.Popen(
        [sys.executable, script, out, str(trials), *tasks],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parent), *sys.path])},
    )

    def far_enough() -> bool:
        ledgers = [*out.glob(f"*/{LEDGER}")]
        return bool(ledgers) and ledgers[0].read_bytes().count(b'"kind":"sealed"') >= half

    try:
        wait_for(lambda: far_enough() or child.poll() is not None, 600)
    finally:
        child.kill()
        child.wait()
    [folder] = out.iterdir()
    resumed = run_jobs(jobs, replace(options(out, trials), resume=folder), Silent())
    assert len(resumed.trials) == 2 * half
    return folder


@pytest.fixture
def run(finished: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of a finished run, to be spoilt."""
    return Path(shutil.copytree(finished[0], tmp_path / finished[0].name))


@pytest.fixture
def other(finished: tuple[Path, Path]) -> Path:
    """Another run of the same tasks, agent and key; not to be changed."""
    return finished[1]
