"""What a sandbox changed, on real overlays, and what of it is carried over."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from affidavit.events import decode_name
from affidavit.sandbox import Change, RuntimeHooks, carry_over, changes_since, diff
from affidavit.sandbox.kernel import unmount
from affidavit.sandbox.layers import mount_overlay


@dataclass
class Overlay:
    """An overlay that can be changed; `merged` is what a sandbox sees."""

    lower: list[Path]
    upper: Path
    work: Path
    merged: Path

    def changes(self) -> dict[str, Change]:
        return {change.path: change for change in diff(self.upper, self.lower)}

    def kinds(self) -> dict[str, str]:
        return {path: f"{change.kind} {change.type}" for path, change in self.changes().items()}

    def carry(self, into: Path, allowed: Callable[[Change], bool] = lambda change: True) -> set[str]:
        """Paths that were not carried over."""
        return {
            change.path for change in carry_over(self.upper, self.lower, tuple(self.changes().values()), allowed, into)
        }


@pytest.fixture
def overlays(tmp_path: Path) -> Iterator[Callable[..., Overlay]]:
    if os.geteuid() != 0:
        pytest.skip("overlays need root")
    mounted: list[Path] = []

    def make(*lower: Path) -> Overlay:
        folder = tmp_path / f"overlay-{len(mounted)}"
        overlay = Overlay(list(lower), folder / "upper", folder / "work", folder / "merged")
        for part in (overlay.upper, overlay.work, overlay.merged):
            part.mkdir(parents=True)
        mount_overlay(overlay.lower, overlay.upper, overlay.work, overlay.merged)
        mounted.append(overlay.merged)
        return overlay

    yield make
    for folder in mounted:
        unmount(folder)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    lower = tmp_path / "base"
    (lower / "work/src/deep").mkdir(parents=True)
    (lower / "work/src/a.py").write_text("a = 1\n")
    (lower / "work/src/deep/b.py").write_text("b = 2\n")
    (lower / "work/link").symlink_to("src/a.py")
    (lower / "etc").mkdir()
    (lower / "etc/passwd").write_text("root\n")
    return lower


@pytest.fixture
def overlay(overlays: Callable[..., Overlay], base: Path) -> Overlay:
    return overlays(base)


def tree(folder: Path) -> dict[str, str]:
    """Names below a folder, with type and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            found[str(path.relative_to(folder))] = f"-> {path.readlink()}"
        elif stat.S_ISDIR(info.st_mode):
            found[str(path.relative_to(folder))] = "/"
        elif stat.S_ISREG(info.st_mode):
            found[str(path.relative_to(folder))] = path.read_text("utf-8", "replace")
        else:
            found[str(path.relative_to(folder))] = "?"
    return found


def test_nothing_is_changed_by_touching(overlay: Overlay) -> None:
    work = overlay.merged / "work"
    os.utime(work / "src/a.py", (1, 1))
    (work / "src/deep/b.py").write_text("b = 2\n")
    (work / "new").write_text("")
    (work / "new").unlink()
    (work / "src/deep").chmod(0o700)
    (work / "src/deep").chmod(0o755)
    assert (overlay.upper / "work/src/a.py").exists(), "copied up"
    assert overlay.changes() == {}


def test_kinds_of_change(overlay: Overlay) -> None:
    work = overlay.merged / "work"
    (work / "src/a.py").write_text("a = 2\n")
    (work / "src/deep/b.py").chmod(0o640)
    os.chown(work / "src/deep", 1000, 1000)
    (work / "link").unlink()
    (work / "link").symlink_to("/etc/passwd")
    (work / "new").mkdir(mode=0o711)
    (work / "new/file").write_text("x")
    (overlay.merged / "etc/passwd").unlink()
    os.mkfifo(work / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(work / "socket"))
    changes = overlay.changes()
    assert overlay.kinds() == {
        "/etc/passwd": "deleted file",
        "/work/fifo": "added fifo",
        "/work/link": "modified symlink",
        "/work/new": "added directory",
        "/work/new/file": "added file",
        "/work/socket": "added socket",
        "/work/src/a.py": "modified file",
        "/work/src/deep": "metadata directory",
        "/work/src/deep/b.py": "metadata file",
    }
    assert changes["/work/link"].target == "/etc/passwd"
    assert changes["/work/new"].mode == 0o711
    assert changes["/work/src/deep"].uid == 1000
    assert changes["/work/new/file"].size == 1
    assert changes["/work/new/file"].sha256 == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert changes["/etc/passwd"].sha256 is None
    assert changes["/etc/passwd"].size == 5


def test_a_deleted_folder_names_all_that_was_in_it(overlay: Overlay) -> None:
    (overlay.merged / "work/src/a.py").unlink()
    (overlay.merged / "work/src/deep/b.py").unlink()
    (overlay.merged / "work/src/deep").rmdir()
    (overlay.merged / "work/src").rmdir()
    gone = {"/work/src", "/work/src/a.py", "/work/src/deep", "/work/src/deep/b.py"}
    assert overlay.kinds().keys() == gone
    # Made again, it is opaque, and so is what is below it.
    (overlay.merged / "work/src/deep").mkdir(parents=True)
    (overlay.merged / "work/src/a.py").write_text("a = 1\n")
    assert overlay.kinds() == {"/work/src/deep/b.py": "deleted file"}
    (overlay.merged / "work/src/deep/c.py").write_text("c")
    assert overlay.kinds() == {"/work/src/deep/b.py": "deleted file", "/work/src/deep/c.py": "added file"}


def test_another_type(overlay: Overlay) -> None:
    work = overlay.merged / "work"
    (work / "link").unlink()
    (work / "link").mkdir()
    (work / "link/inside").write_text("")
    (work / "src/a.py").unlink()
    (work / "src/deep/b.py").unlink()
    (work / "src/deep").rmdir()
    (work / "src").rmdir()
    (work / "src").symlink_to("/etc")
    assert overlay.kinds() == {
        "/work/link": "modified directory",
        "/work/link/inside": "added file",
        "/work/src": "modified symlink",
        "/work/src/a.py": "deleted file",
        "/work/src/deep": "deleted directory",
        "/work/src/deep/b.py": "deleted file",
    }


def test_several_layers(overlays: Callable[..., Overlay], base: Path) -> None:
    first = overlays(base)
    (first.merged / "work/src/a.py").unlink()
    (first.merged / "work/src/deep/b.py").unlink()
    (first.merged / "work/src/deep").rmdir()
    (first.merged / "work/src/deep").mkdir()
    (first.merged / "work/src/deep/c.py").write_text("c")
    unmount(first.merged)
    second = overlays(first.upper, base)
    (second.merged / "work/src/a.py").write_text("a = 1\n")
    (second.merged / "work/src/deep/b.py").write_text("b = 2\n")
    (second.merged / "work/src/deep/c.py").unlink()
    assert second.kinds() == {
        "/work/src/a.py": "added file",
        "/work/src/deep/b.py": "added file",
        "/work/src/deep/c.py": "deleted file",
    }


def test_hostile_names(overlay: Overlay, tmp_path: Path) -> None:
    names = [b"a\nb", b"\xff\xfe", b"back\\slash", b" ", b"-rf", b"\x1b[2J", "ä".encode(), b"n" * 255, b"..."]
    for name in names:
        (overlay.merged / "work" / os.fsdecode(name)).write_bytes(b"x")
    changes = diff(overlay.upper, overlay.lower)
    assert {decode_name(change.path) for change in changes} == {b"/work/" + name for name in names}
    assert overlay.carry(tmp_path / "into") == set()
    assert {os.fsencode(path.name) for path in (tmp_path / "into/work").iterdir()} == set(names)


def test_depth_beyond_any_path(overlay: Overlay, tmp_path: Path) -> None:
    here = os.open(overlay.merged / "work", os.O_RDONLY)
    for _ in range(60):
        os.mkdir(b"d" * 100, dir_fd=here)
        inner = os.open(b"d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    changes = diff(overlay.upper, overlay.lower)
    assert 39 <= len(changes) <= 41, "all that has a name"
    overlay.carry(tmp_path / "into")


def test_large_and_many_named_files_are_read_once(overlay: Overlay, monkeypatch: pytest.MonkeyPatch) -> None:
    import affidavit.sandbox.changes as module

    read: list[bytes] = []
    original = module._hash
    monkeypatch.setattr(module, "_hash", lambda entry: read.append(entry.name) or original(entry))
    work = overlay.merged / "work"
    with (work / "terabyte").open("wb") as file:
        file.truncate(1 << 40)
    with (work / "hole").open("wb") as file:
        file.truncate(1 << 20)
    (work / "name").write_text("x")
    for number in range(50):
        (work / f"name-{number}").hardlink_to(work / "name")
    changes = overlay.changes()
    assert changes["/work/terabyte"].size == 1 << 40
    assert changes["/work/terabyte"].sha256 is None
    assert changes["/work/hole"].sha256 is not None
    assert len({changes[f"/work/name-{number}"].sha256 for number in range(50)}) == 1
    assert len(read) == 2


def test_fifos_and_devices_are_never_opened(overlay: Overlay, tmp_path: Path) -> None:
    # Opening a FIFO for reading would wait for ever.
    os.mkfifo(overlay.merged / "work/src/fifo")
    (overlay.merged / "work/src/a.py").unlink()
    os.mkfifo(overlay.merged / "work/src/a.py")
    os.mknod(overlay.merged / "work/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert overlay.kinds() == {
        "/work/null": "added device",
        "/work/src/a.py": "modified fifo",
        "/work/src/fifo": "added fifo",
    }
    assert overlay.carry(tmp_path / "into") == {"/work/null", "/work/src/a.py", "/work/src/fifo"}
    assert tree(tmp_path / "into") == {}


def test_carries_what_is_allowed(
    overlay: Overlay, overlays: Callable[..., Overlay], base: Path, tmp_path: Path
) -> None:
    work = overlay.merged / "work"
    (work / "src/a.py").write_text("a = 2\n")
    (work / "src/deep/b.py").unlink()
    (work / "src/evil.py").write_text("evil")
    (work / "out").mkdir()
    (work / "out/result").write_text("42")
    (work / "out/result").chmod(0o6755)
    os.chown(work / "out/result", 1000, 1000)
    (work / "out/result").chmod(0o6755)
    os.setxattr(work / "out/result", "user.note", b"x")
    (work / "out/link").symlink_to("result")
    (work / "out/escape").symlink_to("/etc/passwd")
    (overlay.merged / "etc/passwd").write_text("hacked")
    into = tmp_path / "into"
    refused = overlay.carry(
        into,
        lambda change: (
            change.path.startswith("/work/") and change.target != "/etc/passwd" and "evil" not in change.path
        ),
    )
    assert refused == {"/etc/passwd", "/work/out/escape", "/work/src/evil.py"}
    result = overlays(into, base)
    assert tree(result.merged) == {
        "etc": "/",
        "etc/passwd": "root\n",
        "work": "/",
        "work/link": "-> src/a.py",
        "work/out": "/",
        "work/out/link": "-> result",
        "work/out/result": "42",
        "work/src": "/",
        "work/src/a.py": "a = 2\n",
        "work/src/deep": "/",
    }
    info = (into / "work/out/result").stat()
    assert stat.S_IMODE(info.st_mode) == 0o755, "no set-id bits"
    assert (info.st_uid, info.st_gid) == (1000, 1000)
    assert os.listxattr(into / "work/out/result") == []
    assert info.st_ino != (overlay.upper / "work/out/result").stat().st_ino


def test_carries_all_of_it_faithfully(
    overlay: Overlay, overlays: Callable[..., Overlay], base: Path, tmp_path: Path
) -> None:
    work = overlay.merged / "work"
    (work / "src/a.py").unlink()
    (work / "src/deep/b.py").unlink()
    (work / "src/deep").rmdir()
    (work / "src/deep").write_text("a file now")
    (work / "link").unlink()
    (work / "link").mkdir(mode=0o700)
    (work / "link/x").write_text("x")
    (work / "link/y").hardlink_to(work / "link/x")
    (overlay.merged / "etc/passwd").unlink()
    (overlay.merged / "etc").rmdir()
    with (work / "hole").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"data")
    into = tmp_path / "into"
    assert overlay.carry(into) == set()
    result = overlays(into, base)
    expected, got = overlay.merged, result.merged
    assert sorted(path.relative_to(got) for path in got.rglob("*")) == sorted(
        path.relative_to(expected) for path in expected.rglob("*")
    )
    assert (got / "work/src/deep").read_text() == "a file now"
    assert stat.S_IMODE((got / "work/link").stat().st_mode) == 0o700
    assert (got / "work/link/y").read_text() == "x"
    assert (got / "work/hole").stat().st_size == 1 << 40
    assert (got / "work/hole").stat().st_blocks < 1000


def test_a_refused_loss_keeps_its_folders(
    overlay: Overlay, overlays: Callable[..., Overlay], base: Path, tmp_path: Path
) -> None:
    work = overlay.merged / "work"
    (work / "src/a.py").unlink()
    (work / "src/deep/b.py").unlink()
    (work / "src/deep").rmdir()
    (work / "src").rmdir()
    (work / "src").symlink_to("/tmp")
    into = tmp_path / "into"
    refused = overlay.carry(into, lambda change: not change.path.endswith("b.py"))
    assert refused == {"/work/src", "/work/src/deep", "/work/src/deep/b.py"}
    result = overlays(into, base)
    assert tree(result.merged / "work") == {
        "link": "-> src/a.py",
        "src": "/",
        "src/deep": "/",
        "src/deep/b.py": "b = 2\n",
    }


def test_what_is_in_a_refused_folder(
    overlay: Overlay, overlays: Callable[..., Overlay], base: Path, tmp_path: Path
) -> None:
    work = overlay.merged / "work"
    (work / "new").mkdir(mode=0o750)
    (work / "new/file").write_text("x")
    (work / "src").chmod(0o777)
    (work / "src/c.py").write_text("c")
    (work / "src/a.py").unlink()
    (work / "src/a.py").mkdir()
    (work / "src/a.py/inside").write_text("x")
    into = tmp_path / "into"
    refused = overlay.carry(into, lambda change: change.type != "directory")
    assert refused == {"/work/new", "/work/src", "/work/src/a.py", "/work/src/a.py/inside"}
    result = overlays(into, base)
    assert (result.merged / "work/new/file").read_text() == "x"
    assert stat.S_IMODE((result.merged / "work/src").stat().st_mode) == 0o755, "as it was"
    assert (result.merged / "work/src/a.py").read_text() == "a = 1\n"


def test_a_sandbox_cannot_forge_overlay_marks(make: Callable[..., Any], runtime: str) -> None:
    script = """
import os
for call in (
    lambda: os.mknod("/workspace/whiteout", 0o020000, 0),
    lambda: os.setxattr("/workspace", "trusted.overlay.opaque", b"y"),
    lambda: os.setxattr("/workspace", "trusted.overlay.redirect", b"/etc"),
):
    try: call(); print("done")
    except OSError: pass
open("/workspace/honest", "w").close()
"""
    with make(runtime, "/usr/bin/python3", "-c", script) as sandbox:
        sandbox.create(RuntimeHooks())
        sandbox.start()
        assert sandbox.wait(30)
        assert sandbox.output().stdout == b""
        changes = diff(sandbox.upper(), sandbox.layers)
    assert [(change.path, change.kind, change.uid) for change in changes] == [("/workspace/honest", "added", 1000)]


def test_what_came_between_two_states() -> None:
    def change(path: str, kind: str, text: str | None = "1", mode: int = 0o644) -> Change:
        return Change(path, kind, "file", mode, 0, 0, len(text or "1"), text, None)

    before = [
        change("/same", "added"),
        change("/sparse", "added"),
        change("/new", "added"),
        change("/gone", "added"),
        change("/locked", "modified"),
        change("/back", "modified"),
        change("/lost", "deleted"),
        change("/found", "deleted"),
        change("/again", "deleted"),
    ]
    after = [
        change("/same", "added"),
        # There was too much of it to be read again.
        change("/sparse", "added", None),
        change("/new", "added", "22"),
        change("/locked", "modified", mode=0),
        change("/lost", "deleted"),
        change("/found", "modified", "3"),
        change("/first", "modified"),
        change("/last", "deleted"),
    ]
    assert [(one.path, one.kind) for one in changes_since(before, after)] == [
        ("/again", "added"),
        ("/back", "modified"),
        ("/first", "modified"),
        ("/found", "added"),
        ("/gone", "deleted"),
        ("/last", "deleted"),
        ("/locked", "metadata"),
        ("/new", "modified"),
    ]
