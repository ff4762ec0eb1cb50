"""Tables that an agent wrote, compared with what is expected."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from affidavit.grading.documents import DocumentError, is_number, parse_json, plain
from affidavit.grading.numbers import Tolerance, parse_number, within
from affidavit.grading.state_diff.settings import RowsCheck

MOST_ROWS = 100_000
# Comparisons of one row with another, where order does not matter and numbers may be off.
_MOST_COMPARED = 1_000_000


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        columns: names.
        rows: cells: text, int, Decimal, bool, None, or bytes.
        loose: cells are text whatever they mean, so that ``"5"`` is the number 5.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    loose: bool


def read_table(raw: bytes, kind: str, wanted: Sequence[str] | None = None) -> Table:
    """A table in a file.

    Args:
        raw: its content.
        kind: ``csv``, ``tsv``, ``jsonl`` or ``json``.
        wanted: the order of columns to bring objects into, whose names have none.

    Raises:
        DocumentError: it is none, or has more than 100,000 rows; the text is the end of a sentence.
    """
    if kind in ("csv", "tsv"):
        return _separated(raw, "," if kind == "csv" else "\t")
    if kind == "jsonl":
        lines = raw.split(b"\n", MOST_ROWS + 1)
        objects = [parse_json(line) for line in lines if line.strip()]
    else:
        objects = parse_json(raw)
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise DocumentError("is no list of JSON objects")
    _few(objects)
    names = tuple(objects[0]) if objects else tuple(wanted or ())
    if wanted is not None and sorted(wanted) == sorted(names):
        names = tuple(wanted)
    for item in objects:
        if item.keys() != set(names):
            raise DocumentError("holds objects whose names differ")
    return Table(names, [tuple(item[name] for name in names) for item in objects], False)


def _separated(raw: bytes, delimiter: str) -> Table:
    try:
        text = raw.decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DocumentError(f"is no table of UTF-8 text ({error})") from None
    lines = [line for line in lines if line]
    if not lines:
        raise DocumentError("is empty")
    header, *rows = lines
    _few(rows)
    for row in rows:
        if len(row) != len(header):
            raise DocumentError(f"has a row of {len(row)} cells under {len(header)} columns")
    return Table(tuple(header), [tuple(row) for row in rows], True)


def _few(rows: Sequence[object]) -> None:
    if len(rows) > MOST_ROWS:
        raise DocumentError(f"has more than {MOST_ROWS:,} rows")


def judge_rows(check: RowsCheck, table: Table, reference: bytes | None) -> tuple[float, str]:
    """Score a table.

    Args:
        check: what is asked of it.
        table: what is there.
        reference: content of ``equals_file``.

    Returns:
        The score, from 0 to 1, and the end of a sentence.

    Raises:
        DocumentError: `reference` is no table.
    """
    if check.columns is not None and table.columns != check.columns:
        return 0.0, f"has the columns {_named(table.columns)}"
    if check.count is not None and len(table.rows) != check.count:
        return 0.0, f"has {len(table.rows)} rows"
    wrong = _unsorted(check, table) or _repeated(check, table)
    if wrong:
        return 0.0, wrong
    score = 1.0
    if check.equals is not None or reference is not None:
        wanted = _wanted(check, reference)
        if reference is not None and table.columns != wanted.columns:
            return 0.0, f"has the columns {_named(table.columns)}"
        score = rows_likeness(table, wanted, check.ordered, check.bound)
    if score == 1:
        return 1.0, f"has {len(table.rows)} rows, which are right"
    return (score if check.partial else 0.0), f"has {len(table.rows)} rows, which are right by {score:.2f}"


def _named(columns: Sequence[str]) -> str:
    """Names that an agent chose, spelt so that no terminal or file takes harm from them."""
    return repr(", ".join(columns)[:200]) if columns else "none"


def _wanted(check: RowsCheck, reference: bytes | None) -> Table:
    if reference is not None:
        return read_table(reference, "csv")
    return Table(check.columns or (), [tuple(plain(cell) for cell in row) for row in check.equals or ()], False)


def rows_likeness(found: Table, wanted: Table, ordered: bool, tolerance: Tolerance) -> float:
    """Rows that both have among those that either has: from 0 to 1."""
    loose = found.loose or wanted.loose
    if ordered:
        pairs = zip(found.rows, wanted.rows, strict=False)
        same = sum(_same_row(row, other, loose, tolerance) for row, other in pairs)
        most = max(len(found.rows), len(wanted.rows))
        return same / most if most else 1.0
    there = Counter(_exact(row, loose) for row in found.rows)
    expected = Counter(_exact(row, loose) for row in wanted.rows)
    common = there & expected
    same = common.total()
    if tolerance.tolerance or tolerance.relative:
        same += _paired((there - common).elements(), (expected - common).elements(), tolerance)
    most = len(found.rows) + len(wanted.rows) - same
    return same / most if most else 1.0


def _paired(found: Iterable[tuple[Any, ...]], wanted: Iterable[tuple[Any, ...]], tolerance: Tolerance) -> int:
    """How many rows, as `_exact` gives them, are near one of the other side each: those with the same texts, in order
    of their numbers."""
    kinds: dict[tuple[Any, ...], tuple[list[Any], list[Any]]] = {}
    for side, rows in enumerate((found, wanted)):
        for row in rows:
            texts = tuple(None if is_number(cell) else (cell,) for cell in row)
            kinds.setdefault(texts, ([], []))[side].append([cell for cell in row if is_number(cell)])
    pairs, left = 0, _MOST_COMPARED
    for there, missing in kinds.values():
        there.sort()
        for numbers in sorted(missing):
            for place, other in enumerate(there):
                left -= 1
                if all(within(a, b, tolerance) for a, b in zip(other, numbers, strict=True)):
                    del there[place]
                    pairs += 1
                    break
                if left < 0:
                    return pairs
                if numbers and other[0] > numbers[0] and not within(other[0], numbers[0], tolerance):
                    break
    return pairs


def _exact(row: tuple[Any, ...], loose: bool) -> tuple[Any, ...]:
    """A row as something to count by: 1 and 1.0 are one, 1 and true are not."""
    return tuple(_cell(value, loose) for value in row)


def _cell(value: Any, loose: bool) -> Any:
    if isinstance(value, str) and loose:
        number = parse_number(value)
        return value if number is None else number
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list | dict):
        return ("json", json.dumps(value, sort_keys=True, default=_spelt))
    return Decimal(value) if isinstance(value, int) else value


def _spelt(number: Decimal) -> int | str:
    """1.0 as 1, and what is no whole number without zeros at its end."""
    return int(number) if number == number.to_integral_value() else f"number {number.normalize()}"


def _same_row(row: tuple[Any, ...], wanted: tuple[Any, ...], loose: bool, tolerance: Tolerance) -> bool:
    if len(row) != len(wanted):
        return False
    for a, b in zip(_exact(row, loose), _exact(wanted, loose), strict=True):
        if is_number(a) and is_number(b):
            if not within(a, b, tolerance):
                return False
        elif a != b:
            return False
    return True


def _places(columns: Sequence[str], table: Table) -> list[int]:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DocumentError(f"has no column {missing[0]}")
    twice = [name for name in columns if table.columns.count(name) > 1]
    if twice:
        raise DocumentError(f"has the column {twice[0]} twice")
    return [table.columns.index(name) for name in columns]


def _unsorted(check: RowsCheck, table: Table) -> str | None:
    """Why the rows are not sorted as they should be; None where they are."""
    names = [name.removeprefix("-") for name in check.sorted_by]
    down = [name.startswith("-") for name in check.sorted_by]
    places = _places(names, table)
    rows = [[_cell(row[place], table.loose) for place in places] for row in table.rows]
    for number, (row, following) in enumerate(pairwise(rows), 2):
        for a, b, falls in zip(row, following, down, strict=True):
            if a == b:
                continue
            try:
                wrong = (a < b) if falls else (b < a)
            except TypeError:
                wrong = True
            if wrong:
                return f"is not sorted by {', '.join(check.sorted_by)} at row {number}"
            break
    return None


def _repeated(check: RowsCheck, table: Table) -> str | None:
    """Why rows are not as unique as they should be; None where they are."""
    if not check.unique:
        return None
    places = _places(check.unique, table)
    seen = Counter(_exact(tuple(row[place] for place in places), table.loose) for row in table.rows)
    return None if len(seen) == len(table.rows) else f"has the same {', '.join(check.unique)} in more than one row"
