"""A comparison on a terminal, 80 columns wide."""

from typing import IO

from rich.console import Console
from rich.text import Text

from affidavit.report.comparison import (
    Comparison,
    Comparisons,
    Contrast,
    p_words,
    range_words,
    signed_percent,
)
from affidavit.report.console import open_console
from affidavit.report.figures import percent
from affidavit.report.overview import WIDTH, print_sentences
from affidavit.report.text import printable

_MOST = 12
_MOST_PAIRS = 45


def print_comparison(found: Comparisons, out: IO[str]) -> None:
    """Of two agents the conclusion, then labels and tasks, the largest differences first; of more, each pair."""
    console = open_console(out, WIDTH)
    if len(found.subjects) == 2:
        _print_pair(console, found.pairs[0])
    else:
        _print_pairs(console, found)


def _print_pairs(console: Console, found: Comparisons) -> None:
    letters = {subject.name: _letters(number) for number, subject in enumerate(found.subjects)}
    for subject in found.subjects:
        console.print(Text(f"{letters[subject.name]}: {printable(subject.name, 70)}"))
    print_sentences(console, found.conclusion, "")
    console.print()
    console.print(Text("Solved, the first less the second", "bold"))
    for pair in found.pairs[:_MOST_PAIRS]:
        named = f"{letters[pair.second.name]} less {letters[pair.first.name]}, {pair.overall.tasks} tasks"
        _print_contrast(console, named, pair.overall)
    if len(found.pairs) > _MOST_PAIRS:
        console.print(Text(f"  and {len(found.pairs) - _MOST_PAIRS} more pairs: see --html or --json"))
    console.print()
    print_sentences(console, found.notes)


def _letters(number: int) -> str:
    return chr(ord("A") + number)


def _print_pair(console: Console, found: Comparison) -> None:
    console.print(Text(f"A: {printable(found.first.name, 70)}"))
    console.print(Text(f"B: {printable(found.second.name, 70)}"))
    print_sentences(console, [found.conclusion], "")
    console.print()
    console.print(Text("Solved, B less A", "bold"))
    for contrast in (found.overall, *found.contrasts[:_MOST]):
        _print_contrast(console, _label(contrast), contrast)
    if len(found.contrasts) > _MOST:
        console.print(Text(f"  and {len(found.contrasts) - _MOST} more labels: see --html or --json"))
    differing = [pair for pair in found.pairs if pair.first_solved != pair.second_solved]
    if differing:
        console.print()
        console.print(Text("Tasks on which they differ: solved by A, by B", "bold"))
        for pair in differing[:_MOST]:
            shares = f"{percent(pair.first_solved):>7} {percent(pair.second_solved):>7}"
            console.print(Text(f"  {printable(pair.task_id, 40):40} {shares}"))
        if len(differing) > _MOST:
            console.print(Text(f"  and {len(differing) - _MOST} more"))
    console.print()
    print_sentences(console, found.notes)


def _print_contrast(console: Console, named: str, contrast: Contrast) -> None:
    line = Text(f"  {named:28} {signed_percent(contrast.solved.value):>11}")
    line.append(f"  {range_words(contrast.solved):>20}  p {p_words(contrast.adjusted_p)}")
    line.append("  shown" if contrast.shown else "", "bold")
    line.truncate(WIDTH)
    console.print(line)


def _label(contrast: Contrast) -> str:
    return f"{contrast.kind} {printable(contrast.label, 20)}" if contrast.label else f"all {contrast.tasks} tasks"
