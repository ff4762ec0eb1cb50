"""Programs that are named by the digest of their file."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from affidavit.contracts import contract_of
from affidavit.policy import Judge
from affidavit.sandbox import RootFilesystem, User, pristine_program

Table = Callable[..., pa.Table]

GOOD, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@dataclass(frozen=True)
class Program:
    digest: str
    via: tuple[str, ...]


PROGRAMS = {
    "/opt/tool": Program(GOOD, ("/opt/tool",)),
    "/opt/link": Program(GOOD, ("/opt/link", "/opt/sub/tool")),
    "/opt/sub/tool": Program(GOOD, ("/opt/sub/tool",)),
    "/opt/other": Program(OTHER, ("/opt/other",)),
}


def run(path: str, exe: str | None = None) -> dict[str, Any]:
    return {"op": "exec", "path": path, "exe": exe or path}


def broken(table: Table, *rows: dict[str, Any], cut: int = 100, **sections: Any) -> list[int]:
    head = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0", "files": {"write": ["/**"]}}
    promised = contract_of({**head, "processes": {"exec": [GOOD, "/usr/bin/dash"]}, **sections}, "t")
    judging = Judge(promised, program_of=PROGRAMS.get)
    for start in range(0, len(rows), cut):
        for batch in table(*rows).slice(start, cut).to_batches():
            judging.feed(batch)
    return sorted(seq for violation in judging.finish() for seq in violation.events)


@pytest.mark.parametrize("cut", [1, 100])
def test_a_file_that_nothing_changed_is_known(table: Table, cut: int) -> None:
    rows = [run("/opt/tool"), run("/usr/bin/dash"), run("/opt/other"), run("/workspace/x")]
    assert broken(table, *rows, cut=cut) == [2, 3]


@pytest.mark.parametrize("cut", [1, 100])
@pytest.mark.parametrize(
    "change",
    [
        {"op": "open_write", "path": "/opt/sub/tool"},
        {"op": "rename", "path": "/workspace/x", "path2": "/opt/sub/tool"},
        {"op": "rename", "path": "/workspace/d", "path2": "/opt/sub"},
        {"op": "rename", "path": "/opt", "path2": "/opt2"},
        {"op": "link", "path": "/opt/sub/tool", "path2": "/workspace/alias"},
        {"op": "unlink", "path": "/opt/link"},
    ],
)
def test_what_was_changed_before_is_not(table: Table, change: dict[str, Any], cut: int) -> None:
    assert broken(table, run("/opt/link", "/usr/bin/dash"), change, run("/opt/link", "/usr/bin/dash"), cut=cut) == [2]
    failed = {**change, "ret": -30}
    assert broken(table, failed, run("/opt/link", "/opt/sub/tool"), cut=cut) == []


def test_in_a_scope(table: Table) -> None:
    scope = {"id": "sh", "for": ["/bin/sh"], "processes": {"exec": [OTHER]}}
    rows = [run("/usr/bin/dash"), run("/opt/other"), run("/opt/tool")]
    assert broken(table, *rows, scopes=[scope]) == [2]


def test_the_file_in_a_root_file_system(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for folder in (lower / "bin", lower / "opt", upper / "opt"):
        folder.mkdir(parents=True)
    (lower / "bin" / "tool").write_bytes(b"below")
    (lower / "opt" / "tool").write_bytes(b"hidden")
    (upper / "opt" / "tool").write_bytes(b"above")
    (upper / "opt" / "link").symlink_to("../bin/./tool")
    (upper / "opt" / "far").symlink_to("/opt/link")
    (upper / "opt" / "loop").symlink_to("loop")
    rootfs = RootFilesystem((upper, lower), False, "sha256:0", User())

    def digest(content: bytes) -> str:
        return "sha256:" + hashlib.sha256(content).hexdigest()

    above = pristine_program(rootfs, "/opt/tool")
    assert above is not None
    assert (above.digest, above.via) == (digest(b"above"), ("/opt/tool",))
    far = pristine_program(rootfs, "/opt/far")
    assert far is not None
    assert far.digest == digest(b"below")
    assert far.via == ("/opt/far", "/opt/link", "/bin/tool")
    for name in ("/opt/loop", "/opt", "/opt/none", "/opt/tool/x", "relative\\", "/../opt/gone"):
        assert pristine_program(rootfs, name) is None


def test_the_machines_own_programs() -> None:
    rootfs = RootFilesystem((), True, "sha256:0", User())
    found = pristine_program(rootfs, "/usr/bin/env")
    assert found is not None
    assert found.digest == "sha256:" + hashlib.sha256(Path("/usr/bin/env").resolve().read_bytes()).hexdigest()
