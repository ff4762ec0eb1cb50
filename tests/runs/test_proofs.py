"""Proofs of single events and trials, which show nothing else."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.evidence import BundleReader
from affidavit.runs import prove_event, prove_trial, verify_proof
from affidavit.signing import EvidenceError, SigningKey, load_key, new_key
from harness import Command, Home


@pytest.fixture
def owner(home: Home) -> SigningKey:
    return load_key(home.keys)


@pytest.fixture
def proofs(finished: tuple[Path, Path], owner: SigningKey, tmp_path: Path) -> dict[str, Path]:
    """A proof of each kind."""
    run, _ = finished
    made = {"event": prove_event(run / "a/cmd/0/bundle", 3)[0], "trial": prove_trial(run, "a/cmd/0", [owner.public])}
    for kind, data in made.items():
        (tmp_path / f"{kind}.json").write_bytes(data)
    return {kind: tmp_path / f"{kind}.json" for kind in made}


def test_an_event_is_proved(proofs: dict[str, Path], owner: SigningKey, finished: tuple[Path, Path]) -> None:
    verification = verify_proof(proofs["event"], [owner.public])
    assert verification.ok, verification.checks
    with BundleReader(finished[0] / "a/cmd/0/bundle") as reader:
        row = reader.event_table("agent").slice(3, 1).to_pylist()[0]
    assert verification.shown["event"] == json.loads(json.dumps(row, default=str))
    assert "event 3 of agent is in the record of trial 0 of a" in verification.checks[-1].detail


def test_a_trial_is_proved_without_the_others(proofs: dict[str, Path], owner: SigningKey) -> None:
    verification = verify_proof(proofs["trial"], [owner.public])
    assert verification.ok, verification.checks
    kinds = [entry["kind"] for entry in verification.shown["entries"]]
    assert kinds == ["started", "sandbox", "finished", "verdict", "sealed"]
    assert b"b/cmd/0" not in proofs["trial"].read_bytes()


def test_a_proof_needs_the_key(proofs: dict[str, Path], tmp_path: Path) -> None:
    for proof in proofs.values():
        verification = verify_proof(proof, [new_key(tmp_path / proof.stem).public])
        assert (verification.ok, verification.shown, verification.signer) == (False, {}, None)
        assert "signed by unknown key" in verification.checks[-1].detail


def set_seq(proof: dict[str, Any]) -> None:
    proof["seq"] = 5000


def shorten(proof: dict[str, Any]) -> None:
    proof["path"] = [*proof["path"], "0" * 64]


def other_leaf(proof: dict[str, Any]) -> None:
    proof["leaf"] = 1


def no_events(proof: dict[str, Any]) -> None:
    proof["events"] = base64.b64encode(b"x").decode()


def other_line(proof: dict[str, Any]) -> None:
    proof["entries"][3]["line"] = proof["entries"][3]["line"].replace('"score":', '"raw":')


def other_index(proof: dict[str, Any]) -> None:
    proof["entries"][0]["index"] += 1


def other_trial(proof: dict[str, Any]) -> None:
    proof["trial"] = "b/cmd/0"


def signed_otherwise(proof: dict[str, Any]) -> None:
    payload = bytearray(base64.b64decode(proof["signed"]["payload"]))
    payload[len(payload) // 2] ^= 1
    proof["signed"]["payload"] = base64.b64encode(payload).decode()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("event", set_seq),
        ("event", shorten),
        ("event", other_leaf),
        ("event", no_events),
        ("event", signed_otherwise),
        ("trial", other_line),
        ("trial", other_index),
        ("trial", other_trial),
        ("trial", signed_otherwise),
    ],
)
def test_a_changed_proof_is_none(
    proofs: dict[str, Path], owner: SigningKey, kind: str, change: Callable[[dict[str, Any]], None]
) -> None:
    document = json.loads(proofs[kind].read_bytes())
    change(document)
    proofs[kind].write_text(json.dumps(document))
    verification = verify_proof(proofs[kind], [owner.public])
    assert (verification.ok, verification.shown) == (False, {})


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"kind":"event"}', b"\xff"])
def test_what_is_no_proof_is_refused(owner: SigningKey, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "proof.json").write_bytes(data)
    assert not verify_proof(tmp_path / "proof.json", [owner.public]).ok


def test_what_is_not_there_is_not_proved(finished: tuple[Path, Path], owner: SigningKey) -> None:
    run, _ = finished
    with pytest.raises(EvidenceError, match="has no event 100000"):
        prove_event(run / "a/cmd/0/bundle", 100_000)
    with pytest.raises(EvidenceError, match="has no record of 'x'"):
        prove_event(run / "a/cmd/0/bundle", 0, "x")
    with pytest.raises(EvidenceError, match="tells of no trial 'a/0'"):
        prove_trial(run, "a/0", [owner.public])


def test_the_commands(affidavit: Command, finished: tuple[Path, Path], tmp_path: Path) -> None:
    run, _ = finished
    proved = affidavit("prove", run / "a/cmd/0/bundle", "--event", 0, "--out", "event.json")
    assert proved.status == 0, proved.err
    assert "shows the events 0 to " in proved.err
    assert affidavit("prove", run, "--trial", "a/cmd/1", "--out", "trial.json").status == 0
    for name in ("event.json", "trial.json"):
        checked = affidavit("verify", "--proof", tmp_path / name)
        assert (checked.status, "verified" in checked.out) == (0, True)
    assert affidavit("verify", "--proof", tmp_path / "event.json", "--json").json["shown"]["event"]["seq"] == 0
    assert affidavit("verify").status == 2
    assert affidavit("verify", run, "--proof", tmp_path / "event.json").status == 2
    assert affidavit("prove", run, "--out", "x.json").status == 2
