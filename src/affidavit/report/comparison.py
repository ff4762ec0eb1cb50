"""Two agents on the same tasks: paired differences, and whether they show anything."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from affidavit.report.figures import Report, Subject, percent, plural
from affidavit.report.runs import ReportError, TrialView
from affidavit.report.statistics import Difference, exact_mcnemar, holm, paired_difference

SCHEMA = "affidavit.comparison/v1"
SIGNIFICANT = 0.05
FEWEST_DIFFERING = 6
"""Tasks on which two agents must differ before an exact test at 5 % can show anything: 2 / 2**5 is above it."""


@dataclass(frozen=True)
class TaskPair:
    """A task of both; a difference is the second's less the first's.

    Attributes:
        first_solved, second_solved: share of trials with the verdict pass.
        first_counted, second_counted: mean counted score.
    """

    task_id: str
    first_trials: int
    second_trials: int
    first_solved: float
    second_solved: float
    first_counted: float
    second_counted: float


@dataclass(frozen=True)
class Contrast:
    """A comparison over some tasks.

    Attributes:
        label: of the tasks; empty for all.
        solved, counted: paired differences, one a task.
        first_better, second_better: tasks of which that one solves the larger share of trials.
        p: McNemar's exact test over these two counts; with several trials a task it is a sign test over tasks.
        adjusted_p: by Holm over all labels; the same as `p` for all tasks.
        shown: a difference is shown: `adjusted_p` is below 5 %, and the interval of `solved`, if any, leaves 0 out.
    """

    kind: str
    label: str
    tasks: int
    solved: Difference
    counted: Difference
    first_better: int
    second_better: int
    p: float
    adjusted_p: float
    shown: bool


@dataclass(frozen=True)
class Comparison:
    """Two subjects side by side.

    Attributes:
        conclusion: in words.
        overall: over all common tasks.
        contrasts: by label.
        pairs: the common tasks, the largest difference first.
        only_first, only_second: tasks that the other has not; they count for nothing.
        notes: what a reader must know.
    """

    first: Subject
    second: Subject
    conclusion: str
    overall: Contrast
    contrasts: tuple[Contrast, ...]
    pairs: tuple[TaskPair, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Every figure, as ``--json`` prints it."""
        return {
            "schema": SCHEMA,
            "level": 0.95,
            "first": {"name": self.first.name, "agent": self.first.agent, "run_id": self.first.run_id},
            "second": {"name": self.second.name, "agent": self.second.agent, "run_id": self.second.run_id},
            "conclusion": self.conclusion,
            "overall": asdict(self.overall),
            "labels": [asdict(contrast) for contrast in self.contrasts],
            "tasks": [asdict(pair) for pair in self.pairs],
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
            "notes": list(self.notes),
        }


def compare(report: Report) -> Comparison:
    """Compare the two subjects of a report, paired by task.

    Raises:
        ReportError: there are not exactly two, or they have no task in common.
    """
    if len(report.subjects) != 2:
        names = ", ".join(subject.name for subject in report.subjects) or "none"
        raise ReportError(f"a comparison is of two agents, and the runs hold {len(report.subjects)}: {names}")
    first, second = report.subjects
    shared = [task for task in first.tasks if task in set(second.tasks)]
    if not shared:
        raise ReportError(f"{first.name} and {second.name} have no task in common, so nothing can be compared")
    pairs = {task: _pair(task, first.of_task(task), second.of_task(task)) for task in shared}
    contrasts = _by_label(first, second, pairs)
    overall = _contrast("all", "", list(pairs.values()))
    ordered = sorted(pairs.values(), key=lambda one: (-abs(one.second_solved - one.first_solved), one.task_id))
    return Comparison(
        first=first,
        second=second,
        conclusion=_conclusion(first, second, overall),
        overall=overall,
        contrasts=contrasts,
        pairs=tuple(ordered),
        only_first=tuple(task for task in first.tasks if task not in pairs),
        only_second=tuple(task for task in second.tasks if task not in pairs),
        notes=tuple(_notes(first, second, overall, pairs)),
    )


def comparison_of(report: Report) -> Comparison | None:
    """The comparison that a report of two agents holds, whose reader asks first which is better; None where there are
    not two, or they have no task in common."""
    if len(report.subjects) != 2:
        return None
    try:
        return compare(report)
    except ReportError:
        return None


def report_json(report: Report) -> dict[str, Any]:
    """Every figure of a report, as ``affidavit report --json`` prints it; ``comparison`` may be null."""
    found = comparison_of(report)
    return {**report.to_json(), "comparison": None if found is None else found.to_json()}


def _pair(task: str, first: Sequence[TrialView], second: Sequence[TrialView]) -> TaskPair:
    def mean(trials: Sequence[TrialView], value: Callable[[TrialView], float]) -> float:
        return fmean(value(trial) for trial in trials)

    return TaskPair(
        task_id=task,
        first_trials=len(first),
        second_trials=len(second),
        first_solved=mean(first, lambda trial: trial.passed),
        second_solved=mean(second, lambda trial: trial.passed),
        first_counted=mean(first, lambda trial: trial.counted),
        second_counted=mean(second, lambda trial: trial.counted),
    )


def _contrast(kind: str, label: str, pairs: Sequence[TaskPair]) -> Contrast:
    solved = paired_difference([pair.second_solved - pair.first_solved for pair in pairs])
    first_better = sum(pair.first_solved > pair.second_solved for pair in pairs)
    second_better = sum(pair.second_solved > pair.first_solved for pair in pairs)
    p = exact_mcnemar(first_better, second_better)
    return Contrast(
        kind=kind,
        label=label,
        tasks=len(pairs),
        solved=solved,
        counted=paired_difference([pair.second_counted - pair.first_counted for pair in pairs]),
        first_better=first_better,
        second_better=second_better,
        p=p,
        adjusted_p=p,
        shown=_shown(solved, p),
    )


def _shown(solved: Difference, p: float) -> bool:
    return p < SIGNIFICANT and (solved.interval is None or not solved.interval.low <= 0 <= solved.interval.high)


def _by_label(first: Subject, second: Subject, pairs: dict[str, TaskPair]) -> tuple[Contrast, ...]:
    """By category, tag and the like; the labels of either are a task's."""
    labelled: dict[tuple[str, str], dict[str, TaskPair]] = defaultdict(dict)
    for trial in (*first.trials, *second.trials):
        if trial.task_id not in pairs:
            continue
        labels = trial.labels
        named = [("category", labels.category), ("difficulty", labels.difficulty)]
        named += [("tag", tag) for tag in labels.tags]
        named += [("security", "security-critical")] if labels.security_critical else []
        for kind, label in named:
            if label:
                labelled[kind, label][trial.task_id] = pairs[trial.task_id]
    found = [_contrast(kind, label, list(of.values())) for (kind, label), of in labelled.items()]
    adjusted = holm([one.p for one in found])
    made = [
        Contrast(**{**vars(one), "adjusted_p": p, "shown": _shown(one.solved, p)})
        for one, p in zip(found, adjusted, strict=True)
    ]
    return tuple(sorted(made, key=lambda one: (one.adjusted_p, -abs(one.solved.value or 0.0), one.kind, one.label)))


def signed_percent(value: float | None) -> str:
    """``+12 points``: a difference of two percentages."""
    return "–" if value is None else f"{value * 100:+.0f} points".replace("-0 ", "0 ").replace("+0 ", "0 ")


def range_words(found: Difference) -> str:
    """``-4 to +28 points``."""
    if found.interval is None:
        return "not known"
    return f"{found.interval.low * 100:+.0f} to {found.interval.high * 100:+.0f} points"


def p_words(p: float) -> str:
    """``0.03``; ``below 0.001``."""
    return "below 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _conclusion(first: Subject, second: Subject, overall: Contrast) -> str:
    words = (
        f"{second.name} solves {percent(_mean(second, first))} and {first.name} {percent(_mean(first, second))} of the "
        f"trials of {plural(overall.tasks, 'common task')}: {signed_percent(overall.solved.value)}, 95 % interval "
        f"{range_words(overall.solved)}, p = {p_words(overall.p)}."
    )
    if not overall.shown:
        differing = overall.first_better + overall.second_better
        few = f": they differ on {plural(differing, 'task')}, and on fewer than {FEWEST_DIFFERING} none can be shown"
        return f"No difference shown{few if differing < FEWEST_DIFFERING else ''}. {words}"
    better = second if (overall.solved.value or 0.0) > 0 else first
    return f"{better.name} solves more. {words}"


def _mean(subject: Subject, other: Subject) -> float:
    """The share solved, every common task weighing the same, as in the paired difference."""
    tasks = [task for task in subject.tasks if task in set(other.tasks)]
    return fmean(fmean(trial.passed for trial in subject.of_task(task)) for task in tasks)


def _notes(first: Subject, second: Subject, overall: Contrast, pairs: dict[str, TaskPair]) -> list[str]:
    notes = [
        "Differences are paired by task, and every common task weighs the same. The p-value is of McNemar's exact test."
    ]
    if any(pair.first_trials > 1 or pair.second_trials > 1 for pair in pairs.values()):
        notes.append(
            "Tasks have several trials, so the test is over tasks: for which of the two the larger share was solved."
        )
    differing = overall.first_better + overall.second_better
    if differing < FEWEST_DIFFERING:
        notes.append(
            f"They differ on {plural(differing, 'task')}. With fewer than {FEWEST_DIFFERING} no difference can be "
            "shown; that none is shown does not mean that there is none."
        )
    left = [(len(one.tasks) - len(pairs), one.name) for one in (first, second) if len(one.tasks) > len(pairs)]
    notes += [
        f"{plural(count, 'task')} that only {name} has {'is' if count == 1 else 'are'} left out."
        for count, name in left
    ]
    contracts = {
        task for task in pairs
        if len({trial.contract_digest for subject in (first, second) for trial in subject.of_task(task)}) > 1
    }  # fmt: skip
    if contracts:
        notes.append(f"{plural(len(contracts), 'task')} ran under contracts that differ between the two.")
    notes.append("p-values of labels are adjusted by Holm's method, since many are asked at once.")
    return notes
