"""Archives of the solution's that tests unpack on their side."""

import pytest

from separated import Pair

PACKS = """
import io, os, tarfile
def pack(path):
    with tarfile.open(path, "w") as archive:
        for name, kind, target in MEMBERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            data = b"" if kind != tarfile.REGTYPE else target.encode()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
"""
TEST = """
import pathlib, tarfile
import bad

def test_unpacked(tmp_path):
    path = pathlib.Path("WORKDIR/out.tar")
    bad.pack(str(path))
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "out")
    assert (tmp_path / "out/answer").read_text() == pathlib.Path("TESTS/expected").read_text()
"""
LINK, HARD, FILE = "tarfile.SYMTYPE", "tarfile.LNKTYPE", "tarfile.REGTYPE"


def unpacked(pair: Pair, *members: tuple[str, str, str]) -> int:
    listed = ", ".join(f"({name!r}, {kind}, {target!r})" for name, kind, target in members)
    pair.tests.mkdir(exist_ok=True)
    (pair.tests / "expected").write_text("42")
    pair.solve(bad=f"{PACKS}\nMEMBERS = [{listed}]\n".replace("TESTS", str(pair.tests)))
    return pair.pytest(TEST.replace("WORKDIR", str(pair.workdir)).replace("TESTS", str(pair.tests)))


@pytest.mark.parametrize(
    "members",
    [
        [("answer", LINK, "TESTS/expected")],
        [("answer", HARD, "TESTS/expected")],
        [("up", LINK, "/"), ("answer", LINK, "up/TESTS/expected")],
        [("up", LINK, "../../../../../../.."), ("answer", LINK, "up/TESTS/expected")],
        [("answer", LINK, "/proc/self/root/TESTS/expected")],
        [("answer", FILE, "42"), ("../../../../../../../etc/unpacked", FILE, "x")],
    ],
    ids=["link", "hard-link", "link-to-the-root", "link-upwards", "link-by-proc", "name-upwards"],
)
def test_an_archive_does_not_lead_out(pair: Pair, members: list[tuple[str, str, str]]) -> None:
    assert unpacked(pair, *members) == 1, pair.output
    assert "must not run an archive" in pair.output or "No such file" in pair.output, pair.output


def test_what_lies_in_it_is_unpacked(pair: Pair) -> None:
    assert unpacked(pair, ("there", FILE, "42"), ("sub/x", FILE, "1"), ("answer", LINK, "there")) == 0, pair.output
