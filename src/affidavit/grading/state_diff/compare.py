"""Scores the state of files: pure functions, called in the confined process."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from affidavit.grading.documents import DocumentError, parse_json, pick, pick_one, plain, same
from affidavit.grading.state_diff.database import ask
from affidavit.grading.state_diff.rows import judge_rows, read_table
from affidavit.grading.state_diff.settings import FileCheck, JsonCheck, SqliteCheck, StateCheck, TableCheck


@dataclass(frozen=True)
class Found:
    """What stands under a path.

    Attributes:
        type: ``file``, ``directory``, ``symlink``, ``fifo``, ``socket`` or ``device``; None where nothing is there.
        mode: permission bits.
        size: bytes.
        target: of a symlink, spelled by encode_name.
        content: of a file; None where it was not asked for, or is larger than what is read.
        beside: content of the files beside a database: ``-wal`` and ``-journal``.
        changed: the agent changed it.
        reference: content of the check's ``equals_file``.
    """

    type: str | None
    mode: int = 0
    size: int = 0
    target: str | None = None
    content: bytes | None = None
    beside: Mapping[str, bytes | None] = field(default_factory=dict)
    changed: bool = True
    reference: bytes | None = None


def judge_all(tasks: list[tuple[StateCheck, Found]]) -> list[tuple[float, str]]:
    """`judge` for each of several checks."""
    return [judge(check, found) for check, found in tasks]


def judge(check: StateCheck, found: Found) -> tuple[float, str]:
    """Score what is there against what is asked.

    Returns:
        The score, from 0 to 1, and a sentence. Nothing that the agent can put there is an error.
    """
    if not found.changed and not check.may_be_unchanged:
        return 0.0, f"{check.path} was not changed"
    try:
        score, told = _judged(check, found)
    except DocumentError as wrong:
        return 0.0, f"{check.path} {wrong}"
    return score, f"{check.path} {told}"


def _judged(check: StateCheck, found: Found) -> tuple[float, str]:
    if isinstance(check, FileCheck):
        wrong = _wrong_file(check, found)
        return (1.0, "is as it should be") if wrong is None else (0.0, wrong)
    if found.type != "file":
        raise DocumentError("is not there" if found.type is None else f"is a {found.type}, not a file")
    if found.content is None:
        raise DocumentError("is too large to be read")
    match check:
        case JsonCheck():
            return _json(check, parse_json(found.content), found.reference)
        case TableCheck():
            return judge_rows(check, read_table(found.content, check.kind, check.columns), found.reference)
        case SqliteCheck():
            wal, journal = found.beside.get("-wal"), found.beside.get("-journal")
            table = ask(found.content, wal, journal, check.query, views=check.views)
            return judge_rows(check, table, found.reference)
    raise TypeError(f"{type(check).__name__} is no check of a file")


def _wrong_file(check: FileCheck, found: Found) -> str | None:
    """What is not as it should be, as the end of a sentence; None where everything is."""
    if not check.exists:
        return None if found.type is None else f"is there: a {found.type}"
    if found.type is None:
        return "is not there"
    if found.type != (check.kind or found.type):
        return f"is a {found.type}"
    if check.mode is not None and (found.type == "symlink" or found.mode != int(check.mode, 8)):
        return f"has the mode {found.mode:04o}"
    if check.executable is not None and bool(found.mode & 0o100) != check.executable:
        return f"is {'not ' if check.executable else ''}executable"
    if check.target is not None and found.target != check.target:
        return f"leads to {(found.target or '')[:80]!r}"
    if check.min_bytes is not None and found.size < check.min_bytes:
        return f"has {found.size} bytes"
    if check.max_bytes is not None and found.size > check.max_bytes:
        return f"has {found.size} bytes"
    return _wrong_content(check, found) if check.reads else None


def _wrong_content(check: FileCheck, found: Found) -> str | None:
    raw = found.content
    if raw is None:
        return "is too large to be read"
    if check.sha256 is not None and hashlib.sha256(raw).hexdigest() != check.sha256:
        return "has another content"
    if check.equals_file is not None and raw != found.reference:
        return "has another content"
    # Bytes that are no UTF-8 become what no expected text holds.
    text = raw.decode("utf-8", "replace")
    if check.lacks and "\0" in text:
        # As UTF-16 has between its letters: what is no text lacks every text.
        return "is no text"
    if check.equals is not None and text.rstrip() != check.equals.rstrip():
        return "has another content"
    for wanted in check.contains:
        if wanted not in text:
            return "lacks a text that should be in it"
    for unwanted in check.lacks:
        if unwanted in text:
            return f"holds {unwanted[:60]!r}"
    if check.matches is not None and not re.search(check.matches, text, re.MULTILINE):
        return "does not match"
    if check.lines is not None and len(text.splitlines()) != check.lines:
        return f"has {len(text.splitlines())} lines"
    return None


def _json(check: JsonCheck, document: Any, reference: bytes | None) -> tuple[float, str]:
    where = f" at {check.at}" if check.at else ""
    if check.count is not None:
        there = len(pick(document, check.at))
        return float(there == check.count), f"has {there} values{where}"
    wanted = plain(check.equals) if reference is None else parse_json(reference)
    right = same(pick_one(document, check.at), wanted, check.bound)
    return float(right), f"holds what is {'right' if right else 'not right'}{where}"
