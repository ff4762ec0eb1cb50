"""A pair of halves in a folder of the test's own, outside the common temporary ones."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from separated import Pair


@pytest.fixture
def pair() -> Iterator[Pair]:
    folder = Path(tempfile.mkdtemp(prefix="affidavit-pair-", dir="/run"))
    yield Pair(folder)
    shutil.rmtree(folder)
