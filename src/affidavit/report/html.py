"""Reports as pages: one self-contained file, or an index with a page for each trial.

Names, messages, output and paths in a page were chosen by whoever is evaluated. Three things keep them from doing harm,
each sufficient alone: every value is made of visible characters and escaped on its way out of a template (`clean`, and
Jinja's autoescape), no template puts a value into a script, a style or a link, and the page's Content-Security-Policy
allows nothing but the one style and the one script whose digests it names.
"""

import base64
import hashlib
import math
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.report.agent_names import short_digest
from affidavit.report.comparison import Comparisons, comparisons_of, p_words, range_words, signed_percent
from affidavit.report.figures import (
    Repeat,
    Report,
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
from affidavit.report.runs import VERDICTS, ReportError, TrialView
from affidavit.report.text import printable
from affidavit.report.trial_detail import Bar, Lane, Timeline, read_detail
from affidavit.report.workers import Share
from affidavit.signing import EvidenceError, write_whole
from affidavit.statistics import Estimate

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_IN_ONE_FILE = 300
"""Trials that one file holds with all their detail; with more, a page becomes too large to be read."""

_LONGEST = 2_000
_LONGEST_LINE = 500
_MOST_LINES = 400
_CURVE_WIDTH, _CURVE_HEIGHT = 280, 140
_LANE_HEIGHT = 20
# Of a wide letter in a bar of the timeline, 10 units tall, so that no text leaves its bar.
_LETTER_WIDTH = 7.0
_FEWEST_LETTERS = 6

_VERDICT_WORDS = {
    "pass": "The record is complete, the contract was kept, and the graders found the task solved.",
    "fail": "The record is complete and the contract was kept, but the graders found the task not solved.",
    "violation": "The agent broke its contract, so nothing that it earned counts.",
    "inconclusive": "The evidence does not suffice to judge this trial, so it has no score.",
    "error": "The machinery failed, which says nothing about the agent; the trial has no score.",
}

Key = tuple[str, str, str, int]
"""A trial: run, agent, task, number."""


@dataclass(frozen=True)
class Live:
    """A page that is served, and notified when there is more to show.

    Attributes:
        events: where the notifications come from, a relative address.
        state: what it shows; another state means that there is more.
    """

    events: str
    state: str


def write_page(report: Report, path: Path) -> None:
    """Write the whole report into one file, whole or not at all.

    Raises:
        ReportError: the file can't be written, or there are too many trials for one file.
    """
    trials = [trial for subject in report.subjects for trial in subject.trials]
    if len(trials) > MOST_IN_ONE_FILE:
        raise ReportError(
            f"--html {path}: {len(trials)} trials are too many for one file ({MOST_IN_ONE_FILE} at most); "
            "name a folder instead, which gets a page for each trial"
        )
    links = {key_of(trial): f"#trial-{number}" for number, trial in enumerate(trials, 1)}
    details = {key_of(trial): read_detail(trial) for trial in trials}
    _write_file(path, _report_page(report, links, details))


def write_pages(report: Report, folder: Path, share: Share = map) -> None:
    """Write an index and a page for each trial into a folder, which appears whole or not at all.

    Args:
        report: of any number of trials.
        folder: is made.
        share: makes the pages of trials; see `shared`.

    Raises:
        ReportError: the folder holds something already, or can't be written.
    """
    trials = [(subject, trial) for subject in report.subjects for trial in subject.trials]
    names = [f"trial-{number:05d}.html" for number in range(1, len(trials) + 1)]
    links = {key_of(trial): name for (_, trial), name in zip(trials, names, strict=True)}
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise ReportError(f"--html {folder}: is not empty; name a new folder, or a file that ends in .html")
        temporary.mkdir(parents=True)
        several = len(report.subjects) > 1
        pages = [
            _TrialPage(temporary, subject.name if several else "", trial, before, name, after)
            for (subject, trial), before, name, after in zip(
                trials, [None, *names], names, [*names[1:], None], strict=False
            )
        ]
        for _ in share(_write_trial, pages):
            pass
        (temporary / "index.html").write_text(_report_page(report, links, None), encoding="utf-8")
        temporary.rename(folder)
    except OSError as error:
        raise ReportError(f"--html {folder}: can't be written: {error.strerror}; name another place") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class _TrialPage:
    """The page of a trial that is to be written; `before`, `after`: the names of those beside it."""

    folder: Path
    subject: str
    trial: TrialView
    before: str | None
    name: str
    after: str | None


def _write_trial(page: _TrialPage) -> None:
    text = trial_page(page.subject, page.trial, before=page.before, after=page.after)
    (page.folder / page.name).write_text(text, encoding="utf-8")


def trial_page(
    subject: str, trial: TrialView, *, before: str | None, after: str | None, live: Live | None = None
) -> str:
    """The page of one trial.

    Args:
        subject: the agent's name, where there are several; else empty.
        before, after: names of the pages beside it.
        live: for a page that is served while its run goes on.
    """
    return _environment().get_template("trial.html.j2").render(
        **_frame(f"{trial.task_id} · trial {trial.trial}", live),
        trial=trial,
        subject=subject,
        found=read_detail(trial),
        before=before,
        after=after,
    )  # fmt: skip


def index_page(report: Report, links: Mapping[Key, str], live: Live | None = None) -> str:
    """The page that leads to those of the trials.

    Args:
        links: the name of each trial's page.
        live: as in `trial_page`.
    """
    return _report_page(report, links, None, live)


def write_comparison(found: Comparisons, path: Path) -> None:
    """Write a comparison into one file. Raises ReportError where that can't be written."""
    page = _environment().get_template("comparison.html.j2")
    number = "two" if len(found.subjects) == 2 else str(len(found.subjects))
    _write_file(path, page.render(**_frame(f"Comparison of {number} agents"), found=found))


def clean(value: Any) -> Any:
    """A value on its way into a page: text of visible characters and bounded length. Markup of our own templates stays
    as it is."""
    # Markup is a class of its own. This is asked of every value of a page.
    return printable(value, _LONGEST) if type(value) is str else value


def _report_page(
    report: Report, links: Mapping[Key, str], details: Mapping[Key, Any] | None, live: Live | None = None
) -> str:
    verdicts = {verdict: sum(subject.verdicts[verdict] for subject in report.subjects) for verdict in VERDICTS}
    return _environment().get_template("report.html.j2").render(
        **_frame("Affidavit report", live),
        report=report,
        comparison=comparisons_of(report),
        many=report.many,
        subjects=report.ranked if report.many else report.subjects,
        matrix=_matrix(report),
        verdicts=verdicts,
        verified=any(subject.verified for subject in report.subjects),
        doubtful=any(subject.verified and subject.verified.trials < len(subject.trials) for subject in report.subjects),
        spending=any(subject.spending for subject in report.subjects),
        priced=any(subject.spending and subject.spending.cost_usd is not None for subject in report.subjects),
        links=links,
        details=details,
    )  # fmt: skip


@dataclass(frozen=True)
class _Row:
    """A task of the matrix; `cells`: its trials for each subject."""

    task_id: str
    cells: tuple[tuple[TrialView, ...], ...]

    @property
    def solved(self) -> float:
        trials = [trial for of in self.cells for trial in of]
        return sum(trial.passed for trial in trials) / len(trials)


def _matrix(report: Report) -> list[_Row]:
    of: dict[str, list[list[TrialView]]] = {}
    for index, subject in enumerate(report.subjects):
        for trial in subject.trials:
            of.setdefault(trial.task_id, [[] for _ in report.subjects])[index].append(trial)
    rows = [_Row(task, tuple(map(tuple, cells))) for task, cells in of.items()]
    return sorted(rows, key=lambda row: row.solved)


def key_of(trial: TrialView) -> Key:
    """What tells a trial from all others of a report."""
    return (trial.run_id, trial.agent.name, trial.task_id, trial.trial)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(str(files("affidavit.report") / "pages")),
        autoescape=True,
        finalize=clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "bar_words": _bar_words,
        "columns": _columns,
        "common_limits": common_limits,
        "consistency_words": consistency_words,
        "curve": _curve,
        "estimate_words": lambda found: f"{percent(found.value)}, 95 % interval {interval_words(found)}",
        "expand": lambda line: line.expandtabs(4)[:_LONGEST_LINE],
        "fitting": _fitting,
        "interval_words": _interval_words,
        "jaggedness": lambda subject: jaggedness(subject.groups),
        "key": key_of,
        "p_words": p_words,
        "percent": percent,
        "processes": lambda count: plural(count, "process", "processes"),
        "plural": lambda count, one: plural(count, one),
        "plain": lambda value: "–" if value is None else f"{value:.2f}",
        "points": points,
        "program": _program,
        "propensity": propensity_words,
        "range_words": range_words,
        "sampled": _sampled,
        "short_digest": short_digest,
        "signed_percent": signed_percent,
        "spans": _spans,
        "text_lines": _text_lines,
        "verified_words": verified_words,
        "verdict_words": lambda trial: _VERDICT_WORDS[trial.verdict],
    }
    environment.filters.update(filters)
    return environment


@cache
def _own_parts() -> tuple[str, str]:
    """Style and script."""
    pages = files("affidavit.report") / "pages"
    style, script = ((pages / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    return style, script


@cache
def content_policy(*, live: bool) -> str:
    """The Content-Security-Policy: our style and our script and nothing else; a live page may ask its own server."""

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    style, script = map(source, _own_parts())
    own = "connect-src 'self'; " if live else ""
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; {own}base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _frame(title: str, live: Live | None = None) -> dict[str, Any]:
    """What every page has around its content."""
    from markupsafe import Markup

    style, script = _own_parts()
    policy = content_policy(live=live is not None)
    # Ours, from the package: the policy's digests are of exactly these characters.
    return {
        "title": title,
        "style": Markup(style),
        "script": Markup(script),
        "policy": Markup(policy),
        "live": live,
    }


def _columns(lane: Lane, left: float, width: float, base: float) -> str:
    """The columns of a lane as one path: as tall as the logarithm of their events."""
    most = max(lane.counts, default=0)
    step = width / len(lane.counts)
    heights = [_LANE_HEIGHT * max(0.1, math.log1p(count) / math.log1p(most)) if count else 0 for count in lane.counts]
    columns = [(left + place * step, height) for place, height in enumerate(heights) if height]
    return "".join(f"M{x:.1f} {base}v-{height:.1f}h5V{base}z" for x, height in columns)


def _spans(found: Timeline, left: float, width: float, base: float) -> str:
    """The turns of a model as one path, each as wide as it took."""
    scale = width / found.seconds
    return "".join(
        f"M{left + start * scale:.1f} {base}v-{_LANE_HEIGHT / 2}h{max(2.0, (end - start) * scale):.1f}V{base}z"
        for start, end in found.turns
    )


def _curve(repeats: Sequence[Repeat], name: str) -> str:
    """The points of a curve in its drawing."""
    last = max(1, len(repeats) - 1)
    points = ((index / last, getattr(one, name)) for index, one in enumerate(repeats))
    return " ".join(f"{x * _CURVE_WIDTH:.1f},{(1 - y) * _CURVE_HEIGHT:.1f}" for x, y in points)


def _sampled(repeats: Sequence[Repeat]) -> list[Repeat]:
    """All points of a short curve, else the first ones, every tenth and the last."""
    return [one for one in repeats if one.k <= 10 or one.k % 10 == 0 or one.k == len(repeats)]


def _interval_words(found: Estimate) -> str:
    return interval_words(found) or "not known"


def _program(command: str) -> str:
    """The name of a program for a label: no path, no arguments."""
    name = command.split(" ", 1)[0].rsplit("/", 1)[-1]
    return printable(name, 16) or "–"


def _bar_words(bar: Bar) -> str:
    """A process of the timeline for who does not see its bar."""
    ended = ", exit status not 0" if bar.failed else ""
    return f"{printable(bar.command, _LONGEST_LINE)}, from {bar.start:.2f} to {bar.end:.2f} s{ended}"


def _fitting(command: str, width: float) -> str:
    """As much of a command as fits into its bar; nothing where that would be a few letters."""
    letters = int((width - 8) / _LETTER_WIDTH)
    return printable(command, letters) if letters >= _FEWEST_LETTERS else ""


def _text_lines(text: str) -> list[str]:
    """Lines of a longer text; what is too long is cut, and says so."""
    lines = [line.expandtabs(4) for line in text.replace("\r\n", "\n").split("\n")]
    shown = [line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…" for line in lines[:_MOST_LINES]]
    return [*shown, f"… {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else shown


def _write_file(path: Path, text: str) -> None:
    try:
        write_whole(path, text.encode())
    except EvidenceError as error:
        raise ReportError(f"--html {error}; name another place") from error
