"""What `auto` takes, and that it says why."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.evaluation import RunError, choose_runtime
from affidavit.recorder import Availability
from affidavit.recorder.ebpf import EbpfRecorder
from affidavit.recorder.ptrace import PtraceRecorder
from affidavit.sandbox.runtime import RuntimeCommand
from harness import Command

Make = Callable[..., Path]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Hides runtimes of the machine."""

    def hide(*names: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in {"runc", "runsc"} - set(names):
            found = shutil.which(name)
            assert found, f"{name} is not installed"
            (folder / name).symlink_to(found)
        monkeypatch.setattr(RuntimeCommand, "environment", lambda self: {"PATH": str(folder)})

    return hide


def test_the_best_is_taken_where_it_works() -> None:
    chosen = choose_runtime()
    assert (chosen.runtime.name, chosen.recorder.name, chosen.second_best) == ("runc", "ebpf", False)


def test_the_next_best_says_why(without: Callable[..., None]) -> None:
    without("runc")
    chosen = choose_runtime()
    assert (chosen.runtime.name, chosen.recorder.name, chosen.second_best) == ("gvisor", "gvisor", True)
    assert "runc does not work here" in chosen.why


def test_one_that_is_not_proven_here_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EbpfRecorder, "available", lambda self: Availability(True, "loads", unproven="an old kernel"))
    chosen = choose_runtime("runc")
    assert (chosen.recorder.name, chosen.second_best) == ("ptrace", True)
    assert "ebpf is not proven here (an old kernel); --recorder ebpf takes it" in chosen.why
    assert choose_runtime("runc", "ebpf").recorder.name == "ebpf"
    monkeypatch.setattr(PtraceRecorder, "available", lambda self: Availability(False, "no strace", "get it"))
    assert choose_runtime("runc").recorder.name == "ebpf"


def test_nothing_that_works_is_an_error_with_every_mend(without: Callable[..., None]) -> None:
    without("runc", "runsc")
    with pytest.raises(RunError, match=r"apt install runc.*apt install runsc"):
        choose_runtime()


def test_a_run_on_the_floor_tells_the_user(affidavit: Command, task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Availability(False, "no BTF", "boot a kernel that has it")
    monkeypatch.setattr(EbpfRecorder, "available", lambda self: broken)
    monkeypatch.setattr("affidavit.evaluation.preflight.choose_runtime", choose_runtime)
    ran = affidavit("run", task(), "--agent", "oracle")
    assert ran.status == 0, ran
    assert "runc + ptrace: the best for runc that works here, since ebpf does not work (no BTF)" in ran.err
