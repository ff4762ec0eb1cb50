"""PathResolver resolved from outside, after the fact, against a sandbox that goes on changing its files."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.recorder.path_resolver import PathResolver


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/sh").write_text("#!/bin/interpreter -x\n")
    (tmp_path / "usr/bin/interpreter").write_bytes(b"\x7fELF")
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "work").mkdir()
    (tmp_path / "old").symlink_to("/work/../usr")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "out").symlink_to("../../../../etc")
    os.mkfifo(tmp_path / "usr/bin/fifo")
    time.sleep(0.02)
    return tmp_path


@pytest.fixture
def names(root: Path) -> Iterator[PathResolver]:
    made = PathResolver(os.open(root, os.O_PATH))
    yield made
    made.close()
    made.close()


@pytest.mark.parametrize(
    ("name", "base", "follow", "path"),
    [
        (b"/bin/sh", b"/", True, b"/usr/bin/sh"),
        (b"sh", b"/bin", True, b"/bin/sh"),
        (b"bin/none/x", b"/", True, b"/usr/bin/none/x"),
        (b"../old/bin//./sh", b"/work", True, b"/usr/bin/sh"),
        (b"/old", b"/", False, b"/old"),
        (b"/old/", b"/", False, b"/usr"),
        (b"/old", b"/", True, b"/usr"),
        (b"/out/passwd", b"/", True, b"/etc/passwd"),
        (b"/../../work", b"/", True, b"/work"),
        (b"", b"/work", True, b"/work"),
        (b"/loop/x", b"/", True, b"/loop/x"),
    ],
)
def test_resolution(names: PathResolver, name: bytes, base: bytes, follow: bool, path: bytes) -> None:
    assert names.resolve(name, base, follow) == path


def test_links_that_came_after_the_call_do_not_count(root: Path, names: PathResolver) -> None:
    (root / "work/new").symlink_to("/usr")
    assert names.resolve(b"/work/new/bin") == b"/work/new/bin"


def test_links_that_are_gone_again_count(names: PathResolver) -> None:
    names.linked(b"/work/l", b"../usr")
    assert names.resolve(b"l/bin/sh", b"/work") == b"/usr/bin/sh"
    names.moved(b"/work/l", b"/work/m")
    assert names.resolve(b"/work/l/x") == b"/work/l/x"
    assert names.resolve(b"/work/m/x") == b"/usr/x"
    names.copied(b"/work/m", b"/work/n")
    names.removed(b"/work/m")
    assert names.resolve(b"/work/m/x") == b"/work/m/x"
    assert names.resolve(b"/work/n/x") == b"/usr/x"


def test_links_move_with_their_folder(names: PathResolver) -> None:
    names.linked(b"/work/a/l", b"/usr")
    names.linked(b"/work/b/l", b"/old")
    names.moved(b"/work/a", b"/work/b", exchange=True)
    assert names.resolve(b"/work/b/l") == b"/usr"
    names.moved(b"/work/b", b"/work/a")
    assert names.resolve(b"/work/a/l") == b"/usr"
    assert names.resolve(b"/work/b/l") == b"/work/b/l"


def test_a_folder_that_becomes_a_link(root: Path, names: PathResolver) -> None:
    assert names.resolve(b"/usr/bin/x") == b"/usr/bin/x"
    names.moved(b"/usr/bin", b"/usr/was")
    names.linked(b"/usr/bin", b"/work")
    assert names.resolve(b"/usr/bin/x") == b"/work/x"


def test_interpreter(names: PathResolver) -> None:
    assert names.interpreter(b"/usr/bin/sh") == b"/usr/bin/interpreter"
    assert names.interpreter(b"/usr/bin/interpreter") == b"/usr/bin/interpreter"
    assert names.interpreter(b"/usr/bin/fifo") is None
    assert names.interpreter(b"/none") is None


PART = st.sampled_from([b"a", b"b", b"..", b".", b"", b"\xff\n"])
PATH = st.builds(
    lambda parts, root: (b"/" if root else b"") + b"/".join(parts), st.lists(PART, max_size=6), st.booleans()
)


@given(st.lists(st.tuples(PATH, PATH), max_size=8), st.lists(st.tuples(PATH, PATH), max_size=4), PATH)
def test_always_absolute_and_without_dots(
    links: list[tuple[bytes, bytes]], moves: list[tuple[bytes, bytes]], name: bytes
) -> None:
    names = PathResolver(None)
    for path, target in links:
        names.linked(names.resolve(path, b"/", False), target)
    for old, new in moves:
        names.moved(names.resolve(old, b"/", False), names.resolve(new, b"/", False))
    found = names.resolve(name, b"/a")
    assert found.startswith(b"/")
    assert not {b"", b".", b".."} & set(found[1:].split(b"/")) or found == b"/"
