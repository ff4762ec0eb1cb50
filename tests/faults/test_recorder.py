"""A recorder that dies, stops or can't keep up: the trial never passes, and ends."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from harness import EBPF, GVISOR, PTRACE, SOLVE, Trials, Way, loaders, processes, start_time

from affidavit.evaluation import choose_runtime
from affidavit.recorder.ebpf import EbpfRecorder

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

WORK = f"{SOLVE} : >/workspace/started; sleep 30"
# Calls that can't be folded into one, each of which is an event.
FLOOD = f"""{SOLVE}
: >/workspace/started
python3 -c '
import os
for i in range(60_000):
    try:
        os.unlink("/tmp/%0200d" % i)
    except OSError:
        pass
'"""


def helpers(way: Way, state: Path) -> list[int]:
    """The processes outside of the sandbox that the record of the agent hangs on."""
    match way.recorder:
        case "ebpf":
            # The other one waits for the grading.
            return sorted(loaders(os.getpid()), key=start_time)[:1]
        case "ptrace":
            pipe = f"/proc/{os.getpid()}/fd/".encode()
            return processes(lambda _, line: line.split(b"\0")[0].endswith(b"strace") and pipe in line)
        case _:
            return processes(lambda _, line: b"runsc-sandbox" in line.split(b"\0")[0] and os.fsencode(state) in line)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_recorder_that_is_killed_ends_the_sandbox(trials: Trials, task: Make, way: Way) -> None:
    with trials.started(way, task(), WORK) as end:
        found = helpers(way, trials.home.state)
        assert found
        began = time.monotonic()
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        outcome = end()
    assert time.monotonic() - began < 10
    assert (outcome.verdict, outcome.score) == ("inconclusive", None)
    assert outcome.evidence["complete"] is False
    assert "record is incomplete" in outcome.reasons


@pytest.mark.parametrize("kind", ["ebpf", "ptrace"])
def test_a_recorder_that_stands_still_for_a_while_loses_nothing_unsaid(trials: Trials, task: Make, kind: str) -> None:
    way = {"ebpf": EBPF, "ptrace": PTRACE}[kind]
    with trials.started(way, task(), FLOOD) as end:
        held = helpers(way, trials.home.state)
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1)
        for pid in held:
            os.kill(pid, signal.SIGCONT)
        outcome = end()
    said = {re.search(rb"\d{200}", event["path"].encode()) for event in outcome.events() if event["op"] == "unlink"}
    if outcome.verdict != "inconclusive":
        assert outcome.verdict == "pass"
        assert len(said) == 60_000
