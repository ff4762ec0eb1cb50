"""A run of many trials."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from affidavit.alerts import Alerts
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.executor import Executor, ThreadExecutor
from affidavit.evaluation.interrupts import terminable
from affidavit.evaluation.planning import (
    Job,
    given_plan,
    planned_agent,
)
from affidavit.evaluation.predictions import Predictions
from affidavit.evaluation.preflight import Preparation, load_tasks, prepared_run
from affidavit.evaluation.result import RunResult, TrialResult
from affidavit.evaluation.run_options import RunOptions
from affidavit.evaluation.trial_plan import TrialPlan
from affidavit.evidence import EvidenceError
from affidavit.suites import Suite

_logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Receives the progress of a run; called from one thread at a time."""

    def note(self, text: str) -> None:
        """A thing the user should know, once."""

    def doing(self, done: int, total: int, what: str) -> None:
        """`done` of `total` trials are done; now comes `what`."""

    def finished(self, done: int, total: int, trial: TrialResult) -> None:
        """A trial is done."""


def run_suite(path: Path, agent: Agent | Predictions | None, options: RunOptions, progress: Progress) -> RunResult:
    """Put an agent to a task folder, to every task in a folder, or to those of a suite file; see `run_jobs`.

    Args:
        agent: predictions: for each task, the agent that applies the patch; None: the one of ``options.plan.file``.

    Raises:
        RunError: as `run_jobs`, or no task has a prediction.
    """
    tasks, suite = load_tasks(path)
    if agent is None:
        if (path_of_plan := options.plan_file) is None:
            raise RunError("say which agent: --agent oracle, --agent nop, or --agent-cmd CMD (one of them)")
        agent = planned_agent(given_plan(path_of_plan).plan, path_of_plan)
    if isinstance(agent, Predictions):
        agent.check({task.id for task in tasks})
        jobs = [Job(task, agent.agent(task.id)) for task in tasks]
    else:
        jobs = [Job(task, agent) for task in tasks]
    return run_jobs(jobs, options, progress, suite)


def run_jobs(jobs: Sequence[Job], options: RunOptions, progress: Progress, suite: Suite | None = None) -> RunResult:
    """Run agents on tasks.

    Everything that can be known to be wrong is found before the first trial begins. What an affidavit that was killed
    left on the machine is removed first. SIGINT and SIGTERM end all sandboxes; finished trials keep their bundles.

    Raises:
        RunError: the run can't be made as asked.
        KeyboardInterrupt: it was interrupted.
    """
    doing = partial(progress.doing, 0, len(jobs))
    with terminable(), prepared_run(jobs, options, suite, doing) as ready:
        return _run_prepared(ready, options, progress)


def _run_prepared(ready: Preparation, options: RunOptions, progress: Progress) -> RunResult:
    settings, ledger = ready.settings, ready.run.ledger
    if ready.made:
        progress.note(f"made the signing key {ready.key.key_id}; its public half is {ready.key.public_path}")
    for note in ready.notes:
        progress.note(note)
    machinery = ready.machinery(Alerts(options.alerts))
    _logger.info(
        "run %s: %d tasks, %d trials each, %s + %s, signed by %s, in %s",
        settings.run_id,
        len(ready.plan.plan.tasks),
        settings.terms.trials,
        settings.backends.runtime,
        settings.backends.recorder,
        ready.key.key_id,
        settings.folder,
    )
    opened = ready.open_folder()
    try:
        trials = _run_all(ready, ThreadExecutor(machinery, ledger, options.workers), progress)
        closed = ledger.finish()
    except BaseException as problem:
        # Whoever interrupts a run does not want to wait for a server.
        machinery.alerts.close(patience_s=1.0)
        os.close(opened)
        if isinstance(problem, EvidenceError):
            raise RunError(str(problem)) from problem
        raise
    finally:
        ledger.close()
    result = ready.result(trials, tuple(machinery.alerts.close()))
    try:
        ready.write(opened, result, closed, options.plan.timestamp)
    except EvidenceError as error:
        raise RunError(
            f"{error}; every trial is finished, and --resume {settings.folder} makes the statement"
        ) from error
    finally:
        os.close(opened)
    return result


class _Reporter:
    """Tells a `Progress` how the trials of a run go, and keeps their results."""

    def __init__(self, progress: Progress, total: int, results: dict[str, TrialResult]) -> None:
        self._progress, self._total, self._results = progress, total, results

    def began(self, plan: TrialPlan) -> None:
        self._progress.doing(len(self._results), self._total, f"{plan.task.id} #{plan.trial.number}")

    def ended(self, plan: TrialPlan, result: TrialResult) -> None:
        self._results[plan.trial.name] = result
        self._progress.finished(len(self._results), self._total, result)


def _run_all(ready: Preparation, executor: Executor, progress: Progress) -> tuple[TrialResult, ...]:
    """Run the trials that have no end yet; the results of all, in order."""
    results = dict(ready.run.done)
    todo = [plan for plan in ready.trials if plan.trial.name not in results]
    executor.execute(todo, _Reporter(progress, len(ready.trials), results))
    return tuple(results[plan.trial.name] for plan in ready.trials)
