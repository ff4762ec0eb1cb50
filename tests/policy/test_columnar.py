"""CEL over columns against another implementation of CEL that looks at one event after the other."""

from collections.abc import Callable
from typing import Any

import cel as other
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts.cel import compile_cel
from affidavit.policy.columnar import Evaluation, EventFrame
from affidavit.policy.columns import Batch
from affidavit.policy.engine import op_codes
from affidavit.policy.lineage import Lineage

Table = Callable[..., pa.Table]

ROWS: list[dict[str, Any]] = [
    {"op": "open_read", "path": "/workspace/a.py", "ret": 3, "flags": 0},
    {"op": "open_write", "path": "/workspace/é.so", "ret": -13, "flags": 577, "mode": 420},
    {"op": "rename", "path": "/a", "path2": "/a", "ret": 0},
    {"op": "rename", "path": "/a", "path2": "/b", "ret": 0},
    {"op": "exec", "path": "/usr/bin/gcc", "exe": "/usr/bin/gcc", "argv": ["gcc", "-o", "x", "é.c"]},
    {"op": "exec", "path": "/usr/bin/sh", "exe": "/usr/bin/dash", "argv": []},
    {"op": "connect", "addr": "10.0.0.1", "port": 443, "proto": "tcp", "ret": -115},
    {"op": "fork", "ret": 4194303, "exe": None, "comm": None},
    {"op": "exit", "ret": 2**62, "flags": 9},
    {"op": "denied", "flags": 165, "ret": -1, "path": ""},
]
INTS = ("seq", "pid", "tid", "ppid", "flags", "mode", "ret", "port", "uid", "gid")
STRINGS = ("op", "path", "path2", "addr", "proto", "exe", "comm", "source")


def masks(table: Table, expression: str, rows: list[dict[str, Any]] = ROWS) -> list[bool]:
    [batch] = table(*rows).to_batches()
    columns, lineage = Batch(batch), Lineage(with_argv=True)
    images = lineage.follow(columns, op_codes(columns.names("op")))
    return Evaluation(EventFrame(columns, 0, lineage, images)).mask(compile_cel(expression).node).tolist()


def as_event(row: dict[str, Any]) -> dict[str, Any]:
    event = {name: row[name] if row[name] is not None else 0 for name in INTS}
    event |= {name: row[name] or "" for name in STRINGS}
    return event | {"argv": row["argv"] or [], "ok": row["ret"] >= 0}


# The other one counts the bytes of a text, where CEL counts code points: it is asked of ASCII alone.
_INT = st.sampled_from([*(f"e.{name}" for name in INTS), "size(e.argv)", "size(e.exe)"])
_NUMBER = st.integers(-5, 600).map(str)
_STRING = st.sampled_from([f"e.{name}" for name in STRINGS])
_TEXT = st.sampled_from(["/workspace/", "", "a", "é", ".py", "/usr/bin/gcc", "exec", "/a", "^/w.*s", "x|o$", "tcp"])
_QUOTED = _TEXT.map(lambda text: f"'{text}'")


def _ints(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from("/%"), st.integers(1, 9)).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda one: f"(-({one}))"),
    )


_INTEGER = st.recursive(st.one_of(_INT, _NUMBER), _ints, max_leaves=3)
_ABOUT_WORD = st.one_of(
    st.tuples(st.sampled_from(["startsWith", "endsWith", "contains", "matches"]), _QUOTED).map(
        lambda t: f"w.{t[0]}({t[1]})"
    ),
    _QUOTED.map(lambda text: f"w == {text}"),
)
_QUESTION = st.one_of(
    st.tuples(_INTEGER, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _INTEGER).map(" ".join),
    st.tuples(_STRING, st.sampled_from(["==", "!="]), st.one_of(_STRING, _QUOTED)).map(
        lambda t: " ".join(t) if t[0] != "e.op" or not t[2].startswith("'") else f"{t[0]} {t[1]} 'exec'"
    ),
    st.tuples(_STRING, st.sampled_from(["startsWith", "endsWith", "contains", "matches"]), _QUOTED).map(
        lambda t: f"{t[0]}.{t[1]}({t[2]})"
    ),
    st.tuples(st.sampled_from(["exists", "all", "exists_one"]), _ABOUT_WORD).map(lambda t: f"e.argv.{t[0]}(w, {t[1]})"),
    st.lists(_QUOTED, min_size=1, max_size=3).map(lambda texts: f"e.path in [{', '.join(texts)}]"),
    st.lists(_NUMBER, min_size=1, max_size=3).map(lambda texts: f"e.ret in [{', '.join(texts)}]"),
    _QUOTED.map(lambda text: f"{text} in e.argv"),
    st.just("e.ok"),
)


def _logic(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", "==", "!="]), inner).map(lambda t: f"(({t[0]}) {t[1]} ({t[2]}))"),
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, inner, inner).map(lambda t: f"(({t[0]}) ? ({t[1]}) : ({t[2]}))"),
    )


@given(st.recursive(_QUESTION, _logic, max_leaves=6))
def test_against_another_implementation(table: Table, expression: str) -> None:
    # One that asks nothing of an event is not taken.
    expression = f"({expression}) || (e.ok && !e.ok)"
    program = other.compile(expression)
    expected: list[bool | None] = []
    for row in table(*ROWS).to_pylist():
        try:
            expected.append(bool(program.execute({"e": as_event(row)})))
        except (ValueError, OverflowError):
            # Beyond 64 bits CEL has an error, and this the outermost number.
            expected.append(None)
    got = masks(table, expression)
    assert [one for one, known in zip(got, expected, strict=True) if known is not None] == [
        known for known in expected if known is not None
    ]


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("size(e.path) == 15", [0, 1]),
        ("has(e.path)", [0, 1, 2, 3, 4, 5, 9]),
        ("has(e.port) || has(e.argv)", [4, 6]),
        ("has(e.ret) && !has(e.exe)", [7]),
        ("e.path.glob('/workspace/**')", [0, 1]),
        ("e.ret * 4 > 9223372036854775806", [8]),
        ("(e.ok ? e.path : e.op) == 'connect'", [6]),
        ("(e.ok ? 'x' : e.op) == 'denied'", [9]),
        ("e.time_ms == 0 && e.ts_ns >= 8000", [8, 9]),
        ("process.exe.endsWith('/gcc')", [5]),
        ("process.parent_exe == '/usr/bin/gcc'", [6, 7, 8]),
        ("'-o' in process.argv", [5]),
        ("process.ancestors.exists(a, a.endsWith('gcc')) && process.pid == 10", [6, 7, 8]),
        ("'\\u00e9.c' in e.argv", [4]),
        (r"e.path.matches(r'\.py$')", [0]),
    ],
)
def test_what_only_this_one_has(table: Table, expression: str, rows: list[int]) -> None:
    assert np.flatnonzero(masks(table, expression)).tolist() == rows


def test_no_expression_is_asked_of_nothing(table: Table) -> None:
    assert masks(table, "e.path == '' && !e.argv.all(a, a == '')", [{"op": "exit"}]) == [False]
