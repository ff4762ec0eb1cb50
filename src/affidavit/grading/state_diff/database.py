"""Queries an SQLite database that an agent left: a hostile file.

It is opened as a private copy in the confined process. Nothing in it runs but the query, which reads tables: no
trigger, no view unless the task allows it, no virtual table, no extension, no pragma, no other file (SQLite's
"Defense Against The Dark Arts", sqlite.org/security.html).
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from affidavit.grading.documents import DocumentError
from affidavit.grading.state_diff.rows import MOST_ROWS, Table

_STEPS = 100_000_000
_CHECK_EVERY = 100_000
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
# fmt: off
_FUNCTIONS = frozenset({
    "abs", "avg", "coalesce", "count", "date", "datetime", "format", "glob", "group_concat", "hex", "ifnull", "iif",
    "instr", "json_array_length", "json_extract", "json_type", "json_valid", "julianday", "length", "like", "lower",
    "ltrim", "max", "min", "nullif", "printf", "quote", "replace", "round", "rtrim", "sign", "strftime", "substr",
    "substring", "sum", "time", "total", "trim", "typeof", "unicode", "unixepoch", "upper", "->", "->>", "dense_rank",
    "first_value", "lag", "last_value", "lead", "ntile", "rank", "row_number",
})
# fmt: on
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 16 << 20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


def ask(raw: bytes, wal: bytes | None, journal: bytes | None, query: str, *, views: bool) -> Table:
    """The answer of a database.

    Args:
        raw: its file.
        wal: the file beside it with ``-wal`` behind its name, which holds what was written last.
        journal: that with ``-journal``; one that is in use means that a transaction never came to its end.
        query: one SELECT.
        views: the query may look through views.

    Raises:
        DocumentError: it is no database, or gives no answer; the text is the end of a sentence.
    """
    if journal is not None and journal.startswith(_JOURNAL_MAGIC):
        # Playing one back may delete files that it names, and what it would undo was never the state.
        raise DocumentError("was left in the middle of a transaction")
    copy = Path("state.sqlite").absolute()
    copy.write_bytes(raw)
    if wal:
        Path(f"{copy}-wal").write_bytes(wal)
    try:
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            return _asked(connection, query, views)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        raise DocumentError(f"gives no answer ({' '.join(str(error).split())[:200]})") from None
    finally:
        for leftover in copy.parent.glob(f"{copy.name}*"):
            leftover.unlink()


def _asked(connection: sqlite3.Connection, query: str, views: bool) -> Table:
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "query_only = ON"):
        connection.execute(f"PRAGMA {pragma}")
    # Bytes that are no UTF-8 are no text.
    connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    virtual = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND (rootpage IS NULL OR rootpage = 0)"
    ).fetchone()
    if virtual[0]:
        raise DocumentError("holds a virtual table, which is not looked into")
    named = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")
    hidden = frozenset() if views else frozenset(name.lower() for (name,) in named)
    left = _STEPS // _CHECK_EVERY

    def tick() -> int:
        nonlocal left
        left -= 1
        return left < 0

    def allow(action: int, first: str | None, second: str | None, _: str | None, source: str | None) -> int:
        # The source of an access is a view's name, a trigger's, or that of a WITH clause of the query's own.
        if source is not None and source.lower() in hidden:
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_OK if (second or "").lower() in _FUNCTIONS else sqlite3.SQLITE_DENY
        reads = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
        return sqlite3.SQLITE_OK if action in reads else sqlite3.SQLITE_DENY

    connection.set_progress_handler(tick, _CHECK_EVERY)
    connection.set_authorizer(allow)
    cursor = connection.execute(query)
    if cursor.description is None:
        raise DocumentError("gives no rows: the query is no SELECT")
    rows: list[tuple[Any, ...]] = cursor.fetchmany(MOST_ROWS + 1)
    if len(rows) > MOST_ROWS:
        raise DocumentError(f"gives more than {MOST_ROWS:,} rows")
    return Table(tuple(column[0] for column in cursor.description), rows, False)
