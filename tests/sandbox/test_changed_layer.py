"""A changed layer, made again from what was said of it."""

import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from affidavit.sandbox import Change, SandboxError, SandboxSpec, User, diff, write_layer, write_points

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="sandboxes need root")

FILE = Change("/work/deep/a", "added", "file", 0o640, 1000, 1001, 3, sha256(b"abc").hexdigest(), None)


def test_it_is_the_same_again(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "work").mkdir(parents=True)
    (upper / "work/deep").mkdir(parents=True)
    contents = {sha256(data).hexdigest(): data for data in (b"abc", b"\0\xff", b"")}
    for number, data in enumerate(contents.values()):
        path = upper / f"work/deep/{number}"
        path.write_bytes(data)
        path.chmod(0o750 + number)
        os.chown(path, 1000, 1001)
    (upper / "work/deep").chmod(0o1700)
    Path(os.fsdecode(os.fsencode(upper) + b"/work/\xff")).write_bytes(b"abc")
    (upper / "work/link").symlink_to("deep/0")
    changes = diff(upper, [lower])
    assert len(changes) == 6
    write_layer(changes, contents.__getitem__, tmp_path / "again")
    assert diff(tmp_path / "again", [lower]) == changes


@pytest.mark.parametrize(
    "path", ["work/a", "/", "/work/../../a", "/work//a", "/./a", "/work/\\x00", "/work/a\\"], ids=range(7)
)
def test_what_is_no_path_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(SandboxError, match="can't be written"):
        write_layer([replace(FILE, path=path)], lambda digest: b"abc", tmp_path / "layer")


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    link = Change("/work", "added", "symlink", 0o777, 0, 0, 0, None, str(tmp_path / "outside"))
    with pytest.raises(SandboxError, match="can't be written"):
        write_layer([link, FILE], lambda digest: b"abc", tmp_path / "layer")
    assert [*(tmp_path / "outside").iterdir()] == []


def test_a_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="has no digest"):
        write_layer([replace(FILE, sha256=None)], lambda digest: b"abc", tmp_path / "layer")


def test_points_are_made_where_there_are_none(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "srv").mkdir(parents=True)
    (lower / "srv").chmod(0o711)
    os.chown(lower / "srv", 5, 6)
    (lower / "there").mkdir()
    spec = SandboxSpec(
        name="points",
        rootfs=(lower,),
        host_usr=False,
        argv=("/bin/true",),
        env={},
        cwd="/work",
        writable=("/srv/deep/er", "/there"),
        user=User(1000, 1001),
    )
    write_points(spec, tmp_path / "points")
    found = {
        path.relative_to(tmp_path / "points").as_posix(): (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode)
        for path in (tmp_path / "points").rglob("*")
    }
    assert found == {
        "work": (1000, 1001, 0o40755),
        "srv": (5, 6, 0o40711),
        "srv/deep": (0, 0, 0o40755),
        "srv/deep/er": (1000, 1001, 0o40755),
    }
