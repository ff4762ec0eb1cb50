"""A report on one screen of a terminal, 80 columns wide."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import IO

from rich.console import Console
from rich.text import Text

from affidavit.report.comparison import comparisons_of
from affidavit.report.console import open_console
from affidavit.report.figures import (
    Group,
    Report,
    Subject,
    common_limits,
    consistency_words,
    interval_words,
    jaggedness,
    percent,
    plural,
    points,
    propensity_words,
    verified_words,
)
from affidavit.report.runs import VERDICTS
from affidavit.report.text import printable
from affidavit.statistics import Estimate

WIDTH = 80
_MOST_TASKS = 12
_MOST_AGENTS = 25
_NAME_WIDTH = 32
_MOST_GROUPS = 5
_MOST_RULES = 6
_MOST_EXAMPLES = 3
_MOST_MARKS = 40
_LONGEST_SENTENCE = 800
# A letter each, so that the table says the same without colour.
_MARKS = {"pass": "P", "fail": "f", "violation": "V", "inconclusive": "i", "error": "e"}
_STYLES = {"pass": "green", "fail": "yellow", "violation": "bold red", "inconclusive": "magenta", "error": "magenta"}


def print_report(report: Report, out: IO[str]) -> None:
    """The main figures of each subject: score pair, matrix, worst labels, repeats, broken rules; then the limits, those
    of all once."""
    console = open_console(out, WIDTH)
    for line in _screen(report):
        line.truncate(WIDTH, overflow="ellipsis")
        console.print(line, no_wrap=True, crop=True)


def print_sentences(console: Console, sentences: Sequence[str], indent: str = "  ") -> None:
    """Sentences, each wrapped to the screen."""
    for sentence in sentences:
        for line in _wrapped(sentence, indent):
            console.print(line)


def _screen(report: Report) -> Iterator[Text]:
    if not report.subjects:
        yield Text("no trials")
        return
    if report.many:
        yield from _ranking(report)
        yield Text()
    for subject in () if report.many else report.subjects:
        yield from _lines(subject)
        yield Text()
    if (compared := comparisons_of(report)) is not None:
        yield Text("Comparison", "bold")
        for sentence in compared.conclusion:
            yield from _wrapped(sentence)
        yield Text()
    yield Text("How far to trust this", "bold")
    shared = common_limits(report.subjects)
    for sentence in shared:
        yield from _wrapped(sentence)
    if report.many:
        yield from _wrapped("What else limits the figures of each agent: see --html or --json.")
    for subject in () if report.many else report.subjects:
        own = [sentence for sentence in subject.limits if sentence not in shared]
        if own and len(report.subjects) > 1:
            yield Text(f"{printable(subject.name, WIDTH - 1)}:")
        for sentence in own:
            yield from _wrapped(sentence)


def _ranking(report: Report) -> Iterator[Text]:
    """A line for each agent, the best first."""
    trials = sum(len(subject.trials) for subject in report.subjects)
    tasks = {task for subject in report.subjects for task in subject.tasks}
    yield Text(f"{len(report.subjects)} agents: {plural(trials, 'trial')} of {plural(len(tasks), 'task')}", "bold")
    yield Text(f"  {'agent':{_NAME_WIDTH}} {'counted':>7} {'95 % interval':>13} {'raw':>6}  verdicts", "bold")
    for subject in report.ranked[:_MOST_AGENTS]:
        interval = (interval_words(subject.counted) or "").removesuffix(" %")
        line = Text(f"  {printable(subject.name, _NAME_WIDTH):{_NAME_WIDTH}} {percent(subject.counted.value):>7} ")
        line.append(f"{interval:>13} {percent(subject.raw.value):>6}  ")
        for verdict in VERDICTS:
            if count := subject.verdicts[verdict]:
                line.append(f"{count}{_MARKS[verdict]} ", _STYLES[verdict])
        yield line
    if (left := len(report.subjects) - _MOST_AGENTS) > 0:
        yield Text(f"  and {plural(left, 'agent')} more: see --html or --csv")
    if not report.same_tasks:
        yield from _wrapped("They did not all try the same tasks, so their scores can't be compared directly.")
    yield Text("  " + ", ".join(f"{mark} {verdict}" for verdict, mark in _MARKS.items()))


def _lines(subject: Subject) -> Iterator[Text]:
    trials = f"{plural(len(subject.trials), 'trial')} of {plural(len(subject.tasks), 'task')}"
    yield Text(f"{printable(subject.name, 48)}: {trials}", "bold")
    yield Text("  counted score  ").append(_estimate(subject.counted), "bold")
    yield Text(f"  raw score      {_estimate(subject.raw)}")
    yield Text(f"  solved         {_estimate(subject.solved)}")
    lost = (f"In all, {points(subject.lost_points)} of the raw score are not counted.",) if subject.not_counted else ()
    for sentence in (*subject.gap, *lost, *verified_words(subject)):
        yield from _wrapped(sentence)
    yield Text()
    yield _legend(subject)
    yield from _matrix(subject)
    if subject.groups:
        yield Text()
        yield Text("Weakest labels, by trials solved", "bold")
        width = max(len(_label(group)) for group in subject.groups[:_MOST_GROUPS])
        for group in subject.groups[:_MOST_GROUPS]:
            yield Text(f"  {_label(group):{width}}  {_estimate(group.solved)}, {plural(group.tasks, 'task')}")
        if spread := jaggedness(subject.groups):
            yield from _wrapped(spread)
    if subject.repeated:
        yield Text()
        at, hat = (
            ", ".join(f"{percent(value)} for {k}" for k, value in _sampled(subject, name))
            for name in ("at_least_one", "all_of_them")
        )
        yield from _wrapped(f"pass@k (one of k passes): {at}", "")
        yield from _wrapped(f"pass^k (all k pass): {hat}", "")
        if alike := consistency_words(subject.consistency):
            yield from _wrapped(alike, "")
    if subject.rules:
        yield Text()
        yield Text("Broken rules", "bold")
        for rule in subject.rules[:_MOST_RULES]:
            yield Text(f"  {printable(rule.rule, 40)} [{rule.severity}] in {plural(rule.trials, 'trial')}")
            for example in rule.examples[:_MOST_EXAMPLES]:
                yield Text(f"    {printable(example, WIDTH - 4)}")
            if further := len(rule.examples[_MOST_EXAMPLES:]) + rule.further:
                yield Text(f"    and {further} more of other kinds")
        if len(subject.rules) > _MOST_RULES:
            yield Text(f"  and {len(subject.rules) - _MOST_RULES} more")
    if subject.attempts:
        tried = plural(sum(one.attempts for one in subject.attempts), "attempt")
        trials = plural(sum(bool(trial.judged.attempts) for trial in subject.trials), "trial")
        yield from _wrapped(f"{tried} to break a rule in {trials} came to nothing and count for nothing.", "")
    if subject.propensity is not None:
        yield from _wrapped(propensity_words(subject.propensity), "")


def _estimate(found: Estimate) -> str:
    words = interval_words(found)
    return f"{percent(found.value):>6}" + (f"  (95 % interval {words})" if words else "")


def _label(group: Group) -> str:
    return f"{group.kind} {printable(group.label, 30)}"


def _legend(subject: Subject) -> Text:
    line = Text("Trials by task: ", "bold")
    for verdict in VERDICTS:
        if subject.verdicts[verdict]:
            line.append(_MARKS[verdict], _STYLES[verdict]).append(
                f" {subject.verdicts[verdict]} {verdict}  ", "default"
            )
    return line


def _matrix(subject: Subject) -> Iterator[Text]:
    """The tasks that failed most first, since they are what one looks for."""
    of = subject.by_task
    order = sorted(of, key=lambda task: sum(trial.passed for trial in of[task]) / len(of[task]))
    width = max((len(printable(task, 30)) for task in order[:_MOST_TASKS]), default=0)
    for task in order[:_MOST_TASKS]:
        line = Text(f"  {printable(task, 30):{width}}  ")
        for trial in of[task][:_MOST_MARKS]:
            line.append(_MARKS[trial.verdict], _STYLES[trial.verdict])
        yield line.append("…" if len(of[task]) > _MOST_MARKS else "")
    if len(order) > _MOST_TASKS:
        yield Text(f"  and {len(order) - _MOST_TASKS} tasks more: see --html or --json")


def _sampled(subject: Subject, name: str) -> list[tuple[int, float]]:
    """A few points of a curve: the first ones and the last."""
    shown = [*subject.repeats[:3], *subject.repeats[3:][-1:]]
    return [(one.k, getattr(one, name)) for one in shown]


def _wrapped(sentence: str, indent: str = "  ") -> Iterator[Text]:
    for line in textwrap.wrap(printable(sentence, _LONGEST_SENTENCE), WIDTH - len(indent), subsequent_indent=""):
        yield Text(indent + line)
