"""``affidavit prune --caches``."""

import hashlib
import re
from pathlib import Path

import pytest

from affidavit.gateway import Answers, CachedAnswer, WebCache, new_cache
from affidavit.gateway.web_cache import BODIES, Query
from harness import Command


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with a verifier cache of one answer, and one that is broken."""
    monkeypatch.setenv("AFFIDAVIT_STATE", str(tmp_path / "state"))
    root = tmp_path / "state" / "verifier-cache"
    root.mkdir(parents=True)
    kept = new_cache(root / ("a" * 64))
    body = b"x" * 2048
    name = hashlib.sha256(body).hexdigest()
    (kept.folder / BODIES / name).write_bytes(body)
    answer = CachedAnswer(Query("GET", "http://example.org/"), 200, (), name, len(body))
    WebCache.write(kept.folder, Answers([answer]))
    (root / ("b" * 64)).mkdir()
    (root / f".{'c' * 64}.old").mkdir()
    return root


def test_caches_are_listed_and_removed(affidavit: Command, caches: Path) -> None:
    listed = affidavit("prune", "--caches")
    assert listed.status == 0
    assert f"task sha256:{'a' * 64}  1 answers, 0.0 MiB\n" in listed.out
    assert f"task sha256:{'b' * 64}  can't be read\n" in listed.out
    assert listed.out.endswith("2 verifier caches to remove: affidavit prune --caches --remove\n")
    found = affidavit("prune", "--caches", "--json").json
    assert (found["removed"], [(one["answers"], one["bytes"]) for one in found["caches"]]) == (
        False,
        [(1, 2048), (0, 0)],
    )
    assert affidavit("prune", "--caches", "--remove").out.endswith("2 verifier caches removed\n")
    assert list(caches.iterdir()) == []
    assert affidavit("prune", "--caches").out == "0 verifier caches to remove\n"


def test_one_kind_at_a_time(affidavit: Command) -> None:
    both = affidavit("prune", "--caches", "--images")
    assert (both.status, both.out) == (2, "")
    assert re.search("give --images or --caches, not both", both.err)
