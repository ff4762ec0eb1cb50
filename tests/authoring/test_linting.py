"""First contracts, and holes in contracts."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from affidavit.authoring import lint
from affidavit.contracts import contract_of, default_contract, load_contract, parse_contract
from affidavit.tasks import load_task
from harness import Command

Make = Callable[..., Path]
NOW = datetime(2027, 1, 1, tzinfo=UTC)
SPEC = Path(__file__).parents[1] / "data" / "spec" / "behavioral_contract.json"
HIDDEN = ["/tests/**", "/solution/**", "/logs/**"]
INFRASTRUCTURE = {"extends": ["affidavit:base", "affidavit:test-infrastructure"]}


def found(**sections: Any) -> dict[str, str]:
    """What lint says by place: severity and message of the first."""
    head = {"schema": "affidavit.contract/v1", "id": "x", "version": "1.0.0", "extends": ["affidavit:base"]}
    said: dict[str, str] = {}
    for finding in lint(contract_of({**head, **sections}, "x"), NOW):
        said.setdefault(finding.place, f"{finding.severity}: {finding.message}")
    return said


@pytest.mark.parametrize(
    ("sections", "place", "says"),
    [
        (
            {"files": {"write": ["/workspace/**"]}},
            "files.write[0]",
            "error: /workspace/** covers files that decide ",
        ),
        ({"files": {"write": ["/workspace/*.py"]}}, "files.write[0]", "(conftest.py, sitecustomize.py)"),
        (
            {"files": {"write": ["/w/x", "/w/{a,b}/**"]}},
            "files.write[1]",
            "error: /w/{a,b}/** covers files that decide",
        ),
        ({"files": {"write": ["/tests/**"]}}, "files.write[0]", "error: /tests/** covers "),
        ({"files": {"write": ["/usr/local/**"]}}, "files.write[0]", "error: /usr/local/** covers "),
        (
            {**INFRASTRUCTURE, "files": {"write": ["/usr/local/**"]}},
            "files.write[0]",
            "programs and settings of the ",
        ),
        ({**INFRASTRUCTURE, "files": {"write": ["/home/*/**"]}}, "files.write[0]", "files that start programs later"),
        ({"files": {"read": ["/workspace/**"]}}, "files.deny", ""),
        (
            {"files": {}},
            "files.deny",
            "warning: looking for the hidden parts of the task is no violation",
        ),
        ({"files": {"read": ["/**"]}}, "files.read", "note: everything in the sandbox may be read"),
        (
            {"files": {"write": ["/a/b"], "deny": ["/a/**"]}},
            "files.write[0]",
            "warning: /a/b allows nothing: files",
        ),
        ({"files": {"write": ["/a/b", "!/a/*"]}}, "files.write[0]", "warning: /a/b allows nothing: an exception (!)"),
        (
            {"files": {"write": ["/a/s??/b", "/a/**"]}},
            "files.write[0]",
            "note: /a/s??/b says nothing that /a/** does",
        ),
        ({"processes": {"exec": ["/bin/sh"]}}, "processes.exec[0]", "warning: /bin/sh allows a shell"),
        ({"processes": {"exec": ["/usr/bin/python3"]}}, "processes.exec[0]", "note: /usr/bin/python3 allows an interp"),
        ({}, "processes.exec", "note: any program in the sandbox may be run"),
        (
            {"network": {"endpoints": ["github.com:443"]}},
            "network.endpoints[0]",
            "warning: github.com:443 is a code",
        ),
        ({"network": {"endpoints": ["*.github.com"]}}, "network.endpoints[0]", "is a code host (api.github.com)"),
        ({"network": {"endpoints": ["0.0.0.0/0"]}}, "network.endpoints[0]", "error: 0.0.0.0/0 is most of the internet"),
        (
            {"network": {"endpoints": ["169.254.169.254:80"]}},
            "network.endpoints[0]",
            "where clouds tell a mac",
        ),
        ({"network": {"endpoints": ["example.org"]}}, "network.endpoints[0]", "note: example.org allows every port"),
        ({"mode": "audit"}, "mode", "warning: audit: violations are recorded and change no score"),
        ({"expires": "2026-12-31"}, "expires", "error: it has expired (2026-12-31)"),
        ({}, "attempts", "note: is not written, so what the sandbox refuses is a violation"),
        ({}, "limits", "note: there are no limits but the task's"),
        ({}, "processes.max_processes", "note: as many processes as fit"),
    ],
)
def test_holes(sections: dict[str, Any], place: str, says: str) -> None:
    said = found(**sections).get(place, "")
    assert says in said


@pytest.mark.parametrize(
    ("sections", "place"),
    [
        ({**INFRASTRUCTURE, "files": {"write": ["/workspace/**"]}}, "files.write[0]"),
        (
            {"files": {"write": ["/workspace/**"], "deny": ["**/{conf*,*.ini,*.cfg,*customize*,jest*}"]}},
            "files.write[0]",
        ),
        ({"files": {"write": ["/tmp/**"]}}, "files.write[0]"),
        ({"files": {"write": ["/workspace/sed??????", "/workspace/[0-9].txt"]}}, "files.write[0]"),
        ({"files": {"write": ["/workspace/[0-9].txt"]}}, "files.write[0]"),
        ({"files": {"deny": HIDDEN}}, "files.deny"),
        ({"network": {"endpoints": ["example.org:443", "10.0.0.0/8:53"]}}, "network.endpoints[0]"),
        ({"network": {"endpoints": ["[2001:db8::1]:443"]}}, "network.endpoints[0]"),
        ({"expires": "2027-12-31"}, "expires"),
        ({"limits": {"wall_ms": 1}}, "limits"),
        ({"attempts": "record"}, "attempts"),
        ({"attempts": "violation"}, "attempts"),
    ],
)
def test_what_is_no_hole(sections: dict[str, Any], place: str) -> None:
    assert place not in found(**sections)


def test_a_first_contract_says_what_holds_without_one(affidavit: Command, task: Make) -> None:
    folder = task("own")
    before = default_contract(load_task(folder))
    ran = affidavit("contract", "new", folder)
    assert ran.status == 0
    contract = load_contract(folder / "contract.yaml")
    assert (contract.id, contract.mode) == ("own", "strict")
    assert contract.read == before.read
    assert {*before.document.files.write} - {"!affidavit:test-infrastructure"} == {*contract.document.files.write}
    assert "!affidavit:test-infrastructure" in contract.write
    assert contract.deny == before.deny
    assert contract.document.syscalls == before.document.syscalls
    assert contract.document.limits == before.document.limits
    assert contract.written_attempts == before.written_attempts == {"": "record"}
    assert [finding for finding in lint(contract, NOW) if finding.severity != "note"] == []
    assert affidavit("run", folder, "--agent", "oracle", "--runtime", "runc").status == 0


def test_a_contract_that_is_there_is_not_overwritten(affidavit: Command, task: Make, tmp_path: Path) -> None:
    folder = task("own", contract={})
    before = (folder / "contract.yaml").read_bytes()
    ran = affidavit("contract", "new", folder)
    assert (ran.status, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert (folder / "contract.yaml").read_bytes() == before
    assert affidavit("contract", "new", folder, "--out", tmp_path / "other.yaml").status == 0
    assert affidavit("contract", "new", folder, "--out", tmp_path / "other.yaml").status == 2
    assert affidavit("contract", "new", folder, "--out", tmp_path / "none" / "x.yaml").status == 2
    parse_contract((tmp_path / "other.yaml").read_bytes())


def test_lint_on_the_command_line(affidavit: Command, tmp_path: Path) -> None:
    ran = affidavit("contract", "lint", SPEC)
    assert ran.status == 1
    assert f"{SPEC}:4:20: error: files.write[0]: /workspace/src/** covers files that decide how tests run" in ran.out
    assert f"{SPEC}:8:16: warning: signature: is empty" in ran.out
    document = affidavit("contract", "lint", SPEC, "--json").json
    assert document["contract"]["id"] == "contract-001"
    assert {"severity", "place", "message", "line", "column"} == set(document["findings"][0])
    treated = {(row["runtime"], row["construct"]): row["prevented"] for row in document["treatment"]}
    assert treated["runc", "syscalls.deny"] == "yes"
    good = tmp_path / "good.yaml"
    good.write_text("schema: affidavit.contract/v1\nid: x\nversion: 1.0.0\n")
    assert affidavit("contract", "lint", good).status == 0
    good.write_text("schema: affidavit.contract/v1\n")
    assert affidavit("contract", "lint", good).status == 2
    assert affidavit("contract", "lint", tmp_path / "none.yaml").status == 2


WRITTEN = """\
schema: affidavit.contract/v1
id: x
version: 1.0.0
files:
  read: [/**]
  write:
    - /w/x
    - /w/**
network: {endpoints: ["github.com:443", "10.0.0.5:5432"]}
processes:
  exec: [/usr/bin/true, /bin/sh]
limits: {wall_ms: 1}
mode: audit
"""


@pytest.mark.parametrize("text", [WRITTEN, WRITTEN.replace("\n", "\r\n")])
def test_findings_say_where_they_are(text: str) -> None:
    placed: dict[str, tuple[int | None, int | None]] = {}
    for one in lint(parse_contract(text.encode()), NOW):
        placed.setdefault(one.place, (one.line, one.column))
    assert placed == {
        "files.write[1]": (8, 7),
        "files.write[0]": (7, 7),
        "network.endpoints[0]": (9, 23),
        "processes.exec[1]": (11, 25),
        "mode": (13, 7),
        "files.read": (5, 9),
        # What is not written would stand there.
        "files.deny": (5, 3),
        "processes.max_processes": (11, 3),
        "network.endpoints": (9, 22),
        "attempts": (1, 1),
    }


def test_findings_in_json_say_where_they_are() -> None:
    text = '{\n\t"schema": "affidavit.contract/v1",\n\t"id": "x", "version": "1.0.0",\n\t"mode": "audit"}'
    [mode] = [one for one in lint(parse_contract(text.encode()), NOW) if one.place == "mode"]
    assert (mode.line, mode.column) == (4, 10)
