"""Bundles that former versions wrote: what was signed once is verified for ever."""

import shutil
from pathlib import Path

import pytest

from affidavit.verification import verify

BUNDLES = Path(__file__).parent / "bundles"


@pytest.mark.parametrize("archive", sorted(BUNDLES.glob("*.tar.xz")), ids=lambda path: path.name)
def test_a_former_bundle_verifies(archive: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(archive, tmp_path)
    verification = verify(tmp_path / "bundle", BUNDLES / "key.pem")
    assert [check for check in verification.checks if not check.ok] == []
    assert verification.facts is not None
    assert archive.name.removesuffix(".tar.xz").rpartition("-")[2] == verification.facts.verdict
    assert {check.name: check.detail for check in verification.checks}["grades"].startswith("graded again: test_run")
