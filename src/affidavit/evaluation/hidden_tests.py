"""Running the hidden tests in the second sandbox, and a control after or before it; round after round where need be."""

import hmac
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from affidavit.evaluation.specs import SolutionHost, Verifier, copy_readable
from affidavit.evaluation.stages import SandboxRun
from affidavit.evaluation.verifier_web import VerifierWeb, WebAccess
from affidavit.grading import (
    RUN_HERE,
    SCRIPT,
    VERIFIER_LOGS,
    Control,
    Left,
    LeftReport,
    LeftReward,
    ResultsError,
    RewardError,
    Round,
    Separation,
    Turned,
    VerifierPlan,
    VerifierRecord,
    missing_tools,
    read_left,
    read_lines,
    read_reward,
    read_ways,
    read_words,
)
from affidavit.sandbox import Exit, Limits, read_counters, stir_counters
from affidavit.tasks import CRLF, Task, has_crlf

_Item = TypeVar("_Item")

# Makes everything ready for the verifier of a stage, and gives what runs it; its frozen remains are there inside of the
# ``with``.
ReadyVerifier = Callable[[str, Verifier], Callable[[], SandboxRun]]


# Linux takes 128 KiB in one variable.
_MOST_ENVIRONMENT = 100_000
TOGETHER = Separation(False, "it was not tried")

# By the task's digest: of trials that run side by side, one at a time has tests and solution together. Two of them
# could tell each other what they expect, by how busy the machine is.
_TOGETHER_NOW: dict[str, threading.Lock] = {}


@dataclass(frozen=True)
class HiddenTests:
    """The hidden tests of a task, over the changes that are carried over.

    Attributes:
        task: the one whose tests run.
        plan: how they are run.
        place: a private folder.
        submission: a digest of the changes that are carried over.
        secret: of the trial; with the digests of task and submission it decides how tests are turned.
        separation: whether the solution has a sandbox of its own.
        web: what the tests have of the web; None: nothing.
        services: whether the tests and the solution reach services of the task.
    """

    task: Task
    plan: VerifierPlan
    place: Path
    submission: str
    secret: bytes
    separation: Separation = TOGETHER
    web: VerifierWeb | None = None
    services: bool = False

    def begin(self, ready: ReadyVerifier) -> VerifierRecord:
        """Run the first round.

        Args:
            ready: as in `round`.

        Raises:
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
        """
        plan = self.plan
        return VerifierRecord(
            framework=plan.settings.framework,
            credit=plan.settings.credit,
            expected=tuple(plan.expected),
            planned=plan.rounds,
            rounds_for="any" if self.separation.separate else plan.rounds_for,
            rounds=(self.round(1, ready),),
            separation=self.separation,
            secret=self.secret.hex(),
            computed=() if self.separation.separate else plan.computed(self.task.tests.folder),
            filling=self.web is not None and self.web.filling,
            services=self.services,
        )

    @property
    def controlled(self) -> bool:
        """Whether a control is made: apart from the tests, a solution has no say in their result but by its word."""
        return self.task.scoring.control and not (self.separation.separate and not self.separation.words)

    def separated(self, separation: Separation) -> "HiddenTests":
        """The same, run so."""
        return replace(self, separation=separation)

    def round(self, number: int, ready: ReadyVerifier) -> Round:
        """Run the tests and a control.

        Args:
            number: of the round, from 1; another turns other assertions.
            ready: makes the stages ``grader`` and ``control`` ready, with ``-2`` and so on in further rounds.

        Raises:
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
        """
        left, turned = self._run(number, self.plan, ready)
        control = Control(left["control"], turned.names, turned.edits) if turned else None
        return Round(left["grader"], control)

    def alone(self, ready: ReadyVerifier) -> VerifierRecord:
        """What the tests leave of something in a sandbox of its own, without a control and with its word believed for
        everything.

        Raises:
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
        """
        tried = self.separated(Separation(True, "the task's own solution is run so"))
        believed = replace(tried.separation, words=(*self.plan.expected, SCRIPT))
        return replace(tried.begin(ready), separation=believed)

    def refer(self, number: int, names: tuple[str, ...], ready: ReadyVerifier) -> tuple[Left, Left]:
        """What the same tests, right and wrong, leave of something else than the agent's work.

        Args:
            number: of the round whose control is meant.
            names: the tests to run, where each is run by itself.
            ready: makes the stages ready, over that.

        Raises:
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
        """
        left, _ = self._run(number, self.plan.only(names), ready)
        return left["grader"], left["control"]

    def right(self, ready: ReadyVerifier) -> Left:
        """What the tests, as they stand, leave of something else than the agent's work.

        Args:
            ready: makes the stage ready, over that.

        Raises:
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
        """
        return self._run(1, self.plan, ready, controlled=False)[0]["grader"]

    def _run(
        self, number: int, plan: VerifierPlan, ready: ReadyVerifier, *, controlled: bool | None = None
    ) -> tuple[dict[str, Left], Turned | None]:
        """The agent's code must not know which of the two it runs under: they come one after the other, so that
        they can't talk, in an order that nobody can foretell; no name, time or number shows in the one and not in the
        other. Where that can be done, neither is the grading: a coin for each test says where it is right."""
        with tempfile.TemporaryDirectory(dir=self.place, prefix="") as folder, ExitStack() as opened:
            return self._run_in(
                Path(folder), number, plan, ready, opened, self.controlled if controlled is None else controlled
            )

    def _run_in(
        self, place: Path, number: int, plan: VerifierPlan, ready: ReadyVerifier, opened: ExitStack, controlled: bool
    ) -> tuple[dict[str, Left], Turned | None]:
        task, seed = self.task, self._seed(number)
        sources = {"grader": task.tests.folder}
        turned = None
        swapped: frozenset[str] = frozenset()
        if controlled:
            sources["control"] = place / secrets.token_hex(8)
            copy_readable(task.tests.folder, sources["control"])
            turned = plan.turn(sources["control"], seed)
            if not turned:
                del sources["control"]
            elif plan.mixes:
                mixed = {stage: place / secrets.token_hex(8) for stage in sources}
                for folder in shuffled(mixed.values()):
                    copy_readable(task.tests.folder, folder)
                coins = Coins(seed)
                swapped = plan.turn_some(mixed["grader"], seed, coins.heads)
                plan.turn_some(mixed["control"], seed, coins.tails)
                sources = mixed
        webs = {stage: opened.enter_context(self.web.open(place)) for stage in shuffled(sources)} if self.web else {}
        verifiers: dict[str, Verifier] = {}
        for stage, source in shuffled(sources.items()):
            # The names of these folders are seen in the sandbox (/proc/self/mountinfo), and when they were made.
            folder = place / secrets.token_hex(8)
            copy_readable(source, folder / "tests")
            verifiers[stage] = self._verifier(plan, place, folder / "tests", webs.get(stage))
        for _, verifier in shuffled(verifiers.items()):
            web = verifier.web.folder if verifier.web else None
            for made in filter(None, (verifier.harness, web)):
                same_times(made)
            same_times(verifier.tests, some_time())
        suffix = "" if number == 1 else f"-{number}"
        # Both, before either begins, so that either begins as soon after what came before it.
        run = {stage: ready(f"{stage}{suffix}", verifier) for stage, verifier in verifiers.items()}

        def verify(stage: str) -> Left:
            if not turned:
                return run_one(stage)
            with _TOGETHER_NOW.setdefault(task.digest, threading.Lock()):
                before = read_counters()
                try:
                    return run_one(stage)
                finally:
                    stir_counters(before)

        def run_one(stage: str) -> Left:
            with run[stage]() as (captured, sandbox):
                output, logs = captured.output, sandbox.scratch(VERIFIER_LOGS)
                left = left_by(plan, task.tests.folder, captured.exit, output.stdout, logs)
                missing = missing_tools(output.stderr + b"\n" + output.stdout)
                left = replace(left, missing=missing, solution=captured.solution)
                return replace(left, misses=tuple(webs[stage].finish())) if stage in webs else left

        left = {stage: verify(stage) for stage in shuffled(run)}
        return swap({stage: left[stage] for stage in run}, swapped), turned

    def _verifier(self, plan: VerifierPlan, place: Path, tests: Path, web: WebAccess | None) -> Verifier:
        separate = self.separation.separate
        harness = plan.write_harness(place / secrets.token_hex(8), separate=separate)
        if not separate:
            return Verifier(tests, plan.argv, harness, web=web, imports=plan.imports(tests, separate=False))
        theirs = plan.write_solution_harness(place / secrets.token_hex(8))
        same_times(theirs)
        solution = SolutionHost(plan.solution_argv, theirs, plan.solution_env, plan.solution_imports)
        imports = plan.imports(tests, separate=True)
        return Verifier(tests, plan.separate_argv, harness, self._separate_env, solution, web, imports)

    @property
    def _separate_env(self) -> dict[str, str]:
        """What the tests' sandbox has in its environment, with the ways of the task's own solution where they fit."""
        ways = self.separation.ways
        told = None if ways is None or "more" in ways else json.dumps(ways)
        if told is None or len(told) > _MOST_ENVIRONMENT:
            return self.plan.separate_env
        return {**self.plan.separate_env, "AFFIDAVIT_WAYS": told}

    def _seed(self, number: int) -> bytes:
        again = "" if number == 1 else f" {number}"
        told = f"{self.task.digest} {self.submission}{again}".encode()
        return hmac.new(self.secret, told, "sha256").digest()


@dataclass(frozen=True)
class Coins:
    """A coin for each name, the same each time for the same secret seed: what else is graded with the same tests, right
    and wrong, has the same wrong values."""

    seed: bytes

    def heads(self, name: str) -> bool:
        """Whether its coin shows heads."""
        tossed = hmac.digest(self.seed, b"coin " + name.encode("utf-8", "surrogateescape"), "sha256")
        return tossed[0] % 2 == 0

    def tails(self, name: str) -> bool:
        """Whether its coin shows tails."""
        return not self.heads(name)


def swap(left: dict[str, Left], swapped: frozenset[str]) -> dict[str, Left]:
    """What ``grader`` and ``control`` left, where these tests were wrong in the one and right in the other: as if all
    had been right in the one. What was forged in either counts."""
    if not swapped:
        return left
    one, other = left["grader"], left["control"]

    def mixed(stays: Left, comes: Left) -> Left:
        if stays.tests is None or comes.tests is None:
            return replace(stays, tests=None, error=stays.error or comes.error)
        kept = [line for line in stays.tests if line.get("test") not in swapped]
        return replace(stays, tests=(*kept, *(line for line in comes.tests if line.get("test") in swapped)))

    return {"grader": replace(mixed(one, other), forged=one.forged + other.forged), "control": mixed(other, one)}


def left_by(plan: VerifierPlan, tests: Path, ended: Exit, stdout: bytes, logs: Path) -> Left:
    """What a verifier left: a reward, a report, or what the harness reported.

    Args:
        plan: the tests.
        tests: the task's folder tests/.
        ended: how the verifier did.
        stdout: standard output of the grading sandbox, cut at `Limits.output_bytes`.
        logs: its folder /logs/verifier, whose content is hostile.
    """
    left = Left(ended)
    try:
        left = replace(left, words=read_words(logs), ways=tuple(read_ways(logs)))
        if plan.settings.framework == "reward":
            reward = read_reward(logs, plan.settings.reward)
            return replace(left, reward=LeftReward(reward.file, reward.raw, plan.settings.reward))
        if plan.settings.framework in RUN_HERE:
            lines, forged = read_lines(stdout, whole=len(stdout) < Limits.output_bytes)
            return replace(left, tests=tuple(lines), forged=forged)
        raw = read_left(logs, plan.settings.report_file)
        if raw is None:
            raise ResultsError(f"tests/test.sh left no {VERIFIER_LOGS}/{plan.settings.report_file}")
        return replace(left, report=LeftReport(plan.settings.report_file, raw))
    except (RewardError, ResultsError) as error:
        script = tests / "test.sh"
        if plan.settings.framework not in RUN_HERE and has_crlf(script):
            return replace(left, error=f"{error}; tests/test.sh {CRLF}")
        return replace(left, error=str(error))


def shuffled(items: Iterable[_Item]) -> list[_Item]:
    """The items in an order that can't be foretold."""
    return sorted(items, key=lambda _: secrets.token_bytes(16))


def same_times(folder: Path, time: int = 0) -> None:
    """Give everything in a folder the same times, which then tell nothing of what was written later.

    Args:
        folder: with all that it contains.
        time: in ns since 1970.
    """
    for path in (*folder.rglob("*"), folder):
        os.utime(path, ns=(time, time), follow_symlinks=False)


def some_time() -> int:
    """A time in ns since 1970 that nobody guesses: `filecmp.cmp` takes files of one size and one time for equal."""
    return 1_000_000_000 * 10**9 + secrets.randbelow(600_000_000 * 10**9)
