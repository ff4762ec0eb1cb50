"""Runs for tests of reports."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from run_folders import RUN_ID, MakeRun, write_run


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes the folder of a run; see `write_run`."""

    def make(trials: Sequence[Mapping[str, Any]], run_id: str = RUN_ID, name: str = "run") -> Path:
        return write_run(tmp_path / name, trials, run_id)

    return make
