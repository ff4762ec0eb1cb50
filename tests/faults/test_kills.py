"""Runs that are killed at random moments and go on: no trial is lost, none is there twice, and what was sealed stays.

``make test-kills`` kills a hundred times.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.evidence import bundle_digest
from affidavit.runs import LEDGER, RUN_STATEMENT, read_ledger, read_plan, verify_run
from affidavit.signing import PublicKey, load_key
from harness import SOLVE, Command, Home

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]
KILLS = int(os.environ.get("AFFIDAVIT_KILLS", "4"))
TRIALS = 4


def test_no_trial_is_lost_or_doubled_by_kills(affidavit: Command, task: Make, tmp_path: Path, at_home: Home) -> None:
    folder = task()
    # The first makes the key, and the image of the machine's programs; how long the second takes says when to kill.
    assert affidavit("run", folder, "--agent-cmd", SOLVE).status == 0
    began = time.monotonic()
    affidavit.start("run", folder, "--agent-cmd", SOLVE, "--trials", TRIALS, "--workers", "2").communicate(timeout=300)
    usual = time.monotonic() - began
    key = load_key(at_home.keys).public
    known = {*(tmp_path / "runs").iterdir()}
    dice, kills, at_work = random.Random(), 0, 0
    run: Path | None = None
    sealed: dict[str, str] = {}
    while kills < KILLS or run is not None:
        again = ("--resume", run) if run else ("--agent-cmd", SOLVE, "--trials", TRIALS)
        process = affidavit.start("run", folder, *again, "--workers", "2")
        # Some come to their end unharmed.
        killed = kills < KILLS and killed_after(process, dice.uniform(0, 1.5 * usual))
        kills += killed
        if not killed:
            process.communicate(timeout=300)
        new = {*(tmp_path / "runs").iterdir()} - known
        assert len(new) <= 1
        run = new.pop() if new else None
        if run is None or not (run / LEDGER).exists():
            # Killed before there was anything to go on with.
            if run:
                shutil.rmtree(run)
            run, sealed = None, {}
            continue
        at_work += killed
        sealed = checked(run, key, sealed)
        if (run / RUN_STATEMENT).exists():
            finished(run, key)
            known.add(run)
            run, sealed = None, {}
        else:
            assert killed, process.returncode
    print(f"{kills} kills, {at_work} of them of a run with a ledger, in {len(known) - 2} runs")
    # Removes what the last one to be killed left.
    assert affidavit("run", folder, "--agent-cmd", SOLVE).status == 0


def killed_after(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Kill a process after a while; whether it was still at work."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    return False


def checked(run: Path, key: PublicKey, before: dict[str, str]) -> dict[str, str]:
    """The sealed bundles that the ledger of an interrupted run knows, by trial: all from before are among them, and
    each is in its place."""
    ledger = read_ledger(run / LEDGER, key)
    places = {trial.name: trial.place for trial in read_plan(run / "plan.dsse.json").plan.in_order}
    now = {}
    for name, attempts in ledger.history.attempts.items():
        bundles = [attempt.bundle for attempt in attempts if attempt.bundle]
        assert len(bundles) <= 1, f"{name} is there twice"
        if bundles:
            now[name] = bundles[0]
            assert bundle_digest(run / places[name] / "bundle") == bundles[0]
    assert before.items() <= now.items(), "a trial was lost"
    return now


def finished(run: Path, key: PublicKey) -> None:
    """A run that came to its end holds every trial once, and verifies."""
    verification = verify_run(run, [key])
    assert verification.ok, [check.detail for check in verification.checks if not check.ok]
    assert verification.facts is not None
    assert [trial.verdict for trial in verification.facts.trials] == ["pass"] * TRIALS
    assert len({trial.bundle for trial in verification.facts.trials}) == TRIALS
    assert len([*run.rglob("statement.dsse.json")]) == TRIALS
