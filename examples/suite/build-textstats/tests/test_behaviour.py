"""The program, built afresh, on inputs that the agent has not seen."""

import shutil
import subprocess

import pytest


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    project = tmp_path_factory.mktemp("build") / "project"
    shutil.copytree("/workspace", project, ignore=shutil.ignore_patterns("build", ".*"))
    subprocess.run(["make", "-C", str(project)], check=True, capture_output=True, timeout=60)
    return project / "build/textstats"


def printed(program, data):
    """What the program prints for this input; rubbish where it fails."""
    return subprocess.run([program], input=data, capture_output=True, timeout=30).stdout.decode("latin-1")


def expected(data):
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    words = len(data.split())
    mean = words / len(lines) if lines else 0
    longest = max(map(len, lines), default=0)
    return f"lines {len(lines)}\nwords {words}\nbytes {len(data)}\nlongest {longest}\nwords-per-line {mean:.2f}\n"


def test_nothing(program):
    assert printed(program, b"") == "lines 0\nwords 0\nbytes 0\nlongest 0\nwords-per-line 0.00\n"


def test_last_line_without_newline(program):
    assert printed(program, b"first line\nsecond") == expected(b"first line\nsecond")


def test_white_space_of_all_kinds(program):
    data = b"\t a\vb\fc\r\n   \n\nd\te \n"
    assert printed(program, data) == expected(data)


def test_every_byte_value(program):
    data = bytes(range(256)) * 3
    assert printed(program, data) == expected(data)


def test_long_input(program):
    data = b"".join(b"word " * (number % 40) + b"\n" for number in range(20000))
    assert printed(program, data) == expected(data)
