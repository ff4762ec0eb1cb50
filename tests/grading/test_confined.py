"""Readers of hostile bytes run without privileges and come to an end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from affidavit.grading.confined import Overrun, run_confined


def test_what_it_returns_comes_back():
    assert run_confined("builtins:sorted", [3, 1, 2]) == [1, 2, 3]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
def test_it_has_no_privileges_and_no_network():
    assert run_confined("os:getresuid") == [65534] * 3
    assert run_confined("os:getgroups") == []
    with pytest.raises(RuntimeError, match="PermissionError"):
        run_confined("os:listdir", "/root")
    with pytest.raises(RuntimeError, match="unreachable"):
        run_confined("socket:create_connection", ("127.0.0.1", 9))


GRADED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from material import material
from affidavit.grading import make_graders
from affidavit.tasks import GraderSpec
kinds = {
    "ast": {"checks": [{"type": "require", "path": "/w/a", "feature": {"definition": "f"}, "language": "python"}]},
    "value": {"checks": [{"type": "number", "answer": "/w/b", "expected": 2, "unit": "m"}]},
    "state_diff": {"checks": [{"type": "json", "path": "/w/c", "at": "/a", "equals": 1}]},
}
made = material(Path(sys.argv[2]), files={"/w/a": "def f(): pass", "/w/b": "200 cm", "/w/c": '{"a": 1}'})
for kind, settings in kinds.items():
    (named,) = make_graders([GraderSpec(kind, kind, settings=settings)])
    grade = named.grade(made)
    print(kind, grade.score, grade.error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read what nobody can")
def test_it_may_be_installed_where_only_root_can_read(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    python = f"{closed}/venv/bin/python"
    script = (
        f'mount -t tmpfs -o mode=700 none "{closed}" && mkdir "{closed}/venv" && '
        f'mount --bind "{sys.prefix}" "{closed}/venv" && exec "{python}" -c "$0" "$@"'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, GRADED, str(Path(__file__).parents[1]), str(tmp_path / "made")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["ast 1.0 None", "value 1.0 None", "state_diff 1.0 None"], done.stderr


def test_it_starts_no_process():
    with pytest.raises(RuntimeError, match="BlockingIOError"):
        run_confined("os:fork")


def test_its_memory_and_time_end():
    with pytest.raises(Overrun, match="memory"):
        run_confined("builtins:bytes", 8 << 30)
    with pytest.raises(Overrun, match="processor time"):
        run_confined("builtins:eval", "[0 for _ in iter(int, 1)]", cpu_seconds=1)


def test_a_crash_of_its_is_no_crash_of_ours():
    with pytest.raises(Overrun, match="crash"):
        run_confined("ctypes:string_at", 1)


def test_an_exception_of_its_is_told():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        run_confined("operator:truediv", 1, 0)


def test_what_goes_too_deep_is_too_much():
    with pytest.raises(Overrun, match="levels"):
        run_confined("builtins:eval", "(lambda f: f(f))(lambda f: f(f))")
