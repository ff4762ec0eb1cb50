"""The sandboxes of a grading: one, or two that run at once, joined by a relay and nothing else."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from affidavit.contracts import SandboxSettings
from affidavit.evaluation.sandbox_capture import Capture
from affidavit.evaluation.specs import Verifier, solution_spec, verifier_spec
from affidavit.evaluation.stages import SandboxRun, Stage, Stages
from affidavit.grading import Relay
from affidavit.sandbox import CopiedPath, Exit, OciSandbox, RootFilesystem, SandboxSpec, Streams, copy_paths
from affidavit.tasks import Task

_logger = logging.getLogger(__name__)

_ENDS_WITHIN_S = 5.0
# Harbor's verifiers get this whatever a task says.
_ALWAYS = "/logs/artifacts"

Runs = Callable[[Stage, SandboxSpec, Streams | None], SandboxRun]
"""Runs the sandbox of a stage; its process 1 has these streams."""


def seen_by_tests(task: Task, left: RootFilesystem, own: RootFilesystem, folder: Path) -> RootFilesystem:
    """The root file system that tests run over.

    Args:
        task: the one whose tests run.
        left: the agent's, with what is graded on top.
        own: the tests', as it is without that.
        folder: for a layer, where the tests' is another one than the agent's; does not exist.

    Raises:
        SandboxError: files can't be copied.
    """
    if task.grading is None:
        return left
    asked = [*(CopiedPath(one.path, one.exclude) for one in task.tests.artifacts), CopiedPath(_ALWAYS)]
    missing = copy_paths(left.layers, asked, own.layers, folder, task.grading.limits.storage_mb << 20)
    if absent := [path for path in missing if path != _ALWAYS]:
        _logger.info("%s: artifacts that are not there: %s", task.id, ", ".join(absent))
    return replace(own, layers=(folder, *own.layers))


@dataclass(frozen=True)
class GradingPlace:
    """What the sandboxes of a grading are made of.

    Attributes:
        stages: of the trial.
        task: as its tests see it.
        pristine: the tests' root file system without what is graded.
        solved: the same with what is graded on top.
        settings: as the agent had them.
    """

    stages: Stages
    task: Task
    pristine: RootFilesystem
    solved: RootFilesystem
    settings: SandboxSettings

    def ready(self, stage: Stage, verifier: Verifier, run: Runs) -> Callable[[], SandboxRun]:
        """Make everything ready for a verifier.

        Args:
            stage: of the tests, just opened.
            verifier: what runs.
            run: runs a sandbox.

        Returns:
            What runs it, once; what comes of it is the tests' sandbox.

        Raises:
            RecorderError: the solution's sandbox can't be recorded.
        """
        host = verifier.solution
        if host is None:
            spec = verifier_spec(self.task, self.solved, self.settings, verifier, stage.sandbox)
            return partial(run, stage, spec, None)
        tests = verifier_spec(self.task, self.pristine, self.settings, verifier, stage.sandbox)
        beside = self.stages.open(_beside(stage.name))
        solution = solution_spec(self.task, self.solved, self.settings, host, beside.sandbox)
        end = partial(self.stages.end, beside)
        return partial(_run_both, partial(run, stage, tests), partial(run, beside, solution), end)


def _beside(name: str) -> str:
    """The stage of the solution whose tests are run in this one."""
    which, dash, number = name.partition("-")
    return f"{'solution' if which == 'grader' else f'solution-of-{which}'}{dash}{number}"


@contextmanager
def _run_both(
    tests: Callable[[Streams], SandboxRun], solution: Callable[[Streams], SandboxRun], end_solution: Callable[[], None]
) -> Iterator[tuple[Capture, OciSandbox]]:
    """Run the tests' sandbox beside the solution's.

    Args:
        tests, solution: the two.
        end_solution: kills the solution's sandbox.

    Yields:
        What came of the tests' sandbox.

    Raises:
        SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed in either.
    """

    def hold_solution(streams: Streams) -> Exit:
        try:
            with solution(streams) as (captured, _):
                return captured.exit
        finally:
            # Where it never came to be, the tests would wait for it.
            streams.close()

    with Relay() as relay, ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold_solution, relay.solution)
        try:
            with tests(relay.tests) as (captured, sandbox):
                yield replace(captured, solution=_await_end(holding, end_solution)), sandbox
        finally:
            relay.finish()
            if not holding.done():
                end_solution()


def _await_end(holding: Future[Exit], end_solution: Callable[[], None]) -> Exit:
    try:
        return holding.result(_ENDS_WITHIN_S)
    except Late:
        end_solution()
        return holding.result()
