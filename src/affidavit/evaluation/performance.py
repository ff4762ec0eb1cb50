"""Timing a solution and a baseline from outside of their processes, for the grader ``performance``.

The clock is the machine's monotonic clock, read by this process. It starts when the command may begin: a shell in the
sandbox waits for a line and then becomes the command, so that interpreter, imports and all else count. It stops when
the last byte of the result has come and nothing holds the pipe any more; a result that is late is none. The time
counts only if these very bytes are right. Nothing that runs in the sandbox has a say in any of it.

Each run has a new sandbox: no cache, process or file of one repetition is there in the next, and nothing of the
solution's is there while the baseline runs. Each input is new, made from a secret after all processes of the agent are
gone, and comes only after the clock has started.
"""

import hashlib
import hmac
import os
import secrets
import selectors
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Literal

from affidavit.evaluation.sandbox_capture import Capture
from affidavit.evaluation.separate import GradingPlace, Runs
from affidavit.evaluation.specs import SolutionHost, Verifier, copy_readable, solution_spec, verifier_spec
from affidavit.grading import (
    HARNESS,
    MOST_ROUNDS,
    TESTS,
    VERIFIER_LOGS,
    PerformanceGrader,
    RewardError,
    TimedPair,
    TimedRun,
    Timings,
    read_left,
    speed_up,
)
from affidavit.sandbox import RootFilesystem, Streams

_MOST_BYTES = 16 << 20
# What a sandbox may take to come and go, beside the time that a run may take.
_SPARE_MS = 60_000
_MAKE_INPUTS = f"""
n=0
for seed; do
  n=$((n + 1))
  {TESTS}/"$PROGRAM" "$seed" >{VERIFIER_LOGS}/input-$n || {{ echo "$n $?" >{VERIFIER_LOGS}/failed; exit 0; }}
done
"""
_CHECK = f"""
n=0
while [ -e {HARNESS}/input-$((n + 1)) ]; do
  n=$((n + 1))
  for which in solution baseline; do
    {TESTS}/"$PROGRAM" {HARNESS}/input-$n {HARNESS}/$which-$n {HARNESS}/baseline-$n </dev/null >/dev/null 2>&1
    echo "$?"
  done
done >{VERIFIER_LOGS}/statuses
"""
# Says that it is there, waits for a line, and becomes the command.
_STARTED = 'echo; read -r go; exec "$@"'


Which = Literal["solution", "baseline"]
_BOTH: tuple[Which, Which] = ("solution", "baseline")


class _Fault(Exception):
    """The task is at fault, in a sentence."""


@dataclass(frozen=True)
class Timing:
    """One timed run.

    Attributes:
        ns: from the line that lets the command begin to the end of its standard output, nanoseconds.
        output: what it wrote, cut at one byte more than is taken.
        fault: why it is no result, in a sentence; None where it may be one.
    """

    ns: int
    output: bytes
    fault: str | None = None

    @property
    def facts(self) -> TimedRun:
        """What is kept of it."""
        return TimedRun(ns=self.ns, output=hashlib.sha256(self.output).hexdigest(), fault=self.fault)


# Which of the two ran first, the solution's and the baseline's.
_Repetition = tuple[Which, Timing, Timing]


@dataclass(frozen=True)
class Measurement:
    """The measurement of one ``performance`` grader.

    Attributes:
        grader: with its settings.
        place: what its sandboxes are made of.
        folder: a private folder, which does not exist.
        submission: a digest of the changes that are carried over.
        keep: runs a sandbox whose record goes into the bundle.
        number: of the first stage ``timed`` that is free.
    """

    grader: PerformanceGrader
    place: GradingPlace
    folder: Path
    submission: str
    keep: Runs
    number: int = 1

    def measure(self) -> Timings:
        """Time all repetitions, or as many as make the grade certain.

        Raises:
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
            Interrupted: the run is being stopped.
        """
        secret = secrets.token_bytes(32)
        self.folder.mkdir()
        try:
            asked = self.grader.settings.repetitions
            inputs = self._inputs("inputs", secret, range(asked))
            timed = self._repeated(inputs)
            if self._is_open(timed):
                inputs += self._inputs("more-inputs", secret, range(asked, MOST_ROUNDS * asked))
                timed += self._repeated(inputs, timed)
            if not _is_wrong(timed) and self.grader.is_shown(_ratios(timed)):
                timed = self._checked(inputs[: len(timed)], timed)
        except _Fault as fault:
            return Timings(secret=secret.hex(), error=str(fault))
        runs = tuple(
            TimedPair(
                input=hashlib.sha256(data).hexdigest(), first=first, solution=solution.facts, baseline=baseline.facts
            )
            for data, (first, solution, baseline) in zip(inputs, timed, strict=False)
        )
        return Timings(secret=secret.hex(), runs=runs)

    def _repeated(self, inputs: Sequence[bytes], before: Sequence[_Repetition] = ()) -> list[_Repetition]:
        """The repetitions on these inputs that come after those before, to the end or to where nothing can be shown."""
        if len(set(inputs)) < len(inputs):
            program = self.grader.settings.inputs
            raise _Fault(f"tests/{program} made the same input of different seeds; let it follow from its argument")
        timed: list[_Repetition] = []
        for number, data in enumerate(inputs[len(before) :], len(before) + 1):
            first: Which = secrets.choice(_BOTH)
            pair = {which: self._time(which, number, data) for which in _from(first)}
            solution, baseline = pair["solution"], pair["baseline"]
            if baseline.fault:
                raise _Fault(f"the baseline gave no result: {baseline.fault}")
            if not self.grader.settings.check and solution.fault is None and solution.output != baseline.output:
                solution = replace(solution, fault="it is not the baseline's")
            timed.append((first, solution, baseline))
            if solution.fault or not self.grader.can_be_shown(_ratios([*before, *timed])):
                break
        return timed

    def _is_open(self, timed: Sequence[_Repetition]) -> bool:
        ratios = _ratios(timed)
        return not _is_wrong(timed) and self.grader.can_be_shown(ratios) and not self.grader.is_shown(ratios)

    def _inputs(self, name: str, secret: bytes, numbers: range) -> list[bytes]:
        settings = self.grader.settings
        told = f"{self.place.task.digest} {self.submission} {self.grader.name}"
        seeds = [
            str(int.from_bytes(hmac.digest(secret, f"{told} {number}".encode(), "sha256")[:6])) for number in numbers
        ]
        script = ("/bin/sh", "-c", _MAKE_INPUTS, "sh", *seeds)
        left = self._verify(name, script, settings.inputs, None, "failed", *_numbered("input", len(seeds)))
        if failed := left["failed"]:
            number, status = failed.decode("ascii", "replace").split()
            raise _Fault(f"tests/{settings.inputs} ended with status {status} for the seed {seeds[int(number) - 1]}")
        return [left[file] or b"" for file in _numbered("input", len(seeds))]

    def _checked(self, inputs: list[bytes], timed: list[_Repetition]) -> list[_Repetition]:
        """The same, with what the task's own check says of the results."""
        program = self.grader.settings.check
        if program is None:
            return timed
        shown = self.folder / "results"
        shown.mkdir()
        for number, (data, (_, solution, baseline)) in enumerate(zip(inputs, timed, strict=True), 1):
            for name, content in (("input", data), ("solution", solution.output), ("baseline", baseline.output)):
                (shown / f"{name}-{number}").write_bytes(content)
        copy_readable(shown, self.folder / "shown")
        left = self._verify("check", ("/bin/sh", "-c", _CHECK), program, self.folder / "shown", "statuses")
        statuses = (left["statuses"] or b"").split()
        if len(statuses) != 2 * len(timed):
            raise _Fault(f"tests/{program} could not be run for every result")
        checked = []
        for (first, solution, baseline), right, base in zip(timed, statuses[::2], statuses[1::2], strict=True):
            if base != b"0":
                raise _Fault(f"tests/{program} refuses the baseline's own result")
            fault = None if right == b"0" else f"tests/{program} refuses it"
            checked.append((first, replace(solution, fault=fault), baseline))
        return checked

    def _verify(
        self, name: str, argv: tuple[str, ...], program: str, harness: Path | None, *files: str
    ) -> dict[str, bytes | None]:
        """What a program of the tests leaves, in a sandbox that nothing of the agent's has been in."""
        place = self.place
        copy = self.folder / name / "tests"
        copy.parent.mkdir()
        copy_readable(place.task.tests.folder, copy)
        stage = place.stages.open(name)
        verifier = Verifier(copy, argv, harness, {"PROGRAM": program})
        spec = verifier_spec(place.task, place.pristine, place.settings, verifier, stage.sandbox)
        with place.stages.run(stage, spec, self.folder / f"{name}.parquet") as (_, sandbox):
            try:
                return {file: read_left(sandbox.scratch(VERIFIER_LOGS), file) for file in files}
            except RewardError as error:
                raise _Fault(f"tests/{program}: {error}") from None

    def _time(self, which: Which, number: int, data: bytes) -> Timing:
        settings, place = self.grader.settings, self.place
        solution = which == "solution"
        command = settings.command if solution or settings.baseline is None else settings.baseline
        rootfs: RootFilesystem = place.solved if solution else place.pristine
        name = f"timed-{self.number + number - 1}" if solution else f"baseline-{number}"
        stage = place.stages.open(name)
        host = SolutionHost(("/bin/sh", "-c", _STARTED, "sh", *command), self._bench, {})
        spec = solution_spec(place.task, rootfs, place.settings, host, stage.sandbox)
        limits = replace(spec.limits, wall_ms=round(settings.timeout_sec * 1000) + _SPARE_MS)
        spec = replace(spec, limits=limits)

        def run(streams: Streams) -> Capture:
            try:
                if solution:
                    with self.keep(stage, spec, streams) as (captured, _):
                        return captured
                with place.stages.run(stage, spec, self.folder / f"{name}.parquet", streams=streams) as (captured, _):
                    return captured
            finally:
                # Where it never came to be, its result would be waited for.
                streams.close()

        return time_run(run, partial(place.stages.end, stage), data, settings.timeout_sec)

    @property
    def _bench(self) -> Path:
        folder = self.folder / "bench"
        if not folder.exists():
            named = self.grader.settings.bench
            if named is None:
                folder.mkdir()
            else:
                copy_readable(self.place.task.tests.folder / named, folder)
        return folder


def time_run(run: Callable[[Streams], Capture], end: Callable[[], None], data: bytes, timeout_s: float) -> Timing:
    """Time a command that a sandbox waits to begin.

    Args:
        run: runs the sandbox to its end, with these standard streams. It writes a line when it is ready, and begins
            when it has read one.
        end: kills the sandbox.
        data: the command's standard input.
        timeout_s: for the command, seconds.

    Raises:
        SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
    """
    stdin, feed = os.pipe2(os.O_CLOEXEC)
    result, stdout = os.pipe2(os.O_CLOEXEC)
    output, fault, began = b"", "", 0
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, Streams(stdin, stdout))
        try:
            with os.fdopen(feed, "wb", buffering=0) as sink, os.fdopen(result, "rb", buffering=0) as source:
                # Until this line comes, there is nothing but our own shell.
                ready = source.read(1)
                began = time.monotonic_ns()
                if ready:
                    output, fault = _exchange(sink, source, b"go\n" + data, began + round(timeout_s * 1e9))
                took = time.monotonic_ns() - began
        except BaseException:
            end()
            raise
        if fault:
            end()
        captured = running.result()
    if not fault:
        if captured.exit.code != 0:
            status, signal = captured.exit.code, captured.exit.signal
            fault = (
                f"the command ended with status {status}" if signal is None else f"signal {signal} ended the command"
            )
        elif captured.halted:
            fault = "its sandbox was stopped"
    return Timing(took, output, fault or None)


def _exchange(sink: FileIO, source: FileIO, data: bytes, deadline: int) -> tuple[bytes, str]:
    """Write all of an input, close that, and read all of a result.

    Returns:
        The result, and why it is none; empty where it may be one.
    """
    waiting, output = memoryview(data), bytearray()
    os.set_blocking(sink.fileno(), False)
    os.set_blocking(source.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(sink, selectors.EVENT_WRITE)
        selector.register(source, selectors.EVENT_READ)
        while (left := deadline - time.monotonic_ns()) > 0:
            for key, _ in selector.select(left / 1e9):
                if key.fileobj is source:
                    chunk = source.read(1 << 16)
                    if chunk == b"":
                        return bytes(output), ""
                    output += chunk or b""
                    if len(output) > _MOST_BYTES:
                        return bytes(output), f"it is larger than {_MOST_BYTES >> 20} MiB"
                    continue
                try:
                    waiting = waiting[sink.write(waiting[: 1 << 16]) or 0 :]
                except BrokenPipeError:
                    # A command may know its result before it has read everything.
                    waiting = waiting[:0]
                if not waiting:
                    selector.unregister(sink)
                    sink.close()
    return bytes(output), "there was no result in time"


def _is_wrong(timed: Sequence[_Repetition]) -> bool:
    return any(solution.fault for _, solution, _ in timed)


def _ratios(timed: Sequence[_Repetition]) -> list[float]:
    return [speed_up(solution.ns, baseline.ns) for _, solution, baseline in timed]


def _from(first: Which) -> tuple[Which, Which]:
    return ("solution", "baseline") if first == "solution" else ("baseline", "solution")


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(1, count + 1)]
