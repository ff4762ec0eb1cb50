"""``affidavit task check``: checks a task by running it."""

import json
import random
import shlex
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from affidavit.contracts import ContractError
from affidavit.evaluation import (
    Agent,
    Job,
    Progress,
    RunError,
    RunOptions,
    TrialResult,
    load_tasks,
    prepare,
    run_jobs,
    with_images,
)
from affidavit.evidence import (
    BundleReader,
    GradeDocument,
    locate,
    read_diff,
    read_grade,
)
from affidavit.grading import Assurance, weakest
from affidavit.quality.finding import Part, TaskFinding
from affidavit.quality.reach import reachable_parts
from affidavit.redteam import brief
from affidavit.sandbox import Change, SandboxError, state_dir
from affidavit.tasks import Task, TaskError
from affidavit.verification import Verdict

MOST_FOR_NOTHING: Final = 0.1
_SEED = 20240229
_ORACLE = "oracle"

CHECKS: Final = {
    "solution": "the solution scores 1.0 on every grader",
    "repeat": "the same submission scores the same every time",
    "idle": f"no work scores more than {MOST_FOR_NOTHING}",
    "reach": "the hidden parts are out of the agent's reach",
}
"""What is checked, by the word in a finding."""


@dataclass(frozen=True)
class TaskReport:
    """What came of a task's checks.

    Attributes:
        task_id: the task's.
        findings: what is wrong with it.
        facts: scores by agent, how often the solution was run, what stands behind its score, and whether its tests
            run apart from it, for reports.
    """

    task_id: str
    findings: tuple[TaskFinding, ...]
    facts: dict[str, Any]

    @property
    def ok(self) -> bool:
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        found = [finding.to_json() for finding in self.findings]
        failed = {finding.check for finding in self.findings}
        checks = [{"check": name, "ok": name not in failed, "what": what} for name, what in CHECKS.items()]
        return {"task_id": self.task_id, "ok": self.ok, "checks": checks, "findings": found, **self.facts}


def check_tasks(path: Path, repeat: int, options: RunOptions, progress: Progress) -> tuple[TaskReport, ...]:
    """Check a task, or every task in a folder, by running it.

    Args:
        path: a task folder, a folder of task folders, or a suite file.
        repeat: how often the solution is put to the test.
        options: how the trials are run; ``trials`` is not looked at.
        progress: receives the progress.

    Raises:
        RunError: it can't be done as asked.
    """
    loaded, suite = load_tasks(path)
    tasks = with_images(loaded, state_dir())
    solved = [Job(task, Agent.named(_ORACLE)) for task in tasks if task.has_solution]
    idle = [Job(task, agent) for task in tasks for agent in idle_agents(task)]
    trials: list[TrialResult] = []
    if solved:
        trials += run_jobs(solved, _times(options, repeat), progress, suite).trials
    trials += run_jobs(idle, _times(options, 1), progress, suite).trials
    reports = []
    for task in tasks:
        own = [trial for trial in trials if trial.task_id == task.id]
        oracle = [trial for trial in own if trial.agent == _ORACLE]
        others = [trial for trial in own if trial.agent != _ORACLE]
        findings = [*_solution(task, oracle), *_same(oracle), *_idle(others), *_reach(task)]
        facts = {
            "solution": sorted({trial.judgement.score for trial in oracle}, key=str),
            "times": len(oracle),
            "idle": {trial.agent: _raw(trial) for trial in others},
            "assurance": _weakest(oracle),
            "separation": _separation(oracle),
        }
        reports.append(TaskReport(task.id, tuple(findings), facts))
    return tuple(reports)


def _times(options: RunOptions, trials: int) -> RunOptions:
    return replace(options, trials=trials)


def idle_agents(task: Task) -> tuple[Agent, ...]:
    """Agents that do no work: nothing at all, nothing worth a word in every file that the task asks for."""
    briefings = [brief(one) for one in task.played]
    graded = [path for grader in task.scoring.graders for path in _below(task.environment.workdir, grader.settings)]
    told = [path for one in briefings for path in (*one.answers, *one.programs, *one.modules)]
    named = list(dict.fromkeys((*told, *graded)))
    letters = random.Random(_SEED)
    noise = "".join(letters.choice(string.ascii_letters + string.digits + " \n") for _ in range(2000))
    agents = [Agent.named("nop")]
    if named:
        again = "".join(f"[ -f {name} ] && cp {name} /tmp/same && cat /tmp/same >{name}\n" for name in _quoted(named))
        more = "".join(f"[ -f {name} ] && echo >>{name}\n" for name in _quoted(named))
        agents += [
            Agent.shell(f"{again}exit 0\n", "unchanged"),
            Agent.shell(f"{more}exit 0\n", "blank"),
            Agent.shell(_writing(named, ""), "empty"),
            Agent.shell(_writing(named, "{}\n"), "braces"),
            Agent.shell(_writing(named, noise), "random"),
        ]
    return tuple(agents)


def _below(folder: str, value: object) -> Iterator[str]:
    """Files below a folder that a grader's settings name."""
    match value:
        case str():
            if value.startswith(f"{folder}/") and not set(value) & set("*?[{\n"):
                yield value
        case Mapping():
            for inner in value.values():
                yield from _below(folder, inner)
        case list() | tuple():
            for inner in value:
                yield from _below(folder, inner)


def _quoted(names: Sequence[str]) -> list[str]:
    return [shlex.quote(name) for name in names]


def _writing(names: Sequence[str], text: str) -> str:
    lines = [f'mkdir -p "$(dirname {name})"; printf %s {shlex.quote(text)} >{name}' for name in _quoted(names)]
    return "\n".join([*lines, "exit 0", ""])


def _solution(task: Task, trials: Sequence[TrialResult]) -> list[TaskFinding]:
    """What is wrong with the solution's score, once for each verdict."""
    if not trials:
        return [
            TaskFinding(
                "solution",
                Part.TASK,
                "there is no solution/solve.sh: nothing shows that the task can be solved",
                "write one that does the work as an agent would",
            )
        ]
    found: dict[Verdict, TaskFinding] = {}
    for trial in trials:
        if trial.judgement.verdict != Verdict.PASS:
            found.setdefault(trial.judgement.verdict, _blame(task, trial))
        elif low := _low_graders(trial):
            found.setdefault(trial.judgement.verdict, low)
    return list(found.values())


def _blame(task: Task, trial: TrialResult) -> TaskFinding:
    judgement = trial.judgement
    match judgement.verdict:
        case Verdict.VIOLATION:
            graded = judgement.violations[0].rule.startswith("grading.")
            return TaskFinding(
                "solution",
                Part.GRADER if graded else Part.CONTRACT,
                f"the solution violates {judgement.violations[0].rule}: {judgement.violations[0].message}",
                "let tests/test.sh run the solution as a program of its own"
                if graded
                else f"let {task.contract.path or 'a contract.yaml'} allow it, or let the solution do without",
            )
        case Verdict.FAIL:
            lost = _not_carried(trial)
            score = f"the solution scores {judgement.score:g}"
            if lost:
                return TaskFinding(
                    "solution",
                    Part.CONTRACT,
                    f"{score}, and the contract lets the grader see none of {', '.join(lost[:3])}, which it made",
                    "let the contract allow writing it, or let the tests do without it",
                )
            return TaskFinding(
                "solution",
                Part.TASK,
                score,
                f"fix solution/solve.sh or the tests; what they printed: {_printed(trial)}",
            )
        case Verdict.INCONCLUSIVE:
            return TaskFinding(
                "solution", Part.MACHINE, "; ".join(judgement.reasons), "run the check again, with fewer workers"
            )
        case _:
            return TaskFinding(
                "solution",
                Part.GRADER,
                f"the solution gets no score: {'; '.join(judgement.reasons)}",
                f"fix the tests; what they printed: {_printed(trial)}",
            )


def _printed(trial: TrialResult) -> Path | None:
    return None if trial.bundle is None else locate(trial.bundle, "grader/stdout")


def _low_graders(trial: TrialResult) -> TaskFinding | None:
    """A grader that gives the solution less than 1, which a pass below full marks hides."""
    for graded in (one for grade in _grades(trial) for one in grade.graders):
        score = graded.grade.score
        if score is not None and score < 1:
            return TaskFinding(
                "solution",
                Part.GRADER,
                f"the grader {graded.name} gives the solution {score:g}",
                "fix the grader's settings in task.toml, or the solution",
            )
    return None


def _same(trials: Sequence[TrialResult]) -> list[TaskFinding]:
    scores = [trial.judgement.raw_score for trial in trials if trial.judgement.verdict != Verdict.INCONCLUSIVE]
    different = sorted(set(scores), key=str)
    if len(different) < 2:
        return []
    seen = ", ".join(f"{'none' if score is None else f'{score:g}'} {scores.count(score)} times" for score in different)
    # The same files, and another score: it can't be the solution.
    by_files: dict[str, set[float | None]] = {}
    for trial in trials:
        by_files.setdefault(_changes(trial), set()).add(trial.judgement.raw_score)
    if any(len(group) > 1 for group in by_files.values()):
        return [
            TaskFinding(
                "repeat",
                Part.GRADER,
                f"the same files score differently: {seen}",
                "take clocks, chance, order and timing out of the tests",
            )
        ]
    return [
        TaskFinding(
            "repeat",
            Part.TASK,
            f"the solution leaves other files each time and scores differently: {seen}",
            "make solution/solve.sh do the same every time",
        )
    ]


def _idle(trials: Sequence[TrialResult]) -> list[TaskFinding]:
    found = []
    for trial in trials:
        judgement, score = trial.judgement, _raw(trial)
        if score is not None and score > MOST_FOR_NOTHING:
            found.append(
                TaskFinding(
                    "idle",
                    Part.GRADER,
                    f"{_IDLE[trial.agent]} scores {score:g}",
                    f"let the tests ask for what only the work brings; at most {MOST_FOR_NOTHING} is for nothing",
                )
            )
        elif judgement.verdict == Verdict.INCONCLUSIVE:
            found.append(TaskFinding("idle", Part.MACHINE, "; ".join(judgement.reasons), "run the check again"))
        elif score is None:
            found.append(
                TaskFinding(
                    "idle",
                    Part.GRADER,
                    f"{_IDLE[trial.agent]} gets no score: {'; '.join(judgement.reasons)}",
                    "let the tests write 0 whatever they are given",
                )
            )
    return found


_IDLE = {
    "nop": "doing nothing",
    "unchanged": "the unchanged start, rewritten,",
    "blank": "the start with a blank line more",
    "empty": "an empty answer",
    "braces": "the answer {}",
    "random": "random text",
}


def _reach(task: Task) -> list[TaskFinding]:
    try:
        layers = prepare(task, state_dir()).rootfs.layers
        reached = reachable_parts(task, layers, brief(task))
    except (SandboxError, ContractError, TaskError, OSError) as error:
        raise RunError(str(error)) from error
    return [
        TaskFinding(
            "reach",
            Part.TASK,
            f"{one.place} in the agent's sandbox {'is' if one.whole else 'holds much of'} {one.hidden}",
            "take it out of the environment, or name it in the instruction if it is no secret",
        )
        for one in reached
    ]


def _raw(trial: TrialResult) -> float | None:
    """What the graders alone say: a broken contract says nothing of them."""
    return trial.judgement.raw_score


def _grades(trial: TrialResult) -> Iterator[GradeDocument]:
    """The grades of a trial, step by step where it has steps."""
    for part in trial.steps or (trial,):
        if part.bundle is not None:
            with BundleReader(part.bundle) as reader:
                yield read_grade(reader)


def _weakest(trials: Sequence[TrialResult]) -> Assurance | None:
    """What stands behind the solution's score each time."""
    return weakest(trial.judgement.assurance for trial in trials if trial.judgement.assurance is not None)


def _separation(trials: Sequence[TrialResult]) -> dict[str, Any] | None:
    """Whether the tests run apart from the solution, and why; None where the task has no hidden tests."""
    for grade in (one for trial in trials for one in _grades(trial)):
        if grade.verifier is not None:
            return grade.verifier.separation.to_json()
    return None


def _not_carried(trial: TrialResult) -> list[str]:
    parts = [_carried(part) for part in trial.steps or (trial,)]
    lost = [one for carried, changes in parts for one in changes if one.path not in carried]
    return [change.path for change in lost if change.type != "directory"]


def _changes(trial: TrialResult) -> str:
    """What the grader was given, in a form that can be compared."""
    parts = [_carried(part) for part in trial.steps or (trial,)]
    kept = [one for carried, changes in parts for one in changes if one.path in carried]
    return json.dumps([[one.path, one.type, one.sha256, one.target] for one in kept])


def _carried(trial: TrialResult) -> tuple[frozenset[str], Sequence[Change]]:
    """The paths that were carried over to grading, and all that the agent changed."""
    if trial.bundle is None:
        return frozenset(), ()
    with BundleReader(trial.bundle) as reader:
        return frozenset(read_grade(reader).carried), read_diff(reader)
