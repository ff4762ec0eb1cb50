"""The machine's /usr is packed once, and again only when it changed."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from affidavit.sandbox import look_at_usr, packed
from harness import unmount_below


@pytest.fixture
def usr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small folder in the place of /usr."""
    if os.geteuid() != 0:
        pytest.skip("sandboxes need root")
    folder = tmp_path / "usr"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/tool").write_text("one")
    monkeypatch.setattr(packed, "USR", folder)
    look_at_usr.cache_clear()
    yield folder
    look_at_usr.cache_clear()


def key() -> str:
    look_at_usr.cache_clear()
    return look_at_usr().result()


def test_what_leaves_another_key(usr: Path) -> None:
    before = key()
    (usr / "bin/passing").touch()
    (usr / "bin/passing").unlink()
    assert key() == before
    changes: list[Callable[[], object]] = [
        lambda: (usr / "bin/other").touch(),
        lambda: (usr / "bin/tool").write_text("two"),
        lambda: (usr / "bin/tool").chmod(0o700),
        lambda: (usr / "bin").chmod(0o700),
        lambda: (usr / "bin/tool").rename(usr / "bin/renamed"),
        lambda: (usr / "empty").mkdir(),
    ]
    for change in changes:
        time.sleep(0.02)  # the kernel's clock for the times of files
        change()
        assert key() != before
        before = key()


def test_a_process_takes_the_image_that_another_made_since(usr: Path, tmp_path: Path) -> None:
    state, target = tmp_path / "state", tmp_path / "target"
    target.mkdir()
    packed.mount_usr(target, state)
    unmount_below(tmp_path)
    (mine,) = packed.images_dir(state).glob("usr-*")
    # Another process saw a change, packed anew, and removed the former image.
    (usr / "bin/tool").write_text("other")
    theirs = mine.with_name(f"usr-{packed._key_of(usr)}.erofs")
    mine.rename(theirs)
    kept = theirs.stat().st_ino
    packed.mount_usr(target, state)
    unmount_below(tmp_path)
    (now,) = packed.images_dir(state).glob("usr-*")
    assert (now, now.stat().st_ino) == (theirs, kept)
