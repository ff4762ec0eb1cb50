"""What is said of the hosts that an agent reached, and what the record says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.evidence import NETWORK_FACTS, BundleWriter, EvidenceError, NetworkDocument, SigningKey
from affidavit.verification import verify_bundle
from evidence.conftest import make_bundle, recompute

CONNECTION = {
    "started_ns": 1,
    "ended_ns": 2,
    "name": "a.example",
    "port": 443,
    "address": "192.0.2.1",
    "outcome": "passed",
    "reason": "",
    "sent": 3,
    "received": 4,
}
FACTS: dict[str, Any] = {
    "endpoints": ["a.example"],
    "addresses": {},
    "names": {"198.18.0.1": "a.example"},
    "connections": [CONNECTION, {**CONNECTION, "outcome": "refused"}],
    "complete": True,
}
STATED: dict[str, Any] = {
    "endpoints": ["a.example"],
    "addresses": {},
    "hosts": 1,
    "connections": {"passed": 1, "refused": 1, "failed": 0},
    "complete": True,
}


def network_check(path: Path, key: SigningKey, stated: Any, facts: dict[str, Any] | None = FACTS) -> Any:
    def add(writer: BundleWriter) -> None:
        if facts is not None:
            writer.add(NETWORK_FACTS, facts)

    made = make_bundle(path, key, tamper=add, **({} if stated is None else {"network": stated}))
    (check,) = [one for one in verify_bundle(made, [key.public], recompute).checks if one.name == "network"]
    return check


def test_the_facts_and_the_statement_agree(tmp_path: Path, key: SigningKey) -> None:
    check = network_check(tmp_path / "b", key, STATED)
    assert check.ok, check.detail
    assert check.detail.startswith("1 connections to 1 hosts, 1 refused, 0 failed;")


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: {**facts, "endpoints": ["*.example"]},
        lambda facts: {**facts, "connections": facts["connections"][:1]},
        lambda facts: {**facts, "complete": False},
        lambda facts: {**facts, "addresses": {"a.example": "10.0.0.1"}},
        lambda facts: None,
    ],
)
def test_what_the_statement_does_not_say_is_found(
    tmp_path: Path, key: SigningKey, change: Callable[[dict[str, Any]], dict[str, Any] | None]
) -> None:
    assert not network_check(tmp_path / "b", key, STATED, change(FACTS)).ok


def test_facts_that_the_statement_does_not_tell_of_are_found(tmp_path: Path, key: SigningKey) -> None:
    assert not network_check(tmp_path / "b", key, None).ok


@pytest.mark.parametrize(
    "change",
    [
        {"connections": [{**CONNECTION, "outcome": "lost"}]},
        {"connections": [{**CONNECTION, "name": "b.example"}]},
        {"connections": [{"name": "a.example"}]},
        {"connections": 1},
        {"names": []},
    ],
)
def test_facts_that_no_run_writes_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError, match=r"agent/network\.json: "):
        NetworkDocument.read(NETWORK_FACTS, {**FACTS, **change})
