"""Contracts and their registry for people at a terminal."""

from typing import IO

from rich.table import Table
from rich.text import Text

from affidavit.contracts import Audit, Contract, ContractDiff, ContractEntry, Kind, Standing
from affidavit.report.console import open_console
from affidavit.report.text import printable
from affidavit.signing import TrustDocument

_STYLE = {Kind.LOOSENING: "red", Kind.TIGHTENING: "green", Kind.NEUTRAL: "default"}


def print_contract_diff(found: ContractDiff, out: IO[str]) -> None:
    """What changed, a row each, and the version that it needs."""
    console = open_console(out)
    old, new = found.old, found.new
    if not found.changes:
        console.print(Text(f"{new.id} {new.version}: the same"))
        return
    table = _table("place", "change", "detail")
    for change in found.changes:
        kind = Text(str(change.kind), _STYLE[change.kind])
        table.add_row(Text(printable(change.place)), kind, Text(printable(change.detail)))
    console.print(table)
    verdict = f"{old.version} → {new.version}: fits" if found.fits else f"{old.version} → {new.version}: does not fit"
    console.print(Text(f"{new.id} {verdict}; the changes are {found.needed}: needs {found.least} or above"))


def print_standing(contract: Contract, found: Standing, registry: str | None, out: IO[str]) -> None:
    """Whose signatures a contract has, and whether it is published."""
    lines = [f"{contract.id} {contract.version}, {contract.digest}"]
    lines += [str(signed) for signed in found.examined.signatures] if found.examined else []
    if found.entry is not None:
        lines.append(f"published as entry {found.entry} of {registry}")
    if found.problem:
        lines.append(found.problem)
    good = len(found.examined.good) if found.examined else 0
    what = "unsigned" if found.examined is None else "signed" if found.examined.met else "not signed as it must be"
    lines.append(f"{what}: {good} of {found.threshold} good signatures")
    for line in lines:
        out.write(printable(line) + "\n")


def print_log(audited: Audit, out: IO[str]) -> None:
    """The entries of a registry, a row each, and its head."""
    table = _table("entry", "at", "what", "signatures", "digest")
    for index, (entry, state) in enumerate(zip(audited.view.entries, audited.states, strict=True)):
        named = f"{entry.id}@" if isinstance(entry, ContractEntry) else "trust document, version "
        what = f"{named}{entry.version}"
        table.add_row(str(index), entry.at, Text(printable(what)), Text(printable(state)), entry.digest)
    console = open_console(out)
    console.print(table)
    head = audited.view.head
    console.print(Text(f"{head.size} entries under sha256:{head.root.hex()}, signed by {head.envelope.key_id}"))


def print_trust(document: TrustDocument, problem: str, at: str, out: IO[str]) -> None:
    """Who is trusted, a row for each key."""
    table = _table("key", "name", "state")
    for key_id, key in document.keys.items():
        state, detail = key.state(at)
        ends = f"until {key.until}" if key.until and not detail else detail
        table.add_row(key_id, Text(printable(key.name or "")), Text(printable(f"{state}{f', {ends}' if ends else ''}")))
    console = open_console(out)
    console.print(table)
    end = f", expires on {document.expires}" if document.expires else ""
    console.print(Text(f"version {document.version} of {document.issued}{end}: {document.threshold} signatures needed"))
    if problem:
        console.print(Text(f"NOT in force: {printable(problem)}", "red"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
