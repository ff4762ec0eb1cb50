"""Files that are read before a program in a sandbox asks for them."""

import ctypes
import mmap
import os
import subprocess
from pathlib import Path

import pytest

from affidavit.grading import separation
from affidavit.grading.test_run import plan
from affidavit.sandbox.read_ahead import files_of_imports, reading_ahead
from harness import wait_until_gone

_BEGINS = """
import sys
sys.path.insert(0, sys.argv[1])
import tests_broker, solution_server
print(*(module for module in sys.modules if not module.startswith(("affidavit", "_"))), sep="\\n")
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def names(files: tuple[str, ...]) -> set[str]:
    return {Path(file).name.partition(".")[0] for file in files}


def test_files_of_imports_are_found_once_for_each_usr(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of_imports(["json.*", "no_such_module", "fractions"], state)
    assert {"python3", "scanner", "tool", "fractions"} <= names(files)
    assert all(file.startswith("/usr/") and Path(file).exists() for file in files)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("looked again"))
    assert files_of_imports(["json.*", "no_such_module", "fractions"], state) == files


def test_another_usr_is_looked_at_again(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files_of_imports(["json"], state)
    [kept] = (state / "images").iterdir()
    kept.write_text(kept.read_text().replace('"usr": "', '"usr": "0').replace("json", "other"))
    assert "scanner" in names(files_of_imports(["json"], state))


def test_a_list_names_what_the_brokers_import() -> None:
    inside = Path(separation.__file__).parent / "inside"
    listed = "import sys\nfor name in sys.argv[1:]: __import__(name)\nprint(*sys.modules, sep='\\n')"
    python = ["/usr/bin/python3", "-I", "-S", "-c"]
    known = subprocess.run([*python, listed, *plan.BROKER_IMPORTS], capture_output=True, text=True, check=True)
    begins = subprocess.run([*python, _BEGINS, inside], capture_output=True, text=True, check=True)
    assert set(begins.stdout.split()) - set(known.stdout.split()) <= {"tests_broker", "solution_server"}


def test_files_come_into_memory_and_are_let_go(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"x" * 100_000)
    os.mkfifo(tmp_path / "pipe")
    before = set(Path("/proc/self/fd").iterdir())
    with there.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if in_memory(file.fileno()):
            pytest.skip("the file system of the temporary folder keeps its files in memory")
        with reading_ahead(tmp_path, ["/usr/there", "/usr/missing", "/usr/pipe", "/usr/there"]):
            pass
        wait_until_gone(lambda: [] if in_memory(file.fileno()) else ["not in memory"])
    assert set(Path("/proc/self/fd").iterdir()) == before


def in_memory(descriptor: int) -> bool:
    """Whether the first page lies in the page cache (mincore(2)), found out without reading it."""
    residency = ctypes.c_ubyte()
    with mmap.mmap(descriptor, mmap.PAGESIZE, access=mmap.ACCESS_COPY) as pages:
        first = ctypes.c_char.from_buffer(pages)
        assert ctypes.CDLL(None).mincore(ctypes.byref(first), mmap.PAGESIZE, ctypes.byref(residency)) == 0
        del first
    return bool(residency.value & 1)
