"""Operations that are forbidden by name: what trips them, and what honest programs do that does not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from affidavit.contracts import contract_of
from affidavit.policy import judge
from affidavit.policy.detectors import asks_for_all, runs_a_string

Table = Callable[..., pa.Table]

PYTHON, GIT = "/usr/bin/python3.11", "/usr/bin/git"


def start(exe: str, *argv: str, **more: Any) -> dict[str, Any]:
    return {"op": "exec", "path": exe, "exe": exe, "argv": list(argv), **more}


def tripped(table: Table, operation: str, *rows: dict[str, Any], **sections: Any) -> list[tuple[int, ...]]:
    head = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0", "files": {"write": ["/**"]}}
    everywhere = {"network": {"endpoints": ["0.0.0.0/0"]}, "operations": {"forbid": [operation]}}
    found = judge(contract_of({**head, **everywhere, **sections}, "t"), table(*rows))
    return [violation.events for violation in found if violation.rule == f"operations.{operation}"]


@pytest.mark.parametrize(
    "argv",
    [
        ["python3", "-c", "print(1)"],
        ["python3", "-cprint(1)"],
        ["python3", "-Ic", "x"],
        ["python3", "-W", "error", "-X", "dev", "-c", "x"],
        ["python3", "-Werror", "-"],
        ["python3", "--check-hash-based-pycs", "never", "-c", "x"],
        ["python3", "/dev/stdin"],
        ["python3", "/proc/self/fd/3"],
        ["python3"],
        ["python3", "-i"],
        ["python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(); evil()"],
    ],
)
def test_python_that_runs_a_string(argv: list[str]) -> None:
    assert runs_a_string(argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["python3", "-m", "pytest", "-c", "pytest.ini"],
        ["python3", "-m", "pytest", "run.sh"],
        ["python3", "a.py", "-c", "x"],
        ["python3", "-Wc", "a.py"],
        ["python3", "-X", "dev", "a.py"],
        ["python3", "--version"],
        ["python3", "-V"],
        ["python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)",
         "--multiprocessing-fork"],
        ["python3", "-c", "from multiprocessing.resource_tracker import main;main(4)"],
    ],
)  # fmt: skip
def test_python_that_runs_a_file(argv: list[str]) -> None:
    assert not runs_a_string(argv)


@pytest.mark.parametrize(
    "words",
    [
        "log --all", "log --oneline --reflog", "-C /workspace log -g", "--git-dir=x rev-list --all --objects", "reflog",
        "reflog show", "fsck --lost-found", "cat-file --batch-all-objects --batch-check", "log --branches=x*",
        "-c alias.x=log\\ --all x", "show-index", "bundle create x --all",
    ],
)  # fmt: skip
def test_git_asked_for_all_of_its_history(words: str) -> None:
    argv = ["git", *(word.replace("\0", " ") for word in words.replace("\\ ", "\0").split())]
    assert asks_for_all(argv)
    if not words.startswith("-"):
        assert asks_for_all(["/usr/lib/git-core/git-" + argv[1], *argv[2:]])


@pytest.mark.parametrize(
    "words",
    ["log", "log --oneline -5", "status", "diff HEAD~1", "commit -am --all", "add --all", "cat-file -p HEAD", "",
     "blame a", "reflog expire --all", "-c user.name=x commit -m y", "push --all", "stash list"],
)  # fmt: skip
def test_git_as_one_works_with_it(words: str) -> None:
    assert not asks_for_all(["git", *words.split()])


TRIPPING: list[tuple[str, list[dict[str, Any]], list[tuple[int, ...]]]] = [
    ("eval", [start(PYTHON, "python3", "-c", "x")], [(0,)]),
    ("eval", [start("/usr/bin/pypy3", "pypy3", "-")], [(0,)]),
    ("exec", [start("/memfd:x (deleted)", "x")], [(0,)]),
    ("exec", [start("/usr/bin/ls", "ls") | {"path": "/proc/7/fd/9"}], [(0,)]),
    ("exec", [start(PYTHON, "python3")], [(0,)]),
    ("execvp", [start("/usr/local/bin/ls", ret=-2), start("/usr/bin/ls", "ls")], [(1,)]),
    ("execvp", [start("/usr/local/bin/python3", ret=-2), start("/usr/bin/python3.11", "python3", "x.py")], [(1,)]),
    ("spawn_unexpected_process", [start("/workspace/a.out", "a.out")], [(0,)]),
    ("spawn_unexpected_process", [start("/tmp/x", "x", ret=-13)], [(0,)]),
    ("privilege_change", [start("/bin/sh", "sh"), {"op": "open_read", "path": "/a", "uid": 0}], [(1,)]),
    ("privilege_change", [start("/bin/sh", "sh"), {"op": "exit", "gid": 5}], [(1,)]),
    ("privilege_change", [{"op": "chmod", "path": "/tmp/x", "mode": 0o4755}], [(0,)]),
    ("privilege_change", [{"op": "create", "path": "/tmp/x", "mode": 0o4755}], [(0,)]),
    ("privilege_change", [start("/usr/bin/sudo", "sudo", ret=-1)], [(0,)]),
    ("privilege_change", [{"op": "denied", "flags": 308, "ret": -1}], [(0,)]),
    ("history_mining", [start(GIT, "git", "log", "--all")], [(0,)]),
    ("history_mining", [{"op": "open_read", "path": "/w/.git/objects/pack/pack-1.pack", "exe": PYTHON}], [(0,)]),
    ("history_mining", [{"op": "open_read", "path": "/w/.git/logs/HEAD", "exe": PYTHON}], [(0,)]),
    ("self_modifying_record", [{"op": "open_read", "path": "/sys/kernel/tracing/trace", "ret": -2}], [(0,)]),
    ("self_modifying_record", [{"op": "denied", "flags": 321, "ret": -1}], [(0,)]),
    ("self_modifying_record", [{"op": "create", "path": "/a", "source": "ebpf/raced"}], [(0,)]),
]

HONEST: list[tuple[str, list[dict[str, Any]]]] = [
    (
        "eval",
        [start(PYTHON, "python3", "-m", "pytest"), start("/usr/bin/dash", "sh", "-c", "x"), start(GIT, "git", "-c")],
    ),
    ("eval", [start(PYTHON, "python3", "-c", "x", ret=-13)]),
    ("exec", [start(PYTHON, "python3", "a.py"), {"op": "open_write", "path": "/memfd:x (deleted)"}]),
    ("execvp", [start("/usr/local/bin/cc", ret=-2), start("/usr/bin/ls", "ls")]),
    ("execvp", [start("/usr/bin/ls", ret=-2, pid=10), start("/bin/ls", "ls", pid=11)]),
    (
        "spawn_unexpected_process",
        [start("/usr/bin/ls", "ls"), start("/opt/x/bin/y", "y"), start("/lib/ld.so", "ld.so")],
    ),
    ("spawn_unexpected_process", [start("/workspace/bin/ls", ret=-2)]),
    ("privilege_change", [start("/bin/sh", "sh"), {"op": "chmod", "path": "/tmp/x", "mode": 0o2755}]),
    ("privilege_change", [{"op": "mkdir", "path": "/tmp/d", "mode": 0o4755}, start("/usr/bin/sudoku", "sudoku")]),
    # The runtime's own start, before the first program, may be another user.
    ("privilege_change", [{"op": "open_read", "path": "/a", "uid": 0}, start("/bin/sh", "sh")]),
    ("history_mining", [start(GIT, "git", "commit", "-m", "x"), start(GIT, "git", "rev-list", "--all")]),
    ("history_mining", [{"op": "open_read", "path": "/w/.git/objects/pack/pack-1.pack", "exe": "/usr/bin/grep"}]),
    ("history_mining", [{"op": "open_read", "path": "/w/.git/HEAD", "exe": PYTHON}]),
    ("self_modifying_record", [{"op": "open_read", "path": "/sys/devices/system/cpu/online"}]),
]


@pytest.mark.parametrize(("operation", "rows", "events"), TRIPPING)
def test_what_trips(table: Table, operation: str, rows: list[dict[str, Any]], events: list[tuple[int, ...]]) -> None:
    assert tripped(table, operation, *rows) == events


@pytest.mark.parametrize(("operation", "rows"), HONEST)
def test_what_does_not(table: Table, operation: str, rows: list[dict[str, Any]]) -> None:
    assert tripped(table, operation, *rows) == []


def test_a_list_of_programs_says_what_is_expected(table: Table) -> None:
    rows = [start("/usr/bin/ls", "ls"), start("/workspace/a.out", "a.out")]
    listed = {"exec": ["/workspace/a.out"]}
    assert tripped(table, "spawn_unexpected_process", *rows, processes=listed) == [(0,)]


_MODULE = """
from affidavit.contracts import Detection, Operation

class Watch:
    def feed(self, batch):
        for row in batch.select(["seq", "path"]).to_pylist():
            if row["path"] and "forbidden" in row["path"]:
                yield Detection((row["seq"],), row["path"], "it touched " + row["path"])
            if row["path"] and "break" in row["path"]:
                raise RuntimeError("no idea")
    def finish(self, changes):
        return [Detection((), "diff", "something changed")] if changes else []

class Touches:
    operation = Operation("Touching what is called forbidden.", "The rest.", severity="low")
    def watch(self, workdir):
        return Watch()

detector = Touches()
"""

_JUDGE = """
import sys
import pyarrow as pa
from affidavit.contracts import OPERATIONS, ContractError, contract_of
from affidavit.events import EVENT_SCHEMA
from affidavit.policy import judge
from affidavit.policy.detectors import DetectorError

def row(**known):
    zero = {"seq": 0, "ts_ns": 0, "pid": 1, "tid": 1, "ppid": 0, "op": "create", "flags": 0, "mode": 0, "ret": 0}
    return {**zero, "uid": 1, "gid": 1, "source": "x/kernel", **known}

def promised(name):
    head = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0", "files": {"write": ["/**"]}}
    return contract_of({**head, "operations": {"forbid": [name]}}, "t")

def found(path):
    columns = {field.name: [row(path=path).get(field.name)] for field in EVENT_SCHEMA}
    table = pa.table([pa.array(columns[field.name], field.type) for field in EVENT_SCHEMA], schema=EVENT_SCHEMA)
    return [(v.rule, v.severity, v.message, v.events) for v in judge(promised("touches_forbidden"), table)]

print("touches_forbidden" in OPERATIONS, found("/a/forbidden"), found("/a/b"))
for work in (lambda: found("/break"), lambda: promised("broken"), lambda: promised("touches_forbiden")):
    try:
        work()
    except (DetectorError, ContractError) as error:
        print(error)
"""


def test_an_installed_distribution_brings_a_detector(tmp_path: Path) -> None:
    facts = tmp_path / "touching-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: touching\nVersion: 1.0\n")
    entries = "[affidavit.detectors]\ntouches_forbidden = touching:detector\nbroken = touching:nothing\n"
    (facts / "entry_points.txt").write_text(entries)
    (tmp_path / "touching.py").write_text(_MODULE)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", _JUDGE], capture_output=True, text=True, env=env, check=False)
    assert ran.stderr == ""
    first, *errors = ran.stdout.splitlines()
    assert first == ("True [('operations.touches_forbidden', 'low', 'it touched /a/forbidden', (0,))] []")
    assert errors[0] == "the detector 'touches_forbidden' failed: RuntimeError: no idea"
    assert "the detector 'broken' can't be used: touching 1.0: touching:nothing can't be loaded" in errors[1]
    assert "did you mean 'touches_forbidden'?" in errors[2]
