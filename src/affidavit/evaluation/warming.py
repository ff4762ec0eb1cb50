"""Filling the verifier caches of tasks: their tests run once with a network, over their own solutions."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affidavit.evaluation.agents import Agent
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.planning import Job
from affidavit.evaluation.preflight import check_has_no_steps, load_tasks
from affidavit.evaluation.result import TrialResult
from affidavit.evaluation.run import Progress, run_jobs
from affidavit.evaluation.run_options import RunOptions
from affidavit.evaluation.verifier_web import kept_cache
from affidavit.evidence import (
    BundleReader,
    EvidenceError,
    locate,
    read_environment,
)
from affidavit.gateway import GatewayError, WebCache
from affidavit.sandbox import state_dir
from affidavit.tasks import Task
from affidavit.verification import Verdict


@dataclass(frozen=True)
class Warmed:
    """What came of filling a task's cache.

    Attributes:
        task_id: the task's.
        cache: that its gradings have from now on; None: none was kept.
        why: why none was kept, a sentence; empty where one was.
        bundle: the record of how it was filled; None where there is none.
        failed: the first requests that got no answer, and why.
    """

    task_id: str
    cache: WebCache | None
    why: str
    bundle: Path | None
    failed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        answers = [] if self.cache is None else self.cache.answers.all()
        return {
            "task_id": self.task_id,
            "ok": self.cache is not None,
            "digest": None if self.cache is None else self.cache.digest,
            "answers": len(answers),
            "bytes": sum(answer.size for answer in answers),
            "failed": [*self.failed],
            "why": self.why,
            "bundle": None if self.bundle is None else str(self.bundle),
        }


def warm_tasks(path: Path, allowed: tuple[str, ...], options: RunOptions, progress: Progress) -> tuple[Warmed, ...]:
    """Fill the verifier cache of a task, or of every task in a folder.

    The solution runs as it does in any trial, without a network; its tests, and their control, run with the web, of
    which everything that they fetch is kept. A task without a solution has its tests run over nothing.

    Args:
        path: a task folder, a folder of task folders, or a suite file.
        allowed: hosts that tests may reach though their addresses are private.
        options: how the trials are run; ``trials`` and ``filling`` are not looked at.
        progress: receives the progress.

    Raises:
        RunError: it can't be done as asked.
    """
    tasks, suite = load_tasks(path)
    check_has_no_steps(tasks, "task warm")
    jobs = [Job(task, _worker(task)) for task in tasks]
    options = replace(options, trials=1, access=replace(options.access, filling=allowed))
    trials = {trial.task_id: trial for trial in run_jobs(jobs, options, progress, suite).trials}
    return tuple(_warmed(task, trials[task.id]) for task in tasks)


def _worker(task: Task) -> Agent:
    return Agent.named("oracle" if (task.solution.folder / "solve.sh").is_file() else "nop")


def _warmed(task: Task, trial: TrialResult) -> Warmed:
    judgement = trial.judgement
    reasons = "; ".join(judgement.reasons)
    failed = _failed(trial)
    if judgement.verdict is not Verdict.INCONCLUSIVE:
        return Warmed(task.id, None, f"{judgement.verdict}: {reasons}", trial.bundle, failed)
    if trial.agent == "oracle" and (judgement.raw_score or 0.0) < task.scoring.passing_score:
        score = "has no score" if judgement.raw_score is None else f"scores {judgement.raw_score:g}"
        why = f"its own solution {score}; what the tests printed is in {_beside(trial)}"
        return Warmed(task.id, None, why, trial.bundle, failed)
    try:
        cache = kept_cache(state_dir(), task)
    except GatewayError as error:
        raise RunError(str(error)) from error
    return Warmed(task.id, cache, "" if cache else reasons or "nothing was kept", trial.bundle, failed)


def _failed(trial: TrialResult) -> tuple[str, ...]:
    if trial.bundle is None:
        return ()
    try:
        with BundleReader(trial.bundle) as reader:
            used = read_environment(reader).verifier_cache
    except EvidenceError as error:
        raise RunError(str(error)) from error
    return () if used is None else used.failed or ()


def _beside(trial: TrialResult) -> str:
    return "its bundle" if trial.bundle is None else str(locate(trial.bundle, "grader/stdout").parent)
