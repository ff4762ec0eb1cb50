"""A recorder that dies, stops or can't keep up: the trial never passes, and ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from affidavit.evaluation import choose_runtime
from affidavit.policy import Judge, Violation
from affidavit.recorder.ebpf import EbpfRecorder
from harness import EBPF, GVISOR, PTRACE, SOLVE, Trials, Way, loaders, processes, start_time, wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

WORK = f"{SOLVE} : >/workspace/started; sleep 30"
# Calls that can't be folded into one, each of which is an event.
FILES = 40_000
FLOOD = f"""{SOLVE}
: >/workspace/started
python3 -c '
import os
for i in range({FILES}):
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
            return sorted(loaders(os.getpid()), key=lambda pid: (start_time(pid), pid))[:1]
        case "ptrace":
            pipe = f"/proc/{os.getpid()}/fd/".encode()
            return processes(lambda _, line: line.split(b"\0")[0].endswith(b"strace") and pipe in line)
        case _:
            return processes(lambda _, line: b"runsc-sandbox" in line.split(b"\0")[0] and os.fsencode(state) in line)


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


@pytest.mark.parametrize("way", [EBPF, PTRACE], ids=str)
def test_a_recorder_that_stands_still_for_a_while_loses_nothing_unsaid(trials: Trials, task: Make, way: Way) -> None:
    with trials.started(way, task(), FLOOD) as end:
        [helper] = helpers(way, trials.home.state)
        os.kill(helper, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(helper, signal.SIGCONT)
        outcome = end()
    tried = {event["path"] for event in outcome.events() if event["op"] == "unlink"}
    if outcome.verdict == "inconclusive":
        assert outcome.evidence["lost"] > 0
    else:
        assert (outcome.verdict, len(tried)) == ("pass", FILES)


def test_a_recorder_that_stands_still_for_good_is_ended(
    trials: Trials, task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["affidavit.evaluation.sandbox_capture"], "_SILENT_S", 0.5)
    with trials.started(EBPF, task(), FLOOD) as end:
        [helper] = helpers(EBPF, trials.home.state)
        os.kill(helper, signal.SIGSTOP)
        outcome = end()
    assert (outcome.verdict, outcome.evidence["complete"]) == ("inconclusive", False)


@pytest.mark.parametrize("way", [PTRACE, GVISOR], ids=str)
@pytest.mark.parametrize("part", ["_call", "finish"])
def test_a_fault_in_a_recorder_makes_a_trial_inconclusive(
    trials: Trials, task: Make, way: Way, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("a fault")

    monkeypatch.setattr(f"affidavit.recorder.{way.recorder}.transcript.Transcript.{part}", fail)
    outcome = trials(way, task(), SOLVE)
    assert outcome.score is None
    # strace may end with its reader before the sandbox is there, which then can't be made.
    assert outcome.verdict == "inconclusive" or (part, outcome.verdict) == ("_call", "error")
    assert "the recorder failed: TypeError: a fault" in outcome.reasons or outcome.verdict == "error"


def test_a_flood_that_does_not_fit_is_counted(trials: Trials, task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = replace(choose_runtime("runc", "ebpf"), recorder=EbpfRecorder(ring_bytes=16 << 10))
    monkeypatch.setattr("affidavit.evaluation.preflight.choose_runtime", lambda *_: chosen)
    outcome = trials(EBPF, task(), FLOOD)
    assert (outcome.verdict, outcome.score) == ("inconclusive", None)
    lost = outcome.evidence["lost"]
    assert lost > 0
    assert f"{lost} events did not fit" in outcome.reasons
    # Each call was either recorded or counted as lost.
    assert outcome.evidence["events"] + lost >= FILES


def test_what_it_did_before_the_record_broke_still_counts(
    trials: Trials, task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Violation] = []
    feed = Judge.feed

    def feed_and_tell(judge: Judge, batch: pa.RecordBatch) -> list[Violation]:
        new = feed(judge, batch)
        seen.extend(new)
        return new

    monkeypatch.setattr(Judge, "feed", feed_and_tell)
    contract = {"files": {"read": ["/**"], "write": ["/workspace/**"], "deny": ["/workspace/forbidden"]}}
    with trials.started(EBPF, task(contract=contract), f"cat /workspace/forbidden; {WORK}") as end:
        wait_for(lambda: seen)
        [helper] = helpers(EBPF, trials.home.state)
        os.kill(helper, signal.SIGKILL)
        outcome = end()
    assert (outcome.verdict, outcome.rules) == ("violation", {"files.deny"}), outcome.reasons
    assert "record is incomplete" in outcome.reasons


def test_the_programs_go_with_the_loader(trials: Trials, task: Make) -> None:
    def loaded() -> set[int]:
        shown = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True)
        return {row["id"] for row in json.loads(shown.stdout)}

    with trials.started(EBPF, task(), WORK) as end:
        [loader] = helpers(EBPF, trials.home.state)
        held = "".join(info.read_text() for info in Path(f"/proc/{loader}/fdinfo").iterdir())
        programs = {int(number) for number in re.findall(r"^prog_id:\s*(\d+)", held, re.MULTILINE)}
        assert programs <= loaded()
        assert programs
        os.kill(loader, signal.SIGKILL)
        end()
    wait_for(lambda: not programs & loaded())
