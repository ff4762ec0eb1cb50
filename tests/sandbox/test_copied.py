"""Copying files of one sandbox into a layer for another one."""

import os
import stat
from pathlib import Path

import pytest

from affidavit.sandbox import CopiedPath, SandboxError, copy_paths

MOST = 1 << 20


def whiteout(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("whiteouts need root")
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """What an agent left, over what was there."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    (upper / "app/out").mkdir(parents=True)
    (lower / "app/out/deep").mkdir(parents=True)
    (upper / "app/out/new").write_text("new")
    (upper / "app/out/both").write_text("upper")
    (lower / "app/out/both").write_text("lower")
    (lower / "app/out/old").write_text("old")
    (lower / "app/out/deep/a.tmp").write_text("a")
    (lower / "app/out/deep/b").write_text("b")
    (lower / "app/out/deep/b").chmod(0o4755)
    (upper / "app/out/link").symlink_to("/etc/shadow")
    os.mkfifo(upper / "app/out/fifo")
    (lower / "app/secret").write_text("not asked for")
    return [upper, lower]


def tree(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text()
    return found


def test_folders_files_and_links_are_copied_as_they_were_merged(layers: list[Path], tmp_path: Path) -> None:
    whiteout(layers[0] / "app/out/old")
    asked = [CopiedPath("/app/out", ("*.tmp",)), CopiedPath("/app/none"), CopiedPath("/app/secret/x")]
    missing = copy_paths(layers, asked, [], tmp_path / "new", MOST)
    assert missing == ("/app/none", "/app/secret/x")
    assert tree(tmp_path / "new") == {
        "app/out/both": "upper",
        "app/out/deep/b": "b",
        "app/out/link": "-> /etc/shadow",
        "app/out/new": "new",
    }
    assert stat.S_IMODE((tmp_path / "new/app/out/deep/b").stat().st_mode) == 0o755


def test_patterns_of_whole_paths_leave_out_what_is_below(layers: list[Path], tmp_path: Path) -> None:
    copy_paths(layers, [CopiedPath("/app/out", ("deep/*", "new"))], [], tmp_path / "new", MOST)
    assert set(tree(tmp_path / "new")) == {"app/out/both", "app/out/link", "app/out/old"}


def test_one_path_inside_of_another(layers: list[Path], tmp_path: Path) -> None:
    asked = [CopiedPath("/app/out/deep"), CopiedPath("/app")]
    copy_paths(layers, asked, [], tmp_path / "new", MOST)
    assert {"app/secret", "app/out/new", "app/out/deep/b"} <= set(tree(tmp_path / "new"))


def test_folders_on_the_way_stay_as_they_are_where_the_files_go(layers: list[Path], tmp_path: Path) -> None:
    (tmp_path / "image/app").mkdir(parents=True)
    (tmp_path / "image/app").chmod(0o711)
    copy_paths(layers, [CopiedPath("/app/out/new")], [tmp_path / "image"], tmp_path / "new", MOST)
    assert stat.S_IMODE((tmp_path / "new/app").stat().st_mode) == 0o711
    (tmp_path / "other").mkdir()
    (tmp_path / "other/app").symlink_to("/etc")
    with pytest.raises(SandboxError, match="/app is no folder"):
        copy_paths(layers, [CopiedPath("/app/out/new")], [tmp_path / "other"], tmp_path / "again", MOST)


def test_a_link_on_the_way_leads_nowhere(layers: list[Path], tmp_path: Path) -> None:
    (layers[0] / "way").symlink_to("/etc")
    assert copy_paths(layers, [CopiedPath("/way/passwd")], [], tmp_path / "new", MOST) == ("/way/passwd",)
    assert tree(tmp_path / "new") == {}


def test_more_than_there_is_room_for(layers: list[Path], tmp_path: Path) -> None:
    (layers[0] / "app/out/large").write_bytes(b"x" * (MOST + 1))
    with pytest.raises(SandboxError, match="take more than 1 MiB"):
        copy_paths(layers, [CopiedPath("/app/out")], [], tmp_path / "new", MOST)
    with (layers[0] / "app/out/large").open("wb") as file:
        file.truncate(1 << 40)
    copy_paths(layers, [CopiedPath("/app/out")], [], tmp_path / "hole", MOST)
    assert (tmp_path / "hole/app/out/large").stat().st_size == 1 << 40
