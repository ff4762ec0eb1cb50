"""The symlinks of a root file system, in its layers and in the machine's /usr."""

import os
from pathlib import Path

import pytest

from affidavit.sandbox import RootFilesystem, User, symlinks

ROOT = User(0, 0, "root", "/root")


def test_a_layer_hides_what_is_below_it(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for layer in (upper, lower):
        (layer / "usr").mkdir(parents=True)
    (lower / "lib").symlink_to("usr/lib")
    (lower / "usr" / "one").symlink_to("/below")
    (lower / "usr" / "two").symlink_to("/below")
    (lower / "usr" / "three").symlink_to("nowhere/at all")
    (upper / "usr" / "one").symlink_to("/above")
    (upper / "usr" / "two").write_text("no link any more")
    (upper / "usr" / os.fsdecode(b"\xff")).symlink_to(os.fsdecode(b"\xfe"))
    assert symlinks(RootFilesystem((upper, lower), False, "", ROOT)) == {
        "/lib": "usr/lib",
        "/usr/one": "/above",
        "/usr/three": "nowhere/at all",
        r"/usr/\xff": r"\xfe",
    }


def test_those_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usr = tmp_path / "usr"
    (usr / "bin").mkdir(parents=True)
    (usr / "bin" / "sh").symlink_to("dash")
    (usr / "up").symlink_to("..")
    monkeypatch.setattr("affidavit.sandbox.root_links.USR", usr)
    assert symlinks(RootFilesystem((), True, "", ROOT)) == {f"{usr}/bin/sh": "dash", f"{usr}/up": ".."}
