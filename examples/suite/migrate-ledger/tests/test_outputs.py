"""Migrates journals of the tests' own, and looks at the database that was left."""

import sqlite3
import subprocess
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

SCRIPT = Path("/workspace/migrate.sql")
LEFT = Path("/workspace/ledger.db")
DUMP = Path("/workspace/journal.sql")
TABLE = (
    "CREATE TABLE journal (line INTEGER PRIMARY KEY, entry INTEGER, day TEXT, account TEXT, amount TEXT, note TEXT);\n"
)
OTHER = [
    (1, 7, "03.02.2024", " stamps", "0.29", " first "),
    (2, 7, "03.02.2024", "Cash", "-0.29", "second"),
    (4, 3, "2024-01-31", "VAT ", "0.00", ""),
    (3, 3, "2024-01-31", "cash", "0", "   "),
    (9, 12, "2024-12-01", "vat", "1000000.07", 'it\'s; "odd"'),
    (8, 12, "2024-12-01", "CASH", "-1000000.07", None),
    (10, 13, "01.01.2025", "Cash", "-7", "whole"),
    (11, 13, "01.01.2025", "Gifts", "7.5", "whole"),
    (12, 13, "01.01.2025", "Gifts", "-0.50", "whole"),
]


def migrated(folder, rows):
    path = folder / "base.db"
    with sqlite3.connect(path) as base:
        base.executescript(TABLE)
        base.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", rows)
    base.close()
    ran = subprocess.run(["sqlite3", "-bail", str(path)], input=SCRIPT.read_bytes(), capture_output=True, timeout=20)
    assert ran.returncode == 0, ran.stderr
    return path


def name_of(text):
    text = text.strip()
    return "VAT" if text.upper() == "VAT" else text[:1].upper() + text[1:].lower()


def wanted(rows):
    names = sorted({name_of(row[3]) for row in rows})
    ids = {name: number for number, name in enumerate(names, 1)}
    entries, postings, sums = {}, [], defaultdict(int, dict.fromkeys(names, 0))
    for _, entry, day, account, amount, note in sorted(rows):
        date = day if "-" in day else "-".join(reversed(day.split(".")))
        entries.setdefault(entry, (entry, date, (note or "").strip() or None))
        cents = int(Decimal(amount) * 100)
        if cents:
            postings.append((entry, ids[name_of(account)], cents))
            sums[name_of(account)] += cents
    return {
        "accounts": [(ids[name], name) for name in names],
        "entries": sorted(entries.values()),
        "postings": sorted(postings),
        "balances": [(name, sums[name]) for name in names],
    }


def found(path):
    base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    kinds = dict(base.execute("SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall())
    assert kinds == {"accounts": "table", "entries": "table", "postings": "table", "balances": "view"}
    return {
        "accounts": base.execute("SELECT id, name FROM accounts ORDER BY id").fetchall(),
        "entries": base.execute("SELECT id, day, note FROM entries ORDER BY id").fetchall(),
        "postings": sorted(base.execute("SELECT entry_id, account_id, cents FROM postings").fetchall()),
        "balances": base.execute("SELECT name, cents FROM balances").fetchall(),
    }


def test_other_journal(tmp_path):
    assert found(migrated(tmp_path, OTHER)) == wanted(OTHER)


def test_empty_journal(tmp_path):
    assert found(migrated(tmp_path, [])) == {"accounts": [], "entries": [], "postings": [], "balances": []}


def test_amounts_are_exact(tmp_path):
    rows = [(n, n, "2024-01-01", "Cash", f"{n // 100}.{n % 100:02d}", "n") for n in range(1, 2000)]
    base = sqlite3.connect(migrated(tmp_path, rows))
    assert base.execute("SELECT cents FROM postings ORDER BY cents").fetchall() == [(n,) for n in range(1, 2000)]
    assert {row[0] for row in base.execute("SELECT typeof(cents) FROM postings")} == {"integer"}


def test_columns_are_constrained(tmp_path):
    base = sqlite3.connect(migrated(tmp_path, OTHER))
    shape = {
        table: [(row[1], row[2], row[3]) for row in base.execute(f"PRAGMA table_info({table})")]
        for table in ("accounts", "entries", "postings")
    }
    assert shape == {
        "accounts": [("id", "INTEGER", 0), ("name", "TEXT", 1)],
        "entries": [("id", "INTEGER", 0), ("day", "TEXT", 1), ("note", "TEXT", 0)],
        "postings": [("entry_id", "INTEGER", 1), ("account_id", "INTEGER", 1), ("cents", "INTEGER", 1)],
    }
    assert {row[2] for row in base.execute("PRAGMA foreign_key_list(postings)")} == {"accounts", "entries"}


def test_database_that_was_left():
    base = sqlite3.connect(":memory:")
    base.executescript(DUMP.read_text())
    assert found(LEFT) == wanted(base.execute("SELECT * FROM journal").fetchall())
