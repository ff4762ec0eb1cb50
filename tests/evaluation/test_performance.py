"""Trials that are timed: whole ones, and how a command is timed."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.evaluation.performance import time_run
from affidavit.evaluation.preflight import check_graders
from affidavit.evaluation.sandbox_capture import Capture
from affidavit.events import empty_counts
from affidavit.evidence import locate
from affidavit.recorder import RecordSummary
from affidavit.sandbox import Exit, Output, Streams
from affidavit.tasks import TaskError, load_task
from affidavit.verification import verify
from harness import EBPF, Outcome, Trials

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

SLOW = "#!/bin/sh\nread -r word\nsleep 0.5\nexpr length $word\n"
FAST = "printf '#!/bin/sh\\nread -r word\\nexpr length $word\\n' >length.sh\n"
GRADER = """
[[affidavit.graders]]
kind = "performance"
command = ["/bin/sh", "/workspace/length.sh"]
inputs = "inputs"
speedup = 1.5
source = "half a second of sleep is most of what the start state does"
repetitions = 6
"""


def timed(task: Make, graders: str = GRADER, **files: str) -> Path:
    """To write the length of a word, which the start state sleeps over."""
    start = {"environment/root/workspace/length.sh": SLOW, "tests/inputs": "#!/bin/sh\necho x$1\n"}
    return task(graders=graders, solve=FAST, files={**start, **{f"tests/{name}": text for name, text in files.items()}})


def message(outcome: Outcome) -> str:
    return str(outcome.json("grade.json")["graders"][0]["message"])


def measured(outcome: Outcome) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = outcome.json("grade.json")["timings"]["performance"]["runs"]
    return runs


def test_a_faster_program_is_paid_and_its_bundle_says_why(trials: Trials, task: Make) -> None:
    folder = timed(task)
    outcome = trials(EBPF, folder, FAST)
    assert (outcome.verdict, outcome.score) == ("pass", 1.0), message(outcome)
    runs = measured(outcome)
    assert len({run["input"] for run in runs}) == 6
    assert all(run["solution"]["output"] == run["baseline"]["output"] for run in runs)
    assert all(run["baseline"]["ns"] > 500_000_000 for run in runs)
    # What was timed is recorded, and the grade follows from the times.
    assert locate(outcome.bundle, "timed-6/events.parquet").is_file()
    again = verify(outcome.bundle, task=folder)
    assert again.ok
    assert "graded again: performance" in {check.detail for check in again.checks}


def test_no_faster_is_decided_early(trials: Trials, task: Make) -> None:
    # Neither by a result that is kept for the next one, nor by one that is kept for its own later.
    outcome = trials(
        EBPF, timed(task), "sed -i 's,sleep,cat /tmp/kept 2>/dev/null || sleep,; $s,$, | tee /tmp/kept,' length.sh"
    )
    assert (outcome.verdict, outcome.score) == ("fail", 0.0)
    assert "less than 1.5 times as fast" in message(outcome)
    # Of 18 repetitions at most 4 may be too slow.
    assert len(measured(outcome)) == 5


def test_what_is_late_by_chance_gets_more_repetitions(trials: Trials, task: Make) -> None:
    # Slow on the first input that is made each time: once is too often in 6 repetitions, and twice is not in 18.
    folder = timed(
        task, inputs="#!/bin/sh\n[ -e /tmp/made ] || echo x$1y\n[ -e /tmp/made ] && echo x$1\ntouch /tmp/made\n"
    )
    slow = "printf '#!/bin/sh\\nread -r word\\ncase $word in *y) sleep 0.6;; esac\\nexpr length $word\\n' >length.sh\n"
    outcome = trials(EBPF, folder, slow)
    assert (outcome.verdict, outcome.score) == ("pass", 1.0), message(outcome)
    assert len(measured(outcome)) == 18
    assert verify(outcome.bundle, task=folder).ok


def test_a_check_of_the_tasks_own_decides_what_is_right(trials: Trials, task: Make) -> None:
    check = '#!/bin/sh\n[ "$(cat "$2")" -eq "$(cat "$3")" ] && [ "$(expr length "$(cat "$1")")" -eq "$(cat "$2")" ]\n'
    folder = timed(task, f'{GRADER}check = "check"\n', check=check)
    wrong = trials(EBPF, folder, "echo 'echo 7' >length.sh")
    assert (wrong.verdict, wrong.score) == ("fail", 0.0)
    assert message(wrong) == "a result is wrong, and so no time counts: tests/check refuses it"


def test_the_tasks_own_faults_are_errors(trials: Trials, task: Make) -> None:
    same = trials(EBPF, timed(task, inputs="#!/bin/sh\necho x\n"), FAST)
    assert same.verdict == "error"
    assert "made the same input of different seeds" in same.reasons


def test_a_program_that_is_not_there_is_named_before_anything_runs(task: Make) -> None:
    table = (
        '[[affidavit.graders]]\nkind = "performance"\ncommand = ["./it"]\ninputs = "x.py"\nspeedup = 2\nsource = "s"\n'
    )
    with pytest.raises(TaskError, match=r"task\.toml:\d+: .*inputs.* names tests/x\.py, which is no file"):
        check_graders(load_task(task(graders=table)))


def captured(code: int | None, signal: int | None = None) -> Capture:
    summary = RecordSummary("test", 0, 0, True, (), (), empty_counts(), {})
    return Capture(Exit(code, signal, False, False, 1), Output(b"", b"", 0), summary, False)


class Program:
    """Stands for a sandbox whose command does this to its streams, in a thread of its own."""

    def __init__(self, answer: bytes, code: int = 0, *, lingers: bool = False) -> None:
        self._answer, self._code, self._lingers = answer, code, lingers
        self._ended = threading.Event()
        self.read = b""

    def run(self, streams: Streams) -> Capture:
        with os.fdopen(os.dup(streams.stdin), "rb") as stdin, os.fdopen(os.dup(streams.stdout), "wb", 0) as stdout:
            streams.close()
            stdout.write(b"\n")
            assert stdin.readline() == b"go\n"
            self.read = stdin.read()
            stdout.write(self._answer)
            if self._lingers:
                self._ended.wait()
        return captured(self._code)

    def end(self) -> None:
        self._ended.set()


def test_a_command_is_fed_and_read_to_the_end() -> None:
    program = Program(b"x" * 3_000_000)
    data = os.urandom(2_000_000)
    timing = time_run(program.run, program.end, data, 60)
    assert (program.read, len(timing.output), timing.fault) == (data, 3_000_000, None)
    assert timing.ns > 0


def test_a_result_that_does_not_end_in_time_is_none() -> None:
    program = Program(b"at once", lingers=True)
    timing = time_run(program.run, program.end, b"", 0.2)
    assert timing.fault == "there was no result in time"
    assert timing.ns >= 200_000_000


def test_a_command_that_fails_gives_no_result() -> None:
    program = Program(b"42", code=3)
    assert time_run(program.run, program.end, b"", 60).fault == "the command ended with status 3"


def test_a_result_without_end_is_cut_off() -> None:
    program = Program(b"x" * (17 << 20))

    def run(streams: Streams) -> Capture:
        try:
            return program.run(streams)
        except BrokenPipeError:
            return captured(None, 13)

    assert time_run(run, program.end, b"", 60).fault == "it is larger than 16 MiB"
