"""What a change of a contract is called, and which version it needs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts import Contract, ContractError, Kind, Step, contract_of, diff_contracts
from affidavit.contracts.versions import least_version, precedence, step

BASE: dict[str, Any] = {
    "files": {"read": ["/workspace/**"], "write": ["/workspace/**", "!**/conftest.py"], "deny": ["/tests/**"]},
    "network": {"endpoints": ["10.0.0.0/8:443", "*.example.org:80-90/tcp"]},
    "processes": {"exec": ["/usr/bin/python3*", "/usr/bin/sh"], "max_processes": 8},
    "syscalls": {"deny": ["ptrace"]},
    "operations": {"forbid": ["tmp_read"]},
    "limits": {"wall_ms": 1000},
    "model": {"requests": 9, "models": ["m-*"], "tools": ["bash", "edit_*"]},
    "scopes": [{"id": "cc", "for": ["/usr/bin/gcc*"], "files": {"write": ["/tmp/**", "/workspace/**"]}}],
    "rules": [{"id": "few", "count": {"op": ["exec"]}, "at_most": 9}],
    "expires": "2030-01-01",
}
L, T, N = Kind.LOOSENING, Kind.TIGHTENING, Kind.NEUTRAL


def contract(version: str = "1.0.0", **changed: Any) -> Contract:
    content = {"schema": "affidavit.contract/v1", "id": "c", "version": version, **BASE, **changed}
    return contract_of({name: value for name, value in content.items() if value is not None}, "c.yaml")


def within(section: str, **changed: Any) -> dict[str, Any]:
    return {section: {name: value for name, value in {**BASE[section], **changed}.items() if value is not None}}


RULE = BASE["rules"][0]
SCOPE = BASE["scopes"][0]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, {}),
        (within("files", write=["/workspace/src/**", "!**/conftest.py"]), {"files.write": {T}}),
        (within("files", write=["/workspace/**"]), {"files.write": {L}}),
        (within("files", write=["/workspace/**", "/o/**", "!**/conftest.py"]), {"files.write": {L}, "files.read": {L}}),
        (within("files", write=["!**/conftest.py", "/workspace/{**,a}"]), {"files.write": {N}}),
        (within("files", write=["/tmp/**", "!**/conftest.py"]), {"files.write": {L, T}, "files.read": {L}}),
        (within("files", read=None), {"files.read": {L}}),
        (within("files", read=["/workspace/src/**"]), {"files.read": {T}}),  # /workspace/conftest.py
        (within("files", read=["/workspace/**", "/etc/passwd"]), {"files.read": {L}}),
        # What may be written may be read.
        (within("files", read=["/workspace/src/**", "**/conftest.py"]), {"files.read": {L}}),
        (within("files", read=["/workspace/{*,*/**}"]), {"files.read": {N}}),
        (within("files", deny=["/tests/**", "/solution/**"]), {"files.deny": {T}}),
        (within("files", deny=["/tests/hidden/**"]), {"files.deny": {L}}),
        (within("files", deny=None), {"files.deny": {L}}),
        ({"attempts": "record"}, {"attempts": {L}}),
        ({"attempts": "violation"}, {"attempts": {N}}),
        (within("files", attempts="record"), {"files.attempts": {L}}),
        (within("network", attempts="violation"), {"network.attempts": {N}}),
        ({"attempts": "record", **within("files", attempts="violation")}, {"attempts": {L}, "files.attempts": {N}}),
        ({"scopes": [{**SCOPE, "attempts": "record"}]}, {"scopes.cc.attempts": {L}}),
        ({"scopes": [{**SCOPE, "attempts": "violation"}]}, {"scopes.cc.attempts": {T}}),
        (within("network", endpoints=["10.1.0.0/16:443", "a.example.org:80/tcp"]), {"network.endpoints": {T}}),
        (within("network", endpoints=["10.0.0.0/8", "*.example.org:80-90/tcp"]), {"network.endpoints": {L, T} - {T}}),
        (within("network", endpoints=["*.example.org:80-90"]), {"network.endpoints": {L, T}}),
        (within("processes", exec=["/usr/bin/python3.11", "/bin/sh"]), {"processes.exec": {T}}),
        (within("processes", exec=["/usr/bin/python3*", "/usr/bin/bash"]), {"processes.exec": {T}}),
        (within("processes", exec=None), {"processes.exec": {L}}),
        (within("processes", exec=["/usr/bin/python3*", "/usr/bin/sh", "sha256:" + "0" * 64]), {"processes.exec": {L}}),
        (within("processes", max_processes=9), {"processes.max_processes": {L}}),
        (within("processes", max_processes=None), {"processes.max_processes": {L}}),
        (within("processes", max_processes=7), {"processes.max_processes": {T}}),
        (within("syscalls", deny=["ptrace", "mount"]), {"syscalls.deny": {T}}),
        (within("syscalls", deny=["mount"]), {"syscalls.deny": {L, T}}),
        (within("operations", forbid=[]), {"operations.forbid": {L}}),
        (within("limits", wall_ms=999), {"limits.wall_ms": {T}}),
        (within("limits", wall_ms=None), {"limits.wall_ms": {L}}),
        (within("limits", cpu_ms=5), {"limits.cpu_ms": {T}}),
        (within("model", requests=10), {"model.requests": {L}}),
        (within("model", requests=8), {"model.requests": {T}}),
        (within("model", models=["m-1", "m-2*"]), {"model.models": {T}}),
        (within("model", models=["m*"]), {"model.models": {L}}),
        (within("model", models=None), {"model.models": {L}}),
        (within("model", tools=["bash", "edit_?"]), {"model.tools": {T}}),
        (within("model", tools=["*sh", "edit_*"]), {"model.tools": {L}}),
        (within("model", attempts="record"), {"model.attempts": {L}}),
        ({"mode": "audit"}, {"mode": {L}}),
        ({"mode": "strict"}, {"mode": {N}}),
        # Attempts at an exception are judged more strictly.
        (within("files", write=["/workspace/**", "!**/conftest.py", "!/x"]), {"files.write": {T}}),
        ({"limits": {"wall_ms": 1000, "cpu_ms": None}}, {"document": {N}}),
        ({"actions": ["flag", "halt"]}, {"actions": {T}}),
        ({"actions": ["flag", "alert"]}, {"actions": {T}}),
        ({"extends": ["affidavit:base"]}, {"extends": {L}, "files.read": {L}, "files.write": {L}}),
        ({"rules": [RULE, {"id": "two", "forbid": "e.op == 'exec'"}]}, {"rules.two": {T}}),
        ({"rules": []}, {"rules.few": {L}}),
        ({"rules": [{**RULE, "at_most": 10}]}, {"rules.few": {L}}),
        ({"rules": [{**RULE, "message": "too many"}]}, {"rules.few": {N}}),
        ({"scopes": []}, {"scopes": {L}}),
        ({"scopes": [{**SCOPE, "files": {"write": ["/tmp/**"]}}]}, {"scopes.cc.files.write": {T}}),
        ({"scopes": [{**SCOPE, "files": {"write": ["/**"]}}]}, {"scopes.cc.files.write": {L}}),
        ({"scopes": [{**SCOPE, "children": False}]}, {"scopes.cc": {L}}),
        ({"scopes": [SCOPE, {"id": "x", "for": ["/x"], "files": {"deny": ["/y"]}}]}, {"scopes.x": {T}}),
        ({"scopes": [SCOPE, {"id": "x", "for": ["/x"], "files": {"write": ["/y"]}}]}, {"scopes.x": {L}}),
        ({"expires": None}, {"expires": {L}}),
        ({"expires": "2029-01-01"}, {"expires": {T}}),
        ({"expires": "2030-01-01T23:59:59Z"}, {"expires": {N}}),
    ],
)  # fmt: skip
def test_kinds(changed: dict[str, Any], expected: dict[str, set[Kind]]) -> None:
    found: dict[str, set[Kind]] = {}
    for change in diff_contracts(contract(), contract(**changed)).changes:
        found.setdefault(change.place, set()).add(change.kind)
    assert found == expected


def test_the_program_that_a_name_stands_for_is_compared_too() -> None:
    # /usr/bin/sh is dash on the record.
    old = contract(**within("processes", exec=["/usr/bin/s*"]))
    [change] = [
        c for c in diff_contracts(old, contract(**within("processes", exec=["/usr/bin/sh"]))).changes if c.kind is L
    ]
    assert change.detail == "now admits /bin/bash"


def test_a_folder_that_may_be_listed_only_now() -> None:
    old = contract(files={"read": ["/a/*/c"], "write": []})
    new = contract(files={"read": ["/a/b/c"], "write": []})
    assert [(c.kind, c.detail) for c in diff_contracts(old, new).changes if c.kind is L] == [
        (L, "lets one list the folder /a/b")
    ]


def test_what_reads_everything_reads_no_more() -> None:
    """However intricate the list of what may be written, which may be read too."""
    base = {"read": ["/**"], "write": ["/workspace/**", "/tmp/**", "!affidavit:test-infrastructure"]}
    old = contract(files=base, extends=["affidavit:base"])
    new = contract(files={**base, "write": ["/workspace/**", "/opt/x/**", "/tmp/**"]}, extends=["affidavit:base"])
    assert {change.place for change in diff_contracts(old, new).changes} == {"files.write"}
    assert len(diff_contracts(old, new).changes) == 1


@pytest.mark.parametrize(
    ("version", "changed", "fits", "least"),
    [
        ("1.0.0", {}, True, "1.2.3"),
        ("1.2.3", {}, True, "1.2.3"),
        ("1.2.4", {}, True, "1.2.3"),
        ("1.2.3", {"mode": "audit"}, False, "2.0.0"),
        ("1.3.0", {"mode": "audit"}, False, "2.0.0"),
        ("2.0.0", {"mode": "audit"}, True, "2.0.0"),
        ("2.0.0-rc.1", {"mode": "audit"}, True, "2.0.0"),
        ("1.2.4", within("limits", wall_ms=1), False, "1.3.0"),
        ("1.3.0", within("limits", wall_ms=1), True, "1.3.0"),
        ("1.2.4", {"expires": "2030-01-01T23:59:59Z"}, True, "1.2.4"),
        ("1.2.3+build", {"expires": "2030-01-01T23:59:59Z"}, False, "1.2.4"),
    ],
)
def test_the_version_must_say_it(version: str, changed: dict[str, Any], fits: bool, least: str) -> None:
    old, new = contract("1.2.3"), contract(version, **changed)
    found = diff_contracts(old, new)
    if version == "1.0.0":
        assert not found.fits  # it is lower
    else:
        assert (found.fits, found.least) == (fits, least)


def test_another_contract_is_no_version() -> None:
    other = contract_of({"schema": "affidavit.contract/v1", "id": "d", "version": "2.0.0"}, "d.yaml")
    with pytest.raises(ContractError, match="d is not a version of c"):
        diff_contracts(contract(), other)


def test_a_field_that_is_not_known_here_counts_as_loosening(monkeypatch: pytest.MonkeyPatch) -> None:
    from affidavit.contracts import diff

    plain = diff._fields
    monkeypatch.setattr(diff, "_fields", lambda c: {**plain(c), "files.colour": c.version})
    assert [(c.place, c.kind) for c in diff_contracts(contract("1.0.0"), contract("1.0.1")).changes] == [
        ("files.colour", L)
    ]


# https://semver.org/spec/v2.0.0.html, 11.
ORDERED = [
    "0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
    "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.11.0", "2.0.0", "2.1.0", "2.1.1",
]  # fmt: skip


def test_versions_sort_as_semver_says() -> None:
    assert sorted([*ORDERED[5:], *ORDERED[:5]], key=precedence) == ORDERED
    assert precedence("1.0.0+a") == precedence("1.0.0+b")


@given(st.sampled_from(ORDERED), st.sampled_from(list(Step)[1:]))
def test_the_least_version_makes_the_step(old: str, size: Step) -> None:
    made = step(old, least_version(old, size))
    assert made is not None
    assert made >= size
