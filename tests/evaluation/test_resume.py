"""A run that was interrupted goes on: no trial is lost, none is there twice."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.evaluation import Agent, Job, RunError, RunOptions, RunResult, run_jobs, run_suite
from affidavit.runs import LEDGER, RUN_STATEMENT, read_ledger, verify_run
from affidavit.signing import load_key
from affidavit.tasks import load_task
from harness import EBPF, SOLVE, Command, Home, Silent, wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]


def run(task: Path, out: Path) -> RunResult:
    options = RunOptions(EBPF.runtime, EBPF.recorder, 2, 1, out)
    return run_jobs([Job(load_task(task), Agent.shell(SOLVE))], options, Silent())


def resume(task: Path, folder: Path) -> RunResult:
    return run_suite(task, None, RunOptions(resume=folder), Silent())


def sealed(folder: Path, home: Home) -> list[str]:
    """Digests of the bundles that the ledger knows; the run verifies."""
    key = load_key(home.keys).public
    verification = verify_run(folder, [key])
    assert verification.ok, [check.detail for check in verification.checks if not check.ok]
    ledger = read_ledger(folder / LEDGER, key)
    return [attempt.bundle for several in ledger.history.attempts.values() for attempt in several if attempt.bundle]


def cut(folder: Path, lines: int) -> None:
    """Leave so many lines of the ledger, as if the run had been killed then."""
    whole = (folder / LEDGER).read_bytes().splitlines(keepends=True)
    (folder / LEDGER).write_bytes(b"".join(whole[:lines]))
    (folder / RUN_STATEMENT).unlink()


def test_a_run_that_was_killed_goes_on(affidavit: Command, task: Make, tmp_path: Path, at_home: Home) -> None:
    folder = task()
    started = affidavit.start("run", folder, "--agent-cmd", f"sleep 1; {SOLVE}", "--trials", "3")

    def at_work() -> bool:
        ledgers = [*tmp_path.glob(f"runs/*/{LEDGER}")]
        return bool(ledgers and ledgers[0].read_bytes().count(b'"kind":"sandbox"') == 2)

    try:
        # The first run packs the machine's programs.
        wait_for(lambda: at_work() or started.poll() is not None, 300)
    finally:
        os.kill(started.pid, signal.SIGKILL)
        started.communicate()
    [left] = (tmp_path / "runs").iterdir()
    unfinished = affidavit("verify", left)
    assert unfinished.status == 1
    assert (
        "2 of 3 planned trials have no end: tiny/cmd/1 (attempt 1 came to: sandbox), tiny/cmd/2 (never"
        in unfinished.out
    )
    ran = affidavit("run", folder, "--resume", left, "--json")
    assert ran.status == 0, ran.err
    assert [(trial["trial"], trial["verdict"]) for trial in ran.json["trials"]] == [(n, "pass") for n in range(3)]
    assert len(sealed(left, at_home)) == 3
    checked = affidavit("verify", left)
    assert "interrupted and resumed 1 times" in checked.out
    assert "tried more than once: tiny/cmd/1" in checked.out


@pytest.mark.parametrize("lines", [2, 3, 6, 10, 12, 19, 23])
def test_a_run_goes_on_from_any_point(at_home: Home, task: Make, tmp_path: Path, lines: int) -> None:
    folder = task()
    first = run(folder, tmp_path / "runs").folder
    before = sealed(first, at_home)
    assert len(before) == 2
    whole = (first / LEDGER).read_bytes().count(b"\n")
    cut(first, min(lines, whole))
    # A bundle is there only once its verdict is in the ledger: lines 9 and 19.
    if lines < 9:
        shutil.rmtree(first / "tiny/0/bundle")
    if lines < 19:
        shutil.rmtree(first / "tiny/1/bundle")
    result = resume(folder, first)
    assert [trial.judgement.verdict.value for trial in result.trials] == ["pass", "pass"]
    after = sealed(first, at_home)
    kept = (lines >= 9) + (lines >= 19)
    assert (len(after), after[:kept]) == (2, before[:kept])


def test_a_run_that_lacks_only_its_statement_gets_it(at_home: Home, task: Make, tmp_path: Path) -> None:
    folder = task()
    first = run(folder, tmp_path / "runs").folder
    ledger = (first / LEDGER).read_bytes()
    # Killed while it wrote the statement.
    (first / RUN_STATEMENT).rename(first / f".{RUN_STATEMENT}.0123456789ab.tmp")
    resume(folder, first)
    assert len(sealed(first, at_home)) == 2
    assert (first / LEDGER).read_bytes() == ledger
    assert [*first.glob(".*.tmp")] == []
    with pytest.raises(RunError, match="the run is closed"):
        resume(folder, first)


def test_a_bundle_that_the_ledger_does_not_know_is_not_taken(at_home: Home, task: Make, tmp_path: Path) -> None:
    folder = task()
    first, other = (run(folder, tmp_path / "runs").folder for _ in range(2))
    cut(first, 20)
    shutil.rmtree(first / "tiny/1")
    shutil.copytree(other / "tiny/1", first / "tiny/1")
    with pytest.raises(RunError, match="tiny/1/bundle: is there, and the ledger does not know it"):
        resume(folder, first)


def test_another_task_is_not_gone_on_with(affidavit: Command, task: Make, tmp_path: Path) -> None:
    folder = task()
    first = run(folder, tmp_path / "runs").folder
    cut(first, 12)
    (folder / "instruction.md").write_text("Write 43 into the file answer.\n")
    ran = affidavit("run", folder, "--resume", first)
    assert (ran.status, "tasks.tiny.digest is sha256:" in ran.err) == (2, True)
    ran = affidavit("run", folder, "--resume", first, "--plan", first / "plan.dsse.json")
    assert (ran.status, "leave --plan out" in ran.err) == (2, True)
