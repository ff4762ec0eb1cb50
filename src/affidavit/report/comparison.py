"""Agents on the same tasks: paired differences of two, or of every two, and whether they show anything."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, count
from statistics import fmean
from typing import Any

from affidavit.report.figures import Report, Subject, percent, plural
from affidavit.report.runs import ReportError, TrialView
from affidavit.report.statistics import Difference, exact_mcnemar, holm, paired_difference

SCHEMA = "affidavit.comparison/v1"
SCHEMA_OF_ALL = "affidavit.comparisons/v1"
MOST_AGENTS = 20
"""That are compared at once, each with each: 190 pairs."""
SIGNIFICANT = 0.05
FEWEST_DIFFERING = 6
"""Tasks on which two agents must differ before an exact test at 5 % can show anything: 2 / 2**5 is above it."""

# Pairs without a difference that a sentence names.
_MOST_NAMED = 6
_MOST_LISTED = 12


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
        adjusted_p: by Holm; over all labels for a label, over all pairs of agents for all tasks, so that it is `p` with
            two agents.
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


@dataclass(frozen=True)
class Comparisons:
    """Several agents, each with each.

    Attributes:
        pairs: of those that have tasks in common, in the order of the subjects. With more than one pair, the p-values
            over all tasks are adjusted by Holm over the pairs, and those of labels over the labels of all pairs.
        apart: the names of two that have no task in common, which are not compared.
        conclusion: in sentences.
        notes: what a reader must know.
    """

    subjects: tuple[Subject, ...]
    pairs: tuple[Comparison, ...]
    apart: tuple[tuple[str, str], ...]
    conclusion: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Every figure, as ``--json`` prints it: of two agents, their comparison."""
        if len(self.subjects) == 2:
            return self.pairs[0].to_json()
        return {
            "schema": SCHEMA_OF_ALL,
            "level": 0.95,
            "conclusion": list(self.conclusion),
            "pairs": [pair.to_json() for pair in self.pairs],
            "apart": [list(names) for names in self.apart],
            "notes": list(self.notes),
        }


def compare(report: Report) -> Comparisons:
    """Compare all subjects of a report, each with each, paired by task.

    Raises:
        ReportError: there are fewer than two, or more than MOST_AGENTS, or no two have a task in common.
    """
    if not 2 <= len(report.subjects) <= MOST_AGENTS:
        names = ", ".join(subject.name for subject in report.subjects[:MOST_AGENTS]) or "none"
        raise ReportError(
            f"a comparison is of 2 to {MOST_AGENTS} agents, and the runs hold {len(report.subjects)}: {names}"
        )
    found, apart = [], []
    for first, second in combinations(report.subjects, 2):
        if {*first.tasks} & {*second.tasks}:
            found.append(_compared(first, second))
        else:
            apart.append((first.name, second.name))
    if not found:
        names = " and ".join(apart[0]) if len(apart) == 1 else "any two of the agents"
        raise ReportError(f"{names} have no task in common, so nothing can be compared")
    pairs = _adjusted(found)
    return Comparisons(
        report.subjects, pairs, tuple(apart), tuple(_conclusions(pairs)), tuple(_notes_of_all(pairs, apart))
    )


def comparisons_of(report: Report) -> Comparisons | None:
    """The comparison that a report of several agents holds, whose reader asks first which is better; None where there
    is none to be made."""
    try:
        return compare(report)
    except ReportError:
        return None


def report_json(report: Report) -> dict[str, Any]:
    """Every figure of a report, as ``affidavit report --json`` prints it: ``comparison`` is that of two agents, and
    ``comparisons`` that of more; null otherwise."""
    found = comparisons_of(report)
    several = len(report.subjects) > 2
    return {
        **report.to_json(),
        "comparison": None if found is None or several else found.to_json(),
        "comparisons": found.to_json() if found is not None and several else None,
    }


def _compared(first: Subject, second: Subject) -> Comparison:
    """Two subjects; no p-value is adjusted yet, and nothing is said in words."""
    others = {*second.tasks}
    of_first, of_second = first.by_task, second.by_task
    pairs = {task: _pair(task, of_first[task], of_second[task]) for task in first.tasks if task in others}
    ordered = sorted(pairs.values(), key=lambda one: (-abs(one.second_solved - one.first_solved), one.task_id))
    return Comparison(
        first=first,
        second=second,
        conclusion="",
        overall=_contrast("all", "", list(pairs.values())),
        contrasts=_by_label(first, second, pairs),
        pairs=tuple(ordered),
        only_first=tuple(task for task in first.tasks if task not in pairs),
        only_second=tuple(task for task in second.tasks if task not in pairs),
        notes=(),
    )


def _adjusted(found: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """With what many questions at once take from each p-value, and then in words."""
    overall = holm([one.overall.p for one in found])
    labels = iter(holm([contrast.p for one in found for contrast in one.contrasts]))
    made = []
    for one, p in zip(found, overall, strict=True):
        contrasts = sorted(
            (_with_p(contrast, next(labels)) for contrast in one.contrasts),
            key=lambda it: (it.adjusted_p, -abs(it.solved.value or 0.0), it.kind, it.label),
        )
        whole = _with_p(one.overall, p)
        made.append(
            replace(
                one,
                overall=whole,
                contrasts=tuple(contrasts),
                conclusion=_conclusion(one, whole, several=len(found) > 1),
                notes=tuple(_notes(one, whole)),
            )
        )
    return tuple(made)


def _with_p(contrast: Contrast, adjusted_p: float) -> Contrast:
    return replace(contrast, adjusted_p=adjusted_p, shown=_shown(contrast.solved, adjusted_p))


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
    return tuple(_contrast(kind, label, list(of.values())) for (kind, label), of in labelled.items())


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


def _conclusion(found: Comparison, overall: Contrast, *, several: bool) -> str:
    first, second = found.first.name, found.second.name
    # Every common task weighs the same, as in the paired difference.
    solved = [fmean(getattr(pair, name) for pair in found.pairs) for name in ("first_solved", "second_solved")]
    p = f"p = {p_words(overall.p)}"
    if several:
        p += f", adjusted {p_words(overall.adjusted_p)}"
    words = (
        f"{second} solves {percent(solved[1])} and {first} {percent(solved[0])} of the "
        f"trials of {plural(overall.tasks, 'common task')}: {signed_percent(overall.solved.value)}, 95 % interval "
        f"{range_words(overall.solved)}, {p}."
    )
    if not overall.shown:
        differing = overall.first_better + overall.second_better
        few = f": they differ on {plural(differing, 'task')}, and on fewer than {FEWEST_DIFFERING} none can be shown"
        return f"No difference shown{few if differing < FEWEST_DIFFERING else ''}. {words}"
    better = second if (overall.solved.value or 0.0) > 0 else first
    return f"{better} solves more. {words}"


def _conclusions(pairs: Sequence[Comparison]) -> Iterable[str]:
    """What all pairs together show, in sentences."""
    if len(pairs) == 1:
        yield pairs[0].conclusion
        return
    better: dict[str, list[str]] = defaultdict(list)
    alike = []
    for pair in pairs:
        names = (pair.first.name, pair.second.name)
        if not pair.overall.shown:
            alike.append(" and ".join(names))
        elif (pair.overall.solved.value or 0.0) > 0:
            better[names[1]].append(names[0])
        else:
            better[names[0]].append(names[1])
    for name, worse in better.items():
        yield f"{name} solves more than {_listed(worse)}."
    if len(alike) > _MOST_NAMED:
        rest = (
            "any two of these agents" if len(alike) == len(pairs) else f"the two agents of the other {len(alike)} pairs"
        )
        yield f"No difference shown between {rest}."
    elif alike:
        yield f"No difference shown between {_listed(alike, '; nor between ')}."
    # Holm multiplies the smallest p-value, at best 2 / 2**n with n differing tasks, by the number of pairs.
    fewest = next(n for n in count(1) if len(pairs) * 2 / 2**n < SIGNIFICANT)
    most = max(pair.overall.first_better + pair.overall.second_better for pair in pairs)
    if most < fewest:
        yield (
            f"Among {len(pairs)} pairs a difference can be shown only where two agents differ on {fewest} tasks or "
            f"more; none of these differ on more than {most}."
        )


def _listed(names: Sequence[str], separator: str = ", ") -> str:
    shown = separator.join(names[:_MOST_LISTED])
    return shown if len(names) <= _MOST_LISTED else f"{shown}, and {len(names) - _MOST_LISTED} more"


_BY_TASK = (
    "Differences are paired by task, and every common task weighs the same. The p-value is of McNemar's exact test."
)
_OVER_TASKS = "Tasks have several trials, so the test is over tasks: for which of the two the larger share was solved."


def _notes(found: Comparison, overall: Contrast) -> list[str]:
    notes = [_BY_TASK]
    if any(pair.first_trials > 1 or pair.second_trials > 1 for pair in found.pairs):
        notes.append(_OVER_TASKS)
    differing = overall.first_better + overall.second_better
    if differing < FEWEST_DIFFERING:
        notes.append(
            f"They differ on {plural(differing, 'task')}. With fewer than {FEWEST_DIFFERING} no difference can be "
            "shown; that none is shown does not mean that there is none."
        )
    left = [(len(found.only_first), found.first.name), (len(found.only_second), found.second.name)]
    notes += [
        f"{plural(count, 'task')} that only {name} has {'is' if count == 1 else 'are'} left out."
        for count, name in left
        if count
    ]
    of_first, of_second = found.first.by_task, found.second.by_task
    contracts = [
        pair for pair in found.pairs
        if len({trial.contract.digest for of in (of_first, of_second) for trial in of[pair.task_id]}) > 1
    ]  # fmt: skip
    if contracts:
        notes.append(f"{plural(len(contracts), 'task')} ran under contracts that differ between the two.")
    notes.append("p-values of labels are adjusted by Holm's method, since many are asked at once.")
    return notes


def _notes_of_all(pairs: Sequence[Comparison], apart: Sequence[tuple[str, str]]) -> list[str]:
    if len(pairs) == 1 and not apart:
        return [*pairs[0].notes]
    notes = [
        f"{_BY_TASK} It is adjusted by Holm's method over the {plural(len(pairs), 'pair')} of agents, since many are "
        "asked at once, and that of a label over the labels of all pairs.",
        f"Two agents that differ on fewer than {FEWEST_DIFFERING} tasks can't be shown to differ; that no difference "
        "is shown does not mean that there is none.",
    ]
    if any(_OVER_TASKS in pair.notes for pair in pairs):
        notes.append(_OVER_TASKS)
    if apart:
        notes.append(f"Without a task in common, and so not compared: {_listed([' and '.join(two) for two in apart])}.")
    return notes
