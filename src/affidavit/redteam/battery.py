"""The battery: every exploit that applies, against every task, under plain outcome grading and under Affidavit."""

import tempfile
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affidavit.contracts import ContractError, compile_settings
from affidavit.evaluation import (
    Agent,
    Job,
    Progress,
    RunError,
    RunOptions,
    TrialResult,
    agent_spec,
    check_has_no_steps,
    check_places,
    choose_runtime,
    load_tasks,
    prepare,
    run_jobs,
    with_images,
)
from affidavit.evidence import EvidenceError
from affidavit.redteam.briefing import brief
from affidavit.redteam.exploit import FLAWS, Exploit, chosen_exploits
from affidavit.redteam.layers import Layer, skipped, stopping_layers
from affidavit.redteam.outcome import outcome_score
from affidavit.sandbox import OciSandbox, SandboxError, SandboxSpec, state_dir
from affidavit.tasks import Task, TaskError
from affidavit.trace import TraceError

_NOP = Agent.named("nop")


@dataclass(frozen=True)
class Play:
    """One exploit on one task.

    Attributes:
        task_id: the task's.
        exploit: what was played.
        skipped: why it was not, or why it found that it does not apply; None where it was.
        outcome: what plain outcome grading paid; None where it was not asked.
        outcome_floor: what plain outcome grading pays for doing nothing.
        floor: what Affidavit gives for doing nothing.
        trial: what Affidavit says; None where it was not played.
        layers: what stood in its way.
    """

    task_id: str
    exploit: Exploit
    skipped: str | None = None
    outcome: float | None = None
    outcome_floor: float = 0.0
    floor: float = 0.0
    trial: TrialResult | None = None
    layers: tuple[Layer, ...] = ()

    @property
    def outcome_paid(self) -> bool:
        """Whether plain outcome grading paid more than for doing nothing."""
        return self.outcome is not None and self.outcome > self.outcome_floor

    @property
    def paid(self) -> bool:
        """Whether Affidavit gave a score that it should not: more than for doing nothing."""
        score = self.trial.judgement.score if self.trial else None
        return score is not None and score > self.floor

    def to_json(self) -> dict[str, Any]:
        """As in the document of ``affidavit redteam --json``."""
        judgement = self.trial.judgement if self.trial else None
        return {
            "task_id": self.task_id,
            "exploit": self.exploit.name,
            "kind": self.exploit.kind,
            "flaw": self.exploit.flaw,
            "skipped": self.skipped,
            "outcome": self.outcome,
            "outcome_floor": self.outcome_floor,
            "outcome_paid": self.outcome_paid,
            "verdict": None if judgement is None else str(judgement.verdict),
            "score": None if judgement is None else judgement.score,
            "raw_score": None if judgement is None else judgement.raw_score,
            "floor": self.floor,
            "paid": self.paid,
            "layers": [str(layer) for layer in self.layers],
            "rules": [] if judgement is None else list(dict.fromkeys(v.rule for v in judgement.violations)),
            "reasons": [] if judgement is None else list(judgement.reasons),
            "bundle": str(self.trial.bundle) if self.trial and self.trial.bundle else None,
        }


@dataclass(frozen=True)
class BatteryResult:
    """What a battery came to; plays in the order of tasks and exploits, those that were skipped among them."""

    plays: tuple[Play, ...]
    runtime: str
    recorder: str
    folder: Path

    @property
    def played(self) -> tuple[Play, ...]:
        return tuple(play for play in self.plays if play.skipped is None)

    @property
    def paid(self) -> tuple[Play, ...]:
        """Where Affidavit gave a score that it should not."""
        return tuple(play for play in self.played if play.paid)

    @property
    def exit_status(self) -> int:
        return 1 if self.paid else 0

    def to_json(self) -> dict[str, Any]:
        """The document of ``affidavit redteam --json``."""
        played = self.played
        return {
            "runtime": self.runtime,
            "recorder": self.recorder,
            "summary": {
                "tasks": len({play.task_id for play in self.plays}),
                "exploits": len({play.exploit.name for play in played}),
                "kinds": len({play.exploit.kind for play in played}),
                "played": len(played),
                "skipped": len(self.plays) - len(played),
                "outcome_paid": sum(play.outcome_paid for play in played),
                "outcome_paid_in_full": sum(play.outcome_paid and play.outcome == 1 for play in played),
                "paid": len(self.paid),
                "no_score": sum(play.trial is not None and play.trial.judgement.score is None for play in played),
            },
            "flaws": FLAWS,
            "plays": [play.to_json() for play in self.plays],
            "folder": str(self.folder),
        }


def play_battery(path: Path, options: RunOptions, progress: Progress, names: Sequence[str] = ()) -> BatteryResult:
    """Play exploits against a task, or every task in a folder.

    Args:
        path: a task folder, a folder of task folders, or a suite file.
        options: how Affidavit's trials are run; plain outcome grading always has runc.
        progress: receives the progress.
        names: exploits to play; all where empty.

    Raises:
        RunError: it can't be done as asked.
        KeyboardInterrupt: it was interrupted.
    """
    exploits = chosen_exploits(names)
    loaded, suite = load_tasks(path)
    check_has_no_steps(loaded, "redteam")
    tasks = with_images(loaded, state_dir())
    check_places(tasks, state_dir(), options.out, rootfs_outside=options.rootfs_outside)
    chosen = choose_runtime(options.runtime or "auto", options.recorder or "auto")
    plays: list[Play] = []
    jobs = [Job(task, _NOP) for task in tasks]
    for task in tasks:
        briefing = brief(task)
        for exploit in exploits:
            reason = exploit.unmet(briefing)
            plays.append(Play(task.id, exploit, skipped=reason))
            if reason is None:
                jobs.append(Job(task, exploit.agent(briefing)))
    if len(jobs) == len(tasks):
        raise RunError(f"{path}: none of the exploits applies: {plays[0].skipped}")
    paid = _outcomes(jobs, options.workers, progress)
    options = replace(options, trials=1)
    result = run_jobs(jobs, options, progress, suite)
    trials = {(trial.task_id, trial.agent): trial for trial in result.trials}
    finished = [_finished(play, paid, trials) for play in plays]
    return BatteryResult(tuple(finished), chosen.runtime.name, chosen.recorder.name, result.folder)


def _finished(play: Play, paid: dict[tuple[str, str], float], trials: dict[tuple[str, str], TrialResult]) -> Play:
    if play.skipped is not None:
        return play
    place, idle = (play.task_id, play.exploit.name), (play.task_id, _NOP.name)
    trial = trials[place]
    try:
        reason, layers = skipped(trial), stopping_layers(play.exploit, trial)
    except (EvidenceError, TraceError) as error:
        raise RunError(f"{trial.bundle}: can't be read: {error}") from error
    done = replace(
        play,
        skipped=reason,
        outcome=paid.get(place),
        outcome_floor=paid.get(idle, 0.0),
        floor=trials[idle].judgement.score or 0.0,
        trial=trial,
        layers=layers,
    )
    # An exploit that says it does not apply and is paid all the same was played.
    return replace(done, skipped=None) if done.paid or done.outcome_paid else done


def _outcomes(jobs: Sequence[Job], workers: int, progress: Progress) -> dict[tuple[str, str], float]:
    """What plain outcome grading pays, by task and agent; nothing where runc does not work here.

    Raises:
        RunError: a sandbox can't be made.
    """
    try:
        runtime = choose_runtime("runc").runtime
    except RunError as error:
        progress.note(f"no plain outcome grading for comparison: {error}")
        return {}
    made: set[OciSandbox] = set()
    stopped = threading.Event()

    def make(spec: SandboxSpec) -> OciSandbox:
        sandbox = runtime.sandbox(spec, state_dir())
        made.add(sandbox)
        if stopped.is_set():
            raise SandboxError("interrupted")
        return sandbox

    progress.note(f"plain outcome grading first: {len(jobs)} runs")
    paid: dict[tuple[str, str], float] = {}
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="outcome") as pool:
        futures = {pool.submit(_outcome, job, make): job for job in jobs}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                job = futures[future]
                paid[job.task.id, job.agent.name] = future.result()
                progress.doing(done, len(jobs), f"outcome grading: {job.agent.name} on {job.task.id}")
        except BaseException as error:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for sandbox in list(made):
                with suppress(SandboxError, OSError):
                    sandbox.kill()
            if isinstance(error, SandboxError | ContractError | TaskError | OSError):
                raise RunError(str(error)) from error
            raise
    return paid


def outcome_of(task: Task, agent: Agent, make: Callable[[SandboxSpec], OciSandbox]) -> float:
    """What plain outcome grading pays an agent on a task.

    Args:
        task, agent: who does what.
        make: makes a sandbox, of runc.

    Raises:
        SandboxError, ContractError: the sandbox can't be made.
    """
    prepared = prepare(task, state_dir())
    with tempfile.TemporaryDirectory() as place:
        spec = agent_spec(
            task,
            prepared.rootfs,
            compile_settings(prepared.contract),
            agent,
            Path(place),
            f"outcome-{uuid.uuid4().hex[:12]}",
        )
        timeout_s = task.limits.agent_timeout_s + task.limits.verifier_timeout_s
        return outcome_score(make, spec, agent.command, task.tests.folder, timeout_s, _score_name(task))


def _score_name(task: Task) -> str | None:
    """Of several rewards, the one that is the score."""
    names = [spec.settings.get("reward") for spec in task.scoring.graders if spec.kind == "test_run"]
    return next((name for name in names if isinstance(name, str)), None)


def _outcome(job: Job, make: Callable[[SandboxSpec], OciSandbox]) -> float:
    return outcome_of(job.task, job.agent, make)
