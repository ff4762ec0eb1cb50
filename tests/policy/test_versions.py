"""What `diff_contracts` does not call loosening admits no more, on any record: judged by the judge itself."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from affidavit.contracts import Contract, Kind, contract_of, diff_contracts
from affidavit.policy import judge

_PATHS = (
    "/", "/w", "/w/a", "/w/a/b", "/w/a/b/c", "/w/conftest.py", "/w/a/conftest.py", "/tmp/x", "/opt", "/opt/x", "/d/a/c",
    "/d/b/c", "/d/b", "/usr/bin/dash", "/usr/bin/sh", "/usr/bin/python3.11", "/usr/bin/gcc", "/home/agent/.cache/x",
)  # fmt: skip
_PATTERNS = (
    "/**", "/w/**", "/w/a/**", "/w/*", "/w/{a,b}", "/w/a/b/**", "**/conftest.py", "/tmp/**", "/opt/*", "/d/*/c",
    "/d/b/c", "/d/[ab]/*", "/usr/bin/*", "/usr/bin/sh", "/bin/s*", "/usr/bin/python3", "/usr/bin/python3*",
    "/home/*/.cache/**",
)  # fmt: skip
_ENDPOINTS = ("10.0.0.0/8", "10.1.0.0/16:443", "10.1.1.1:443/tcp", "a.b", "*.b")
_OPERATIONS = ("tmp_read", "write_outside_workspace", "tool_replacement")
_LISTS = st.lists(
    st.sampled_from(_PATTERNS) | st.sampled_from(_PATTERNS).map(lambda text: "!" + text), max_size=4, unique=True
)
_SECTIONS = ("attempts", "files", "network", "processes", "operations", "syscalls", "extends", "scopes", "rules")
_ATTEMPTS = st.sampled_from(["violation", "record"])
_SCOPES = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["s", "t"]), "for": st.sampled_from([["/usr/bin/gcc"], ["/usr/bin/*"]])},
        optional={
            "files": st.fixed_dictionaries({}, optional={"read": _LISTS, "write": _LISTS, "deny": _LISTS}),
            "attempts": _ATTEMPTS,
        },
    ),
    max_size=2,
    unique_by=lambda scope: scope["id"],
)
_RULES = st.lists(
    st.sampled_from(
        [
            {"id": "few", "count": {"op": ["exec"]}, "at_most": 1},
            {"id": "few", "count": {"op": ["exec"]}, "at_most": 0},
            {"id": "none", "forbid": "e.path == '/w/a'"},
            {"id": "order", "each": {"op": ["exec"]}, "after": {"op": ["create"]}},
        ]
    ),
    max_size=2,
    unique_by=lambda rule: rule["id"],
)
_CONTRACTS = st.fixed_dictionaries(
    {},
    optional={
        "attempts": _ATTEMPTS,
        "files": st.fixed_dictionaries(
            {}, optional={"read": _LISTS, "write": _LISTS, "deny": _LISTS, "attempts": _ATTEMPTS}
        ),
        "network": st.fixed_dictionaries(
            {"endpoints": st.lists(st.sampled_from(_ENDPOINTS))}, optional={"attempts": _ATTEMPTS}
        ),
        "processes": st.fixed_dictionaries({}, optional={"exec": _LISTS, "max_processes": st.integers(1, 3)}),
        "operations": st.fixed_dictionaries({"forbid": st.lists(st.sampled_from(_OPERATIONS), unique=True)}),
        "syscalls": st.fixed_dictionaries({"deny": st.lists(st.sampled_from(["mount", "ptrace"]), unique=True)}),
        "extends": st.just(["affidavit:base"]),
        "scopes": _SCOPES,
        "rules": _RULES,
    },
)
_EVENTS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "op": st.sampled_from(["open_read", "open_write", "create", "unlink", "mkdir", "exec"]),
                "path": st.sampled_from(_PATHS),
                "flags": st.sampled_from([0, 0o200000, 0o101]),
                "ret": st.sampled_from([0, 0, -2, -13, -30]),
                "exe": st.sampled_from(["/usr/bin/python3.11", "/usr/bin/gcc"]),
            }
        ),
        st.fixed_dictionaries(
            {
                "op": st.just("connect"),
                "addr": st.sampled_from(["10.1.1.1", "10.2.2.2", "8.8.8.8", "127.0.0.1"]),
                "port": st.sampled_from([443, 53]),
                "proto": st.sampled_from(["tcp", "udp"]),
                "flags": st.just(2),
                "ret": st.sampled_from([0, -101, -115]),
            }
        ),
    ),
    min_size=1,
    max_size=4,
)


def _contract(content: dict[str, Any]) -> Contract:
    return contract_of({"schema": "affidavit.contract/v1", "id": "c", "version": "1.0.0", **content}, "c")


@st.composite
def _two(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A contract and one that came of it by a change of a section or two."""
    old, other = draw(_CONTRACTS), draw(_CONTRACTS)
    kept = draw(st.sets(st.sampled_from(_SECTIONS)))
    new = {name: value for name, value in old.items() if name in kept}
    new |= {name: value for name, value in other.items() if name not in kept}
    if "files" in old and draw(st.booleans()):
        # A small change of one list: a pattern less, an exception more.
        name = draw(st.sampled_from(["read", "write", "deny"]))
        before = old["files"].get(name, [])
        after = [pattern for pattern in before if draw(st.booleans())]
        more = draw(st.lists(st.sampled_from(_PATTERNS), max_size=1))
        new = {**old, "files": {**old["files"], name: after + [f"!{pattern}" for pattern in more]}}
    return old, new


@given(_two(), _EVENTS)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_without_loosening_nothing_more_is_admitted(
    table: Callable[..., pa.Table], two: tuple[dict[str, Any], dict[str, Any]], events: list[dict[str, Any]]
) -> None:
    old, new = map(_contract, two)
    changes = diff_contracts(old, new).changes
    if any(change.kind is Kind.LOOSENING for change in changes):
        event("loosening")
        return
    event("tightening" if changes else "the same")
    record = table(*events)
    found = judge(new, record, workdir="/w")
    if not found:
        assert judge(old, record, workdir="/w") == []
    elif not old.document.rules and not new.document.rules:
        # Rules aside, each event is judged for itself: what broke the old contract breaks the new one.
        broke = {seq for violation in judge(old, record, workdir="/w") for seq in violation.events}
        assert broke <= {seq for violation in found for seq in violation.events}
