"""Contracts and their registry for people at a terminal."""

from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from affidavit.contracts import ContractDiff, Kind
from affidavit.report.text import printable

_STYLE = {Kind.LOOSENING: "red", Kind.TIGHTENING: "green", Kind.NEUTRAL: "default"}
_FILE_WIDTH = 140


def print_contract_diff(found: ContractDiff, out: IO[str]) -> None:
    """What changed, a row each, and the version that it needs."""
    console = Console(file=out, width=None if out.isatty() else _FILE_WIDTH, highlight=False)
    old, new = found.old, found.new
    if not found.changes:
        console.print(Text(f"{new.id} {new.version}: the same"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("place", "change", "detail"):
        table.add_column(column, overflow="fold")
    for change in found.changes:
        kind = Text(str(change.kind), _STYLE[change.kind])
        table.add_row(Text(printable(change.place)), kind, Text(printable(change.detail)))
    console.print(table)
    verdict = f"{old.version} → {new.version}: fits" if found.fits else f"{old.version} → {new.version}: does not fit"
    console.print(Text(f"{new.id} {verdict}; the changes are {found.needed}: needs {found.least} or above"))
