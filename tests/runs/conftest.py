"""A small plan and its key."""

import os
import shutil
from pathlib import Path

import pytest

from affidavit.evaluation import Agent, Job, RunOptions, run_jobs
from affidavit.runs import RunPlan
from affidavit.signing import SigningKey, new_key
from affidavit.tasks import load_task
from harness import EBPF, Home, Silent, write_task
from plans import make_plan


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


_AGENT = "test $((AFFIDAVIT_SEED % 2)) = 0 && echo 42 >answer || echo 41 >answer"


@pytest.fixture(scope="session")
def finished(home: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of two trials of two tasks each; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    before = dict(os.environ)
    os.environ.update(home.env)
    try:
        tasks = [write_task(folder / "tasks" / name) for name in ("a", "b")]
        jobs = [Job(load_task(task), Agent.shell(_AGENT)) for task in tasks]
        options = RunOptions(EBPF.runtime, EBPF.recorder, 2, 2, folder / "runs")
        first, second = (run_jobs(jobs, options, Silent()).folder for _ in range(2))
        return first, second
    finally:
        for name in home.env:
            os.environ.pop(name)
        os.environ.update(before)


@pytest.fixture
def run(finished: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of a finished run, to be spoilt."""
    return Path(shutil.copytree(finished[0], tmp_path / finished[0].name))


@pytest.fixture
def other(finished: tuple[Path, Path]) -> Path:
    """Another run of the same tasks, agent and key; not to be changed."""
    return finished[1]
