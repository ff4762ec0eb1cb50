"""A contract that promises more is broken by every event that breaks the one that promises less."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts import contract_of
from affidavit.policy import judge

Table = Callable[..., pa.Table]

_PATTERNS = [
    "/workspace/**",
    "/workspace/src/**",
    "**/*.py",
    "/tmp/**",
    "/usr/**",
    "/etc/{passwd,group}",
    "/work*/s?c/*",
]
_PATHS = ["/workspace", "/workspace/a.py", "/workspace/src/b.c", "/tmp/x", "/usr/bin/dash", "/etc/passwd", "/home/a/.x"]
_LIST = st.lists(st.sampled_from(_PATTERNS), max_size=4, unique=True)
_EXCEPTIONS = st.lists(st.sampled_from(_PATTERNS).map("!{}".format), max_size=2, unique=True)
_ENDPOINTS = st.lists(
    st.sampled_from(["10.0.0.0/8", "10.0.0.1:80/tcp", "*.example.com", "192.0.2.0/24:1-99"]), unique=True
)
_RULES = st.lists(
    st.sampled_from(
        [
            {"id": "never", "never": {"op": ["connect"]}, "after": {"op": ["open_read"]}},
            {"id": "count", "count": {"op": ["exec"]}, "at_most": 1},
            {"id": "cel", "forbid": "e.path.endsWith('.c') && !e.ok"},
        ]
    ),
    unique_by=lambda rule: rule["id"],
)
_OPERATIONS = st.lists(
    st.sampled_from(["tmp_read", "system", "write_outside_workspace", "execvp", "eval"]), unique=True
)
_ROW = st.fixed_dictionaries(
    {
        "op": st.sampled_from(
            ["open_read", "open_write", "create", "unlink", "mkdir", "rename", "exec", "connect", "dns"]
        ),
        "path": st.sampled_from(_PATHS),
        "path2": st.sampled_from([*_PATHS, "api.example.com"]),
        "exe": st.sampled_from(_PATHS),
        "ret": st.sampled_from([0, -2, -13, -17, -30]),
        "flags": st.sampled_from([0, 2, 0x41, 0x10000]),
        "addr": st.sampled_from(["10.0.0.1", "192.0.2.7", "127.0.0.1"]),
        "port": st.sampled_from([53, 80, None]),
        "proto": st.sampled_from(["tcp", "udp", None]),
    }
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A contract, and one that allows nothing more."""

    def fewer(items: list[Any]) -> list[Any]:
        return [item for item in items if draw(st.booleans())]

    read, run = draw(st.none() | _LIST), draw(st.none() | _LIST)
    write, deny, reach = draw(_LIST), draw(_LIST), draw(_ENDPOINTS)
    excepted, rules, forbidden = draw(_EXCEPTIONS), draw(_RULES), draw(_OPERATIONS)
    fewer_read = draw(st.none() | _LIST) if read is None else fewer(read)
    fewer_run = draw(st.none() | _LIST) if run is None else fewer(run)
    more_rules = {rule["id"]: rule for rule in [*draw(_RULES), *rules]}

    def made(files: dict[str, Any], execs: Any, endpoints: Any, rules: Any, operations: Any) -> dict[str, Any]:
        head = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0", "extends": ["affidavit:base"]}
        return {
            **head,
            "files": files,
            "network": {"endpoints": endpoints},
            "processes": {"exec": execs},
            "rules": rules,
            "operations": {"forbid": operations},
        }

    loose = made({"read": read, "write": write + excepted, "deny": deny}, run, reach, rules, forbidden)
    files = {
        "read": fewer_read,
        "write": fewer(write) + excepted + draw(_EXCEPTIONS),
        "deny": deny + draw(_LIST),
    }
    tight = made(files, fewer_run, fewer(reach), list(more_rules.values()), sorted({*forbidden, *draw(_OPERATIONS)}))
    return loose, tight


@given(pairs(), st.lists(_ROW, max_size=15))
def test_tightening_never_admits_more(table: Table, pair: Any, rows: list[dict[str, Any]]) -> None:
    events = table(*rows)
    loose, tight = (
        {seq for violation in judge(contract_of(one, "t"), events) for seq in violation.events} for one in pair
    )
    assert loose <= tight
