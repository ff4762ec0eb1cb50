"""Ending affidavit itself in the middle of a run, gently and not."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from affidavit.sandbox import clean_stale
from affidavit.verification import verify
from harness import (
    EBPF,
    GVISOR,
    SOLVE,
    Command,
    Home,
    Way,
    at_work,
    leftovers,
    processes,
    state_of,
    wait_for,
    wait_until_gone,
)

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

AGENT = ". /workspace/todo"
QUICK = {"files": {"environment/root/workspace/todo": "echo 42 >answer\n"}}
SLOW = {"files": {"environment/root/workspace/todo": "echo 42 >answer; sleep 60 & : >started; sleep 60\n"}}


class Running:
    """A run in a process of its own, whose second task is at work."""

    def __init__(self, affidavit: Command, home: Home, folder: Path, way: Way, workers: int) -> None:
        self.home, self.folder = home, folder
        arguments = (
            "run",
            folder / "tasks",
            "--runtime",
            way.runtime,
            "--recorder",
            way.recorder,
            "--workers",
            workers,
        )
        temporary = folder / "temporary"
        temporary.mkdir()
        self.process = affidavit.start(*arguments, "--agent-cmd", AGENT, "--out", folder / "out", TMPDIR=str(temporary))
        wait_for(lambda: at_work(home.state) or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()

    def end(self, *signals: int) -> tuple[int, str, str]:
        """Send signals, one after the other, and wait: exit status, standard output, standard error."""
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.05)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err

    def members(self) -> list[int]:
        """Its processes that still run. A zombie does not: it waits for the machine's init, which takes its time."""
        return processes(lambda pid, _: os.getsid(pid) == self.process.pid and state_of(pid) != "Z")

    def left(self) -> list[str]:
        """What is still there of it, its own children included."""
        session = f"{self.process.pid}"
        orphans = self.members()
        found = [f"process {pid} of session {session} ({state_of(pid)})" for pid in orphans]
        found += [str(path) for path in (self.folder / "temporary").iterdir()]
        return [*found, *leftovers(self.home.state, self.folder, self.process.pid)]


@pytest.fixture
def running(affidavit: Command, at_home: Home, tmp_path: Path, task: Make) -> Iterator[Callable[..., Running]]:
    """Starts a run of two tasks, or of more where there are more workers; the first ends at once, the others take a
    minute."""
    task("tasks/a-quick", **QUICK)
    started: list[Running] = []

    def start(way: Way, workers: int = 1) -> Running:
        for letter in "bcdef"[:workers]:
            task(f"tasks/{letter}-slow", **SLOW)
        started.append(Running(affidavit, at_home, tmp_path, way, workers))
        return started[-1]

    yield start
    for run in started:
        for pid in {run.process.pid, *run.members()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.communicate()
    # A test that failed must not fail those after it.
    clean_stale(at_home.state)


def test_an_interrupt_ends_everything_and_keeps_what_is_finished(running: Callable[..., Running], way: Way) -> None:
    run = running(way)
    began = time.monotonic()
    status, out, err = run.end(signal.SIGINT)
    assert time.monotonic() - began < 10
    assert (status, out) == (130, "")
    assert err.splitlines()[-1].startswith("affidavit: interrupted")
    assert "Traceback" not in err
    wait_until_gone(run.left)
    [bundle] = run.folder.glob("out/*/*/*/bundle")
    assert bundle.parts[-3] == "a-quick"
    assert verify(bundle).ok


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_other_requests_to_end_do_the_same(running: Callable[..., Running], number: signal.Signals) -> None:
    run = running(EBPF)
    status, out, err = run.end(number)
    assert (status, out) == (130, "")
    assert "Traceback" not in err
    wait_until_gone(run.left)


def test_impatience_leaves_nothing_either(running: Callable[..., Running]) -> None:
    run = running(EBPF, workers=2)
    status, _, err = run.end(signal.SIGINT, signal.SIGINT, signal.SIGTERM)
    # A later one may come when everything is cleaned up and only the process itself is left to end.
    assert status in (130, -signal.SIGINT, -signal.SIGTERM)
    assert "Traceback" not in err
    wait_until_gone(run.left)


@pytest.mark.parametrize("delay_s", [0.2, 0.5, 0.8, 1.1])
def test_an_end_at_any_moment_leaves_nothing(
    affidavit: Command, at_home: Home, task: Make, tmp_path: Path, delay_s: float
) -> None:
    process = affidavit.start("run", task(), "--agent-cmd", f"{SOLVE} sleep 60", "--runtime", "runc", "--workers", 2)
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    # Killed by it where affidavit had not begun yet.
    assert process.returncode in (130, -signal.SIGINT), err
    wait_until_gone(lambda: leftovers(at_home.state, tmp_path, process.pid))
    assert not processes(lambda pid, _: os.getsid(pid) == process.pid and state_of(pid) != "Z")


def test_a_kill_ends_the_sandbox_and_the_next_run_removes_the_rest(
    running: Callable[..., Running], affidavit: Command, way: Way
) -> None:
    run = running(way)
    assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL
    # Nothing of it goes on, even where no other run comes.
    wait_until_gone(lambda: [left for left in run.left() if left.startswith(("process", "eBPF"))])
    assert run.left()
    assert list(run.folder.glob("out/*/b-slow/*/.bundle.*.tmp"))
    subprocess.run(["rm", "-rf", run.folder / "tasks/b-slow"], check=True)
    done = affidavit("run", run.folder / "tasks", "--agent", "oracle", "--out", run.folder / "other")
    assert done.status == 0, done
    wait_until_gone(run.left)
    assert [bundle.parts[-3] for bundle in run.folder.glob("out/*/*/*/bundle")] == ["a-quick"]


def test_another_run_that_still_works_is_left_alone(running: Callable[..., Running], affidavit: Command) -> None:
    run = running(GVISOR)
    before = set(run.left())
    done = affidavit("run", run.folder / "tasks/a-quick", "--agent", "oracle", "--out", run.folder / "other")
    assert done.status == 0
    assert before <= set(run.left())
    assert run.end(signal.SIGINT)[0] == 130
    wait_until_gone(run.left)
