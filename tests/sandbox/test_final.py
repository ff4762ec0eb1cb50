"""Looking at files of merged layers from outside."""

import errno
import os
from pathlib import Path

import pytest

from affidavit.sandbox import LayerFiles


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    (lower / "w" / "old").mkdir(parents=True)
    (upper / "w").mkdir(parents=True)
    (lower / "w" / "a").write_text("below")
    (lower / "w" / "gone").write_text("below")
    (upper / "w" / "a").write_text("above")
    os.mknod(upper / "w" / "gone", 0o020000, os.makedev(0, 0))
    (upper / "w" / "out").symlink_to("/etc/passwd")
    (upper / "w" / "up").symlink_to(tmp_path)
    os.mkfifo(upper / "w" / "fifo")
    (upper / "w" / os.fsdecode(b"\xff\n")).write_text("odd")
    return upper, lower


def test_merged(layers: tuple[Path, Path]) -> None:
    files = LayerFiles(layers)
    assert files.read("/w/a", 5) == b"above"
    assert files.stat("/w/gone") is None
    assert files.names("/w") == ("a", "fifo", "old", "out", "up", "\\xff\n")
    assert files.read("/w/\\xff\n", 10) == b"odd"
    assert files.names("/") == ("w",)
    assert files.names("/nowhere") == files.names("/w/a") == ()
    facts = files.stat("/w/out")
    assert facts is not None
    assert (facts.type, facts.target) == ("symlink", "/etc/passwd")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/w/gone", errno.ENOENT),
        ("/w/out", errno.EINVAL),
        ("/w/up/upper/w/a", errno.ENOENT),
        ("/w/fifo", errno.EINVAL),
        ("/w/old", errno.EINVAL),
        ("/w/a", errno.EFBIG),
        ("w/a", errno.EINVAL),
        ("/w/../w/a", errno.EINVAL),
        ("/w/a/b", errno.ENOENT),
    ],
)
def test_nothing_but_regular_files(layers: tuple[Path, Path], path: str, code: int) -> None:
    with pytest.raises(OSError, match=rf"\[Errno {code}\]"):
        LayerFiles(layers).read(path, 4)


def test_a_sparse_giant_is_not_read(layers: tuple[Path, Path]) -> None:
    os.truncate(layers[0] / "w" / "a", 1 << 40)
    with pytest.raises(OSError, match="larger than"):
        LayerFiles(layers).read("/w/a", 1 << 20)
