"""The reference page of ``task.toml`` names every key that is read."""

import re
from pathlib import Path

import pytest

from affidavit.tasks import load_task
from affidavit.tasks.toml import TomlTable

ROOT = Path(__file__).parents[2]
# Older spellings, which only files that others wrote have.
_OLDER = {"memory", "storage", "multi_step_reward_mode"}


def test_every_key_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    take = TomlTable.take

    def note(table: TomlTable, key: str) -> object:
        read.add(key)
        return take(table, key)

    monkeypatch.setattr(TomlTable, "take", note)
    load_task(ROOT / "examples/suite/fix-ttl-cache")
    load_task(ROOT / "examples/steps/parcel-quote")
    pages = "".join(
        (ROOT / "docs" / name).read_text() for name in ("task-format.md", "images.md", "graders.md", "grading.md")
    )
    named = set(re.findall(r"\w+", pages))
    assert sorted(read - _OLDER - named) == []
