"""What is wrong with a contract, for a person at a terminal."""

from collections.abc import Mapping, Sequence
from typing import IO

from rich.table import Table
from rich.text import Text

from affidavit.authoring import ContractFinding
from affidavit.contracts import Treatment
from affidavit.report.console import open_console
from affidavit.report.text import printable

_STYLE = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_lint(
    name: str,
    findings: Sequence[ContractFinding],
    treatments: Mapping[tuple[str, str], Sequence[Treatment]],
    out: IO[str],
) -> None:
    """The findings, then what of the contract is prevented and detected under each runtime and recorder.

    Args:
        name: the contract's file.
        findings: with their lines and columns.
        treatments: by runtime and recorder.
        out: a terminal or a file.
    """
    console = open_console(out)
    for finding in findings:
        # As compilers say it, which editors follow.
        line = Text(f"{printable(name)}:{finding.line}:{finding.column}: ")
        line.append(f"{finding.severity}: ", _STYLE[finding.severity]).append(f"{finding.place}: ", "bold")
        console.print(line.append(printable(finding.message), "default"), soft_wrap=True)
    if not findings:
        console.print("no holes found")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("\nconstruct")
    for runtime, recorder in treatments:
        table.add_column(f"{runtime}+{recorder}\nprevented, detected")
    for rows in zip(*treatments.values(), strict=True):
        table.add_row(printable(rows[0].construct), *(f"{one.prevented}, {one.detected}" for one in rows))
    console.print()
    console.print(table)
