"""A comparison on a terminal, 80 columns wide."""

from typing import IO

from rich.text import Text

from affidavit.report.comparison import Comparison, Contrast, p_words, range_words, signed_percent
from affidavit.report.console import open_console
from affidavit.report.figures import percent
from affidavit.report.overview import WIDTH, print_sentences
from affidavit.report.text import printable

_MOST = 12


def print_comparison(found: Comparison, out: IO[str]) -> None:
    """The conclusion, then labels and tasks, the largest differences first."""
    console = open_console(out, WIDTH)
    console.print(Text(f"A: {printable(found.first.name, 70)}"))
    console.print(Text(f"B: {printable(found.second.name, 70)}"))
    print_sentences(console, [found.conclusion], "")
    console.print()
    console.print(Text("Solved, B less A", "bold"))
    for contrast in (found.overall, *found.contrasts[:_MOST]):
        line = Text(f"  {_label(contrast):28} {signed_percent(contrast.solved.value):>11}")
        line.append(f"  {range_words(contrast.solved):>20}  p {p_words(contrast.adjusted_p)}")
        line.append("  shown" if contrast.shown else "", "bold")
        line.truncate(WIDTH)
        console.print(line)
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


def _label(contrast: Contrast) -> str:
    return f"{contrast.kind} {printable(contrast.label, 20)}" if contrast.label else f"all {contrast.tasks} tasks"
