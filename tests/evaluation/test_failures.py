"""What is said of the machinery's failures."""

import errno
from pathlib import Path

import pytest

from affidavit.evaluation import what_failed

_FOLDERS = (Path("/state"), Path("/out"))


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "/state or /out: the disk is full; make room, or point AFFIDAVIT_STATE or --out to another folder",
        ),
        (OSError(errno.ENOSPC, "No space left", "/x"), "[Errno 28] No space left: '/x'"),
        (OSError(errno.EIO, "Input/output error"), "[Errno 5] Input/output error"),
        (ValueError("two\nlines"), "two lines"),
    ],
)
def test_a_full_disk_without_a_name_names_the_folders(problem: Exception, said: str) -> None:
    assert what_failed(problem, _FOLDERS) == said
