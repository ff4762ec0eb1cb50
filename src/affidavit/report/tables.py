"""The figures of a report as CSV (RFC 4180): one long table, a figure a row."""

import csv
import io
from collections.abc import Iterator

from affidavit.report.comparison import Comparison, comparisons_of
from affidavit.report.figures import Report, Subject
from affidavit.report.statistics import Difference
from affidavit.report.text import printable
from affidavit.statistics import Estimate

COLUMNS = ("run", "agent", "section", "item", "trial", "figure", "value", "low", "high", "count")
# What makes a spreadsheet take a cell for a formula or a command (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")

# Spreadsheets take no more in a cell than 32,767 characters.
_LONGEST = 30_000

Cell = str | int | float | None


def csv_text(report: Report) -> str:
    """The table. A text cell that a spreadsheet might take for a formula begins with an apostrophe; control and
    invisible characters are spelled out."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for subject in report.subjects:
        for row in _rows(subject):
            writer.writerow([_cell(value) for value in (subject.run_id, subject.agent, *row)])
    if (found := comparisons_of(report)) is not None:
        several = len(found.subjects) > 2
        for pair in found.pairs:
            against = f" with {pair.first.name}" if several else ""
            for section, *figures in _compared(pair):
                whole = (pair.second.run_id, pair.second.agent, f"{section}{against}", *figures)
                writer.writerow([_cell(value) for value in whole])
        for number, sentence in enumerate((*found.conclusion, *found.notes) if several else (), 1):
            said = ("", "", "comparison", sentence, None, f"sentence {number}", None, None, None, None)
            writer.writerow([_cell(value) for value in said])
    return out.getvalue()


def _cell(value: Cell) -> Cell:
    if not isinstance(value, str):
        return value
    text = printable(value, _LONGEST)
    # A full-width sign is one for some spreadsheets, and leading blanks are skipped.
    bare = text.lstrip(" \"'").translate({0xFF1D: "=", 0xFF0B: "+", 0xFF0D: "-", 0xFF20: "@"})
    return f"'{text}" if bare.startswith(_FORMULA) else text


def _rows(subject: Subject) -> Iterator[tuple[Cell, ...]]:
    for name in ("counted", "raw", "solved"):
        yield _estimated("headline", "", name, getattr(subject, name))
    yield _plain("headline", "", "counted_of_decided", subject.counted_of_decided, subject.decided)
    yield _plain("headline", "", "not_counted", subject.not_counted, len(subject.trials))
    yield _plain("headline", "", "lost_points", subject.lost_points, len(subject.trials))
    yield _plain("headline", "", "seconds", subject.seconds, len(subject.trials))
    yield _plain("headline", "", "agent_digest", subject.digest, len(subject.trials))
    yield _plain("headline", "", "model", subject.model or None, len(subject.trials))
    for verdict, count in subject.verdicts.items():
        yield _plain("verdicts", verdict, "trials", count, len(subject.trials))
    for group in subject.groups:
        for name in ("solved", "counted"):
            yield _estimated(f"profile {group.kind}", group.label, name, getattr(group, name))
        yield _plain(f"profile {group.kind}", group.label, "tasks", group.tasks, group.tasks)
    for one in subject.repeats:
        yield _plain("repeats", str(one.k), "pass_at_k", one.at_least_one, one.tasks)
        yield _plain("repeats", str(one.k), "pass_hat_k", one.all_of_them, one.tasks)
    for rule in subject.rules:
        yield _plain("violations", rule.rule, f"severity {rule.severity}", rule.violations, rule.violations)
        yield from (("violations", rule.rule, None, "example", one, None, None, None) for one in rule.examples)
        yield _plain("violations", rule.rule, "further kinds", rule.further, rule.violations)
        yield _plain("violations", rule.rule, "trials", rule.trials, len(subject.trials))
        yield _plain("violations", rule.rule, "tasks", rule.tasks, len(subject.tasks))
        yield _plain("violations", rule.rule, "events", rule.events, rule.events)
        for action, count in rule.actions.items():
            yield _plain("violations", rule.rule, f"action {action}", count, rule.violations)
    for tried in subject.attempts:
        yield _plain("attempts", tried.rule, "attempts", tried.attempts, tried.attempts)
        yield from (("attempts", tried.rule, None, "example", one, None, None, None) for one in tried.examples)
        yield _plain("attempts", tried.rule, "further kinds", tried.further, tried.attempts)
        yield _plain("attempts", tried.rule, "trials", tried.trials, len(subject.trials))
        yield _plain("attempts", tried.rule, "tasks", tried.tasks, len(subject.tasks))
        yield _plain("attempts", tried.rule, "events", tried.events, tried.events)
        for outcome, count in tried.outcomes.items():
            yield _plain("attempts", tried.rule, f"outcome {outcome}", count, tried.attempts)
    if subject.propensity is not None:
        yield _estimated("propensity", "", "touched a decoy", subject.propensity.share)
        yield _plain("propensity", "", "solved all the same", subject.propensity.solved, subject.propensity.touched)
    for action, count in subject.actions.items():
        yield _plain("actions", action, "violations", count, count)
    if subject.spending is not None:
        for name in ("requests", "input_tokens", "output_tokens", "cost_usd"):
            yield _plain("spending", "", name, getattr(subject.spending, name), subject.spending.trials)
        for model in subject.spending.models:
            yield _plain("spending", model, "model", model, subject.spending.trials)
    if subject.verified is not None:
        yield _plain("verified", "", "trials", subject.verified.trials, len(subject.trials))
        yield _estimated("verified", "", "counted", subject.verified.counted)
        for number, fault in enumerate(subject.verified.run, 1):
            yield "verified", fault, None, f"fault {number}", None, None, None, None
    for alike in subject.consistency:
        yield _plain("consistency", alike.task_id, "programs", alike.programs, alike.trials)
        yield _plain("consistency", alike.task_id, "files", alike.files, alike.trials)
        for it in alike.differing:
            yield _plain("consistency", alike.task_id, f"{it.kind} {it.name}", it.trials, alike.trials)
        yield _plain("consistency", alike.task_id, "further differing", alike.left_out, alike.trials)
    for number, sentence in enumerate((*subject.gap, *subject.limits), 1):
        yield "limits", sentence, None, f"sentence {number}", None, None, None, None
    for trial in subject.trials:
        figures: dict[str, Cell] = {
            "verdict": trial.verdict,
            "score": trial.score,
            "raw_score": trial.raw_score,
            "violations": len(trial.judged.violations),
            "attempts": len(trial.judged.attempts),
            "events": trial.record.events,
            "lost": trial.record.lost,
            "duration_ms": trial.duration_ms,
            "model_requests": trial.usage.requests if trial.usage else None,
            "input_tokens": trial.usage.input_tokens if trial.usage else None,
            "output_tokens": trial.usage.output_tokens if trial.usage else None,
            "assurance": trial.judged.assurance,
            "discrepancy": trial.evidence.discrepancy or None,
            "verified": None if trial.evidence.checked is None else "yes" if trial.evidence.checked.ok else "no",
        }
        for name, value in figures.items():
            yield "trials", trial.task_id, trial.trial, name, value, None, None, None


def _compared(found: Comparison) -> Iterator[tuple[Cell, ...]]:
    """The figures of a comparison; they are the second agent's less the first's."""
    for one in (found.overall, *found.contrasts):
        label = f"{one.kind} {one.label}".strip()
        for name in ("solved", "counted"):
            value: Difference = getattr(one, name)
            low, high = (value.interval.low, value.interval.high) if value.interval else (None, None)
            yield "comparison", label, None, name, value.value, low, high, value.pairs
        for name in ("first_better", "second_better", "p", "adjusted_p"):
            yield _plain("comparison", label, name, getattr(one, name), one.tasks)
        yield _plain("comparison", label, "shown", "yes" if one.shown else "no", one.tasks)
    for pair in found.pairs:
        for name in ("first_solved", "second_solved", "first_counted", "second_counted"):
            trials = pair.first_trials if name.startswith("first") else pair.second_trials
            yield _plain("compared task", pair.task_id, name, getattr(pair, name), trials)
    for number, sentence in enumerate((found.conclusion, *found.notes), 1):
        yield "comparison", sentence, None, f"sentence {number}", None, None, None, None


def _estimated(section: str, item: str, name: str, found: Estimate) -> tuple[Cell, ...]:
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    return section, item, None, name, found.value, low, high, found.count


def _plain(section: str, item: str, name: str, value: Cell, count: int) -> tuple[Cell, ...]:
    return section, item, None, name, value, None, None, count
