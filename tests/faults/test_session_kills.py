"""Sessions of which a process on the machine (a recorder, the runtime, a gateway) is killed at random moments.

``make test-kills`` kills a hundred times and tells what was killed when.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import affidavit
from affidavit.runs import LEDGER, read_ledger
from affidavit.verification import own_keys, verify
from harness import Home, parent, processes, reap_orphans

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]
KILLS = int(os.environ.get("AFFIDAVIT_KILLS", "4"))
DENIES = {"files": {"read": ["/**"], "write": ["/workspace/**", "/tmp/**"], "deny": ["/workspace/secret", "/tests/**"]}}
PHASES = ("open", "setup", "exec", "freeze", "aftermath", "grade", "seal")
SESSION = """
import sys
import affidavit

def begin(phase):
    print(phase, flush=True)
    sys.stdin.readline()

task, runs, command, script = sys.argv[1:]
begin("open")
access = affidavit.AccessOptions(affidavit.open_models(["model-1"], script=script))
with affidavit.open_session(task, runtime="runc", recorder="ebpf", out=runs, access=access) as session:
    begin("setup")
    session.setup(["sh", "-c", "echo hidden >secret"])
    begin("exec")
    for _ in range(3):
        session.exec(["sh", "-c", command])
    begin("freeze")
    session.freeze()
    begin("aftermath")
    session.exec(["cat", "answer"], origin="harness")
    begin("grade")
    judgement = session.grade()
    begin("seal")
    session.seal()
print("done", judgement.verdict, flush=True)
"""


@contextmanager
def at_work(task: Path, runs: Path, command: str) -> Iterator["subprocess.Popen[str]"]:
    """A session in a process of its own, which tells each phase and waits for a line before it begins."""
    script = task.with_suffix(".json")
    script.write_text('{"answers": [{"text": "nothing", "repeat": true}]}')
    words = [sys.executable, "-c", SESSION, str(task), str(runs), command, str(script)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as session:
        yield session


def on_the_machine(of: int) -> list[tuple[int, str]]:
    """The processes below another one that are in no sandbox, and what they are called."""
    own = Path("/proc/self/ns/pid").readlink()
    found, waiting = [], [of]
    while waiting:
        above = waiting.pop()
        for pid in processes(lambda pid, line: True):
            with suppress(OSError):
                if parent(pid) == above and Path(f"/proc/{pid}/ns/pid").readlink() == own:
                    waiting.append(pid)
                    found.append((pid, Path(f"/proc/{pid}/comm").read_text().strip()))
    return found


def play(
    task: Path, runs: Path, command: str, phase: str, after_s: float, dice: random.Random
) -> tuple[dict[str, float], str, str]:
    """Run a session, and kill some process of its a while after a phase has begun.

    Returns:
        How long each phase took, what was killed, and what the session said last.
    """
    took: dict[str, float] = {}
    killed, said, began = "", "", 0.0
    with at_work(task, runs, command) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        assert session.stderr is not None
        for line in session.stdout:
            if said in PHASES:
                took[said] = time.monotonic() - began
            said, began = line.strip(), time.monotonic()
            if said in PHASES:
                session.stdin.write("\n")
                session.stdin.flush()
            if said == phase:
                time.sleep(after_s)
                if victims := on_the_machine(session.pid):
                    pid, killed = dice.choice(victims)
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        error = session.stderr.read()
        assert session.wait(120) in (0, 1), error
    reap_orphans()
    return took, killed, said


def test_no_session_passes_without_a_whole_record(at_home: Home, task: Make, tmp_path: Path) -> None:
    folder = task(contract=DENIES)
    dice, table = random.Random(), Counter[tuple[str, str, str]]()
    longest = (0.0, "", "")
    usual, _, said = play(folder, tmp_path / "first", "echo 42 >answer", "", 0, dice)
    assert said == "done pass"
    for number in range(KILLS):
        rude = number % 4 == 3
        command = "cat secret; echo 42 >answer" if rude else "echo 42 >answer"
        phase, runs = dice.choice(PHASES), tmp_path / f"runs-{number}"
        began = time.monotonic()
        _, killed, said = play(folder, runs, command, phase, dice.uniform(0, usual[phase]), dice)
        longest = max(longest, (time.monotonic() - began, phase, killed))
        if not runs.exists():
            # Killed before there was a session.
            assert said == "open"
            table[phase, killed, "no session"] += 1
            continue
        (run,) = runs.iterdir()
        ((attempt,),) = read_ledger(run / LEDGER, own_keys()[0]).history.attempts.values()
        table[phase, killed or "nothing", str(attempt.verdict)] += 1
        assert attempt.ended, (phase, killed)
        if attempt.bundle is not None:
            (bundle,) = run.rglob("bundle")
            found = verify(bundle)
            assert found.ok, (phase, killed, [check for check in found.checks if not check.ok])
        # One that was killed when all was recorded and graded makes no difference.
        if attempt.verdict == "pass":
            assert attempt.bundle is not None
            assert not rude, (phase, killed)
        elif said == "done fail" or attempt.verdict == "fail":
            raise AssertionError((phase, killed, "an honest agent failed, or a rude one was not found"))
        if said == "done violation":
            assert attempt.verdict == "violation"
    for (phase, killed, verdict), count in sorted(table.items()):
        print(f"{phase:10} {killed:16} {verdict:13} {count}")
    print(f"the longest took {longest[0]:.1f} s: {longest[2]} killed in {longest[1]}")
    # Removes what the last one left, if it could not.
    with affidavit.open_session(folder, runtime="runc", recorder="ebpf", out=tmp_path / "last"):
        pass
