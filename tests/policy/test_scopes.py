"""What holds for some programs and what they start."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts import Contract, contract_of
from affidavit.policy import Judge, judge

Table = Callable[..., pa.Table]

SHELL, GCC, LD = 10, 11, 12


def start(pid: int, exe: str) -> dict[str, Any]:
    return {"op": "exec", "pid": pid, "path": exe, "exe": exe}


def fork(pid: int, child: int) -> dict[str, Any]:
    return {"op": "fork", "pid": pid, "ret": child}


# A shell starts a compiler, which starts a linker; each writes an object file.
OBJECT = {"op": "create", "path": "/workspace/build/a.o"}
BUILD = [
    start(SHELL, "/usr/bin/dash"),
    fork(SHELL, GCC),
    start(GCC, "/usr/bin/x86_64-linux-gnu-gcc-12"),
    fork(GCC, LD),
    start(LD, "/usr/bin/ld"),
]


def promised(*scopes: dict[str, Any], **sections: Any) -> Contract:
    head = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0", "files": {"write": ["/workspace/src/**"]}}
    return contract_of({**head, "scopes": list(scopes), **sections}, "t")


def broken(table: Table, contract: Contract, *rows: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    return [(violation.rule, violation.events) for violation in judge(contract, table(*rows))]


COMPILER = {"id": "cc", "for": ["/usr/bin/gcc"], "files": {"write": ["/workspace/build/**"]}}


def test_a_scope_lets_its_processes_do_what_no_other_may(table: Table) -> None:
    by = [{**OBJECT, "pid": pid} for pid in (SHELL, GCC, LD)]
    assert broken(table, promised(COMPILER), *BUILD, *by) == [("files.write", (5,))]
    alone = {**COMPILER, "children": False}
    assert broken(table, promised(alone), *BUILD, *by) == [("files.write", (5, 7))]


def test_a_scopes_list_stands_in_place_of_the_contracts(table: Table) -> None:
    rows = [{"op": "create", "path": "/workspace/src/a.c", "pid": pid} for pid in (SHELL, GCC)]
    assert broken(table, promised(COMPILER), *BUILD, *rows) == [("scopes.cc.files.write", (6,))]


def test_where_several_scopes_apply_all_must_allow(table: Table) -> None:
    linker = {"id": "ld", "for": ["/usr/bin/ld"], "files": {"write": ["/workspace/build/*.so", "/workspace/src/**"]}}
    names = ["/workspace/build/a.o", "/workspace/build/a.so", "/workspace/src/a.c"]
    rows = [{"op": "create", "path": name, "pid": LD} for name in names]
    assert broken(table, promised(COMPILER, linker), *BUILD, *rows) == [
        ("scopes.cc.files.write", (5,)),
        ("scopes.cc.files.write", (7,)),
    ]


def test_other_lists(table: Table) -> None:
    scope = {
        "id": "cc",
        "for": ["/usr/bin/gcc"],
        "files": {"read": ["/usr/**"], "deny": ["/usr/share/**"]},
        "network": {"endpoints": ["10.0.0.1:80"]},
        "processes": {"exec": ["/usr/bin/as"]},
    }
    reach = {"op": "connect", "addr": "10.0.0.1", "port": 80, "flags": 2}
    rows = [
        *({"op": "open_read", "path": path, "pid": GCC} for path in ("/usr/x", "/etc/x", "/usr/share/x")),
        {**reach, "pid": GCC},
        {**reach, "pid": SHELL},
        {**reach, "pid": GCC, "port": 81},
    ]
    assert broken(table, promised(scope), *BUILD, *rows) == [
        ("scopes.cc.processes.exec", (4,)),
        ("scopes.cc.files.read", (6,)),
        ("scopes.cc.files.deny", (7,)),
        ("network.endpoints", (9,)),
        ("scopes.cc.network.endpoints", (10,)),
    ]


def test_what_the_contract_denies_no_scope_allows(table: Table) -> None:
    contract = promised(COMPILER, files={"deny": ["/workspace/build/secret"]})
    row = {"op": "create", "path": "/workspace/build/secret", "pid": GCC}
    assert broken(table, contract, *BUILD, row) == [("files.deny", (5,))]


def test_the_diff_allows_what_some_scope_does(table: Table) -> None:
    class Change:
        path, kind, type, mode, target = "/workspace/build/a.o", "added", "file", 0o644, None

    assert judge(promised(COMPILER), table(), diff=[Change()]) == []  # type: ignore[list-item]
    assert Judge(promised(COMPILER)).carried([Change()]) == {"/workspace/build/a.o"}  # type: ignore[list-item]
    assert [v.rule for v in judge(promised(), table(), diff=[Change()])] == ["files.write"]  # type: ignore[list-item]


def test_actions_of_a_scope(table: Table) -> None:
    halting = {"id": "sh", "for": ["/bin/sh"], "processes": {"exec": []}, "actions": ["halt"]}
    rows = [start(1, "/usr/bin/dash"), start(1, "/usr/bin/ls")]
    [violation] = judge(promised(halting), table(*rows))
    assert (violation.rule, violation.action) == ("scopes.sh.processes.exec", "halt")


_PIDS = st.sampled_from([1, 2, 3, 4])
_ROW = st.one_of(
    st.builds(start, _PIDS, st.sampled_from(["/usr/bin/gcc", "/usr/bin/ld", "/usr/bin/dash"])),
    st.builds(fork, _PIDS, _PIDS),
    st.builds(
        lambda op, path, pid: {"op": op, "path": path, "pid": pid},
        st.sampled_from(["create", "open_read", "exit"]),
        st.sampled_from(["/workspace/src/a", "/workspace/build/b", "/etc/x"]),
        _PIDS,
    ),
    st.builds(lambda pid: {"op": "connect", "addr": "10.0.0.1", "port": 80, "flags": 2, "pid": pid}, _PIDS),
)
_CONTRACT = promised(
    COMPILER,
    {"id": "ld", "for": ["/usr/bin/ld"], "children": False, "files": {"read": [], "deny": ["/etc/**"]}},
    {"id": "sh", "for": ["/bin/sh"], "network": {"endpoints": ["10.0.0.0/8"]}, "processes": {"exec": ["/usr/bin/l*"]}},
)


@given(st.lists(_ROW, max_size=50), st.data())
def test_live_and_after_the_fact_agree(table: Table, rows: list[dict[str, Any]], data: st.DataObject) -> None:
    events = table(*rows)
    judging, begin = Judge(_CONTRACT), 0
    while begin < len(rows):
        size = data.draw(st.integers(1, 20))
        for batch in events.slice(begin, size).to_batches():
            judging.feed(batch)
        begin += size
    assert judging.finish() == judge(_CONTRACT, events)


@pytest.mark.parametrize("pid", [-1, 0, 2**31 - 1])
def test_odd_process_numbers_are_in_no_scope(table: Table, pid: int) -> None:
    rows = [start(pid, "/usr/bin/gcc"), {**OBJECT, "pid": pid}]
    assert broken(table, promised(COMPILER), *rows) == [("files.write", (1,))]
