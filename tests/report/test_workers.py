"""Work shared among processes: in order, with the errors of those who did it."""

import math
import os
from pathlib import Path

import pytest

from affidavit.report import ReportError, make_report, read_behaviour, read_runs, shared, write_pages
from affidavit.report.workers import FEWEST
from run_folders import MakeRun, trial

if len(os.sched_getaffinity(0)) < 2:
    pytest.skip("one processor: there is nothing to share", allow_module_level=True)


def test_a_few_items_are_for_this_process() -> None:
    with shared(FEWEST - 1) as share:
        assert share is map


def test_many_items_are_shared_and_their_errors_come_back() -> None:
    with shared(FEWEST) as share:
        assert [*share(math.sqrt, [float(n * n) for n in range(40)])] == [*map(float, range(40))]
        with pytest.raises(ValueError, match="math domain"):
            share(math.sqrt, [1.0, -1.0])
    with pytest.raises(ReportError, match="was killed"), shared(FEWEST) as share:
        share(os._exit, [9])


def test_pages_are_the_same_however_they_were_made(make_run: MakeRun, tmp_path: Path) -> None:
    runs = read_runs([make_run([trial(f"t{n // 2}", n % 2) for n in range(6)])])
    alone = make_report(runs, read_behaviour)
    write_pages(alone, tmp_path / "alone")
    with shared(FEWEST) as share:
        together = make_report(runs, read_behaviour, None, share)
        write_pages(together, tmp_path / "together", share)
    assert together == alone
    for page in (tmp_path / "alone").iterdir():
        assert (tmp_path / "together" / page.name).read_text() == page.read_text()
