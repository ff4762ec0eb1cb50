"""A small plan and its key."""

from pathlib import Path

import pytest

from affidavit.runs import RunPlan
from affidavit.signing import SigningKey, new_key
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
