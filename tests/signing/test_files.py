"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from affidavit.signing import EvidenceError, write_whole


def test_a_file_is_replaced_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        write_whole(tmp_path / "file", data)
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", data)]


@pytest.mark.parametrize(("folder", "why"), [("file", "Not a directory"), ("nowhere", "No such file or directory")])
def test_a_place_that_is_none_is_named(tmp_path: Path, folder: str, why: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EvidenceError, match=f"{folder}/x: can't be written: {why}"):
        write_whole(tmp_path / folder / "x", b"")
