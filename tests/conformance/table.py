"""The table of cases, read from ``table.yaml``, which says what its fields mean."""

import errno
import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

RECORDERS = ("ebpf", "ptrace", "gvisor")
PROGRAM = "/opt/conform"
WHOLE = "whole"

Row = dict[str, Any]

_PATHS = ("path", "path2")
_NULL_UNLESS_SAID = (*_PATHS, "addr", "port")
_GAPS = ("gaps", "loss", "varies")
_REPEATED = re.compile(r"<([^<>]*)\*(\d+)>")


@dataclass(frozen=True)
class Case:
    """One program and what its record must hold.

    Attributes:
        name: of the program.
        operation: what of the event schema it is about.
        calls: the system calls that it is about, for people.
        box: ``user`` or ``root``.
        processes: the expected rows of its process, then those of each that it made.
        among: there may be other rows between them, and they are one list, whichever process they are of.
        status: what its process ends with, as a shell tells.
        absent: recorders whose runtime may lack the call.
        since: the kernel that has the call, major and minor number.
        instead: processes by recorder, where its runtime makes something else of the program.
        gaps: names of gaps by recorder.
        loss: likewise, of gaps that make the record incomplete.
        varies: likewise, of gaps that may or may not show.
    """

    name: str
    operation: str
    calls: str
    box: str
    processes: tuple[tuple[Row, ...], ...]
    among: bool
    status: int
    absent: tuple[str, ...]
    since: tuple[int, ...]
    instead: dict[str, tuple[tuple[Row, ...], ...]]
    gaps: dict[str, str]
    loss: dict[str, str]
    varies: dict[str, str]

    def gap(self, recorder: str) -> str | None:
        """The name of the recorder's gap, whatever its kind."""
        return self.gaps.get(recorder) or self.loss.get(recorder) or self.varies.get(recorder)

    def company(self, recorder: str) -> str:
        """Which cases may run in one sandbox with it: those for which this is the same."""
        if recorder in self.loss:
            return self.name
        return "varies" if recorder in self.varies else WHOLE


@dataclass(frozen=True)
class Table:
    """All cases; the sentence of each gap by its name; gaps that no case can show, with where they are shown."""

    cases: tuple[Case, ...]
    gaps: dict[str, str]
    elsewhere: dict[str, str]


@cache
def table() -> Table:
    """The table. Raises KeyError and ValueError where it is not well made."""
    document = YAML(typ="safe").load(Path(__file__).with_name("table.yaml"))
    cases = [_case(group["operation"], entry) for group in document["cases"] for entry in group["cases"]]
    if len({case.name for case in cases}) != len(cases):
        raise ValueError("two cases have one name")
    return Table(tuple(cases), document["gaps"], document.get("elsewhere", {}))


def _case(operation: str, entry: dict[str, Any]) -> Case:
    known = {"name", "calls", "box", "rows", "children", "among", "status", "absent", "since", "instead", *_GAPS}
    if unknown := entry.keys() - known:
        raise ValueError(f"{entry['name']}: {unknown}")
    folder = f"/workspace/{entry['name']}"
    processes = [entry["rows"], *entry.get("children", [])]
    return Case(
        entry["name"],
        operation,
        entry["calls"],
        entry.get("box", "user"),
        tuple(tuple(_process(rows, folder, entry.get("among", False))) for rows in processes),
        entry.get("among", False),
        entry.get("status", 0),
        tuple(entry.get("absent", ())),
        tuple(map(int, entry.get("since", "0").split("."))),
        {name: (tuple(_process(rows, folder)),) for name, rows in entry.get("instead", {}).items()},
        *(entry.get(kind, {}) for kind in _GAPS),
    )


def _process(rows: list[Row], folder: str, among: bool = False) -> list[Row]:
    if not any(row["op"] == "exit" for row in rows):
        rows = [*rows, {"op": "exit", "flags": 0}]
    exe = PROGRAM
    full = []
    for given in rows:
        row: Row = dict.fromkeys(_NULL_UNLESS_SAID) | {"ret": 0} | given
        for column in _PATHS:
            if row[column] is not None:
                row[column] = _path(row[column], folder)
        if row["op"] == "exec" and row["ret"] == 0:
            exe = _path(row["exe"], folder) if "exe" in row else row["path"]
        if not among:
            row["exe"] = exe
        if "argv" in row:
            row["argv"] = [text for word in row["argv"] for text in _words(word)]
        full.append(row)
    return full


def _path(text: str, folder: str) -> str:
    """Absolute, a regular expression as it is, or what follows ``=``."""
    while found := _REPEATED.search(text):
        text = text.replace(found[0], found[1] * int(found[2]))
    if text.startswith(("/", "~")) or text == "ignored":
        return text
    return text[1:] if text.startswith("=") else f"{folder}/{text}".rstrip("/")


def _words(word: str | dict[str, Any]) -> list[str]:
    if isinstance(word, dict):
        return [word["word"]] * int(word["times"])
    return [_path(f"={word}", "")]


def differences(case: Case, recorder: str, found: list[list[Row]]) -> list[str]:
    """What of the rows that a recorder found, process by process, is not as expected; empty where all is."""
    expected = case.instead.get(recorder, case.processes)
    if case.among:
        return _missing(expected[0], sorted((row for rows in found for row in rows), key=lambda row: row["seq"]))
    wrong = []
    if len(found) != len(expected):
        wrong.append(f"{len(found)} processes, expected {len(expected)}")
    for number, (wanted, rows) in enumerate(zip(expected, found, strict=False)):
        if len(rows) != len(wanted):
            wrong.append(f"process {number}: {len(rows)} rows, expected {len(wanted)}: {[_short(row) for row in rows]}")
        for at, (one, other) in enumerate(zip(wanted, rows, strict=False)):
            unlike = [column for column, value in one.items() if not _same(column, value, other[column], found, number)]
            if unlike:
                values = ", ".join(f"{column} {one[column]!r} is {other[column]!r}" for column in unlike)
                wrong.append(f"process {number}, row {at} ({one['op']}): {values}")
    return wrong


def _missing(expected: tuple[Row, ...], found: list[Row]) -> list[str]:
    """Those expected that are not among the found, in their order."""
    absent, at = [], 0
    for wanted in expected:
        for place in range(at, len(found)):
            if all(_same(column, value, found[place][column], [], 0) for column, value in wanted.items()):
                at = place + 1
                break
        else:
            absent.append(f"no {_short(wanted)}")
    return absent


def _same(column: str, wanted: Any, value: Any, found: list[list[Row]], number: int) -> bool:
    if column == "ret":
        match wanted:
            case "any" | "ignored":
                return True
            case "fd":
                return value >= 0
            case "pid":
                return value in [rows[0]["pid"] for rows in found[1:] if rows]
            case list():
                return value in [-getattr(errno, name) for name in wanted]
            case str():
                return bool(value == -getattr(errno, wanted))
    if column == "flags" and isinstance(wanted, str):
        names = wanted.split("|")
        bits = [getattr(os, name) if hasattr(os, name) else getattr(socket, name).value for name in names]
        return bool(value & ~os.O_CLOEXEC & ~0o100000 == sum(bits))
    if wanted == "ignored":
        return True
    if wanted == "any":
        return value is not None
    if isinstance(wanted, str) and wanted.startswith("~"):
        return value is not None and re.fullmatch(wanted[1:], value, re.DOTALL) is not None
    return bool(wanted == value)


def _short(row: Row) -> str:
    names = " → ".join(str(row[column]) for column in (*_PATHS, "addr") if row[column] is not None)
    return f"{row['op']} {names} = {row['ret']}"
