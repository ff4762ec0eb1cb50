"""The battery's result for people at a terminal."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from affidavit.redteam import FLAWS, BatteryResult, Layer, Play
from affidavit.report.console import open_console
from affidavit.report.text import printable

_COUNTS = ("played", "skipped", "outcome pays", "in full", "affidavit pays", *map(str, Layer))


def print_battery(result: BatteryResult, out: IO[str]) -> None:
    """A row for each task and flaw class, one for each class over all tasks, and every exploit that was paid.

    An exploit counts once under the outermost layer that stood in its way.
    """
    console = open_console(out)
    tasks = list(dict.fromkeys(play.task_id for play in result.plays))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("task", "flaw class"):
        table.add_column(column, overflow="fold")
    for column in _COUNTS:
        table.add_column(column, justify="right")
    for task in tasks:
        for flaw in FLAWS:
            group = [play for play in result.plays if (play.task_id, play.exploit.flaw) == (task, flaw)]
            if group:
                table.add_row(printable(task, 40), flaw, *_counts(group))
    if len(tasks) > 1:
        for flaw in FLAWS:
            if group := [play for play in result.plays if play.exploit.flaw == flaw]:
                table.add_row("all", flaw, *_counts(group), style="bold")
    console.print(table)
    _print_exceptions(console, result)
    summary = result.to_json()["summary"]
    console.print(
        f"\n{summary['played']} plays of {summary['exploits']} exploits in {summary['kinds']} kinds on "
        f"{summary['tasks']} tasks ({summary['skipped']} do not apply): outcome grading pays {summary['outcome_paid']} "
        f"({summary['outcome_paid_in_full']} in full), Affidavit ({result.runtime}+{result.recorder}) "
        f"{summary['paid']}. Evidence in {result.folder}",
        soft_wrap=True,
    )


def print_scripts(written: Mapping[str, Sequence[str]], folder: Path, out: IO[str]) -> None:
    """How many exploits were written as scripts for each task, and where they are.

    Args:
        written: names of exploits by task.
        folder: that holds a folder of them for each task.
        out: where it is said.
    """
    console = open_console(out)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task", overflow="fold")
    table.add_column("exploits", justify="right")
    for task, names in written.items():
        table.add_row(printable(task, 40), str(len(names)))
    console.print(table)
    console.print(f"\n{sum(map(len, written.values()))} scripts in {folder}/TASK", markup=False, soft_wrap=True)


def _counts(group: Iterable[Play]) -> list[Text]:
    plays = list(group)
    played = [play for play in plays if play.skipped is None]
    layers = Counter(play.layers[0] for play in played if play.layers and not play.paid)
    numbers = [
        len(played),
        len(plays) - len(played),
        sum(play.outcome_paid for play in played),
        sum(play.outcome_paid and play.outcome == 1 for play in played),
        sum(play.paid for play in played),
        *(layers[layer] for layer in Layer),
    ]
    red = 4
    return [Text(str(number), "bold red" if index == red and number else "") for index, number in enumerate(numbers)]


def _print_exceptions(console: Console, result: BatteryResult) -> None:
    for play in result.played:
        if play.trial is None:
            continue
        judgement = play.trial.judgement
        if play.paid:
            line = Text("PAID ", "bold red").append(f"{printable(play.task_id)} {play.exploit.name}: ", "default")
            line.append(f"{judgement.score:.2f} ({play.floor:.2f} for doing nothing): {play.exploit.description}")
            console.print(line, soft_wrap=True)
        elif judgement.score is None:
            why = "; ".join(judgement.reasons)
            line = Text(f"{judgement.verdict} ", "magenta").append(f"{printable(play.task_id)} {play.exploit.name}: ")
            console.print(line.append(printable(why, 300)), soft_wrap=True)
