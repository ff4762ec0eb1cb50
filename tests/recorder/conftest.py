"""What the tests of all recorders share."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # The sandbox's user must get through to it.
    for place in (tmp_path, *tmp_path.parents):
        if place.owner() == "root" and place.stat().st_mode & 0o001 == 0:
            place.chmod(0o711)
    return tmp_path
