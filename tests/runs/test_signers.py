"""Who must have signed a plan and a statement: several keys, thresholds and rotation, as contracts have them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affidavit.runs import (
    PLAN,
    RUN_STATEMENT,
    countersign_plan,
    countersign_run,
    read_plan,
    read_run_statement,
    verify_run,
)
from affidavit.signing import (
    EvidenceError,
    SigningKey,
    Trust,
    TrustChange,
    changed_trust,
    load_key,
    new_key,
    new_trust,
)
from harness import Command, Home


@pytest.fixture
def own(home: Home) -> SigningKey:
    """The key that signed the run."""
    return load_key(home.keys)


@pytest.fixture
def second(tmp_path: Path) -> SigningKey:
    return new_key(tmp_path / "second")


def trust_in(*keys: SigningKey, threshold: int) -> Trust:
    """A trust file that all of these keys signed."""
    document = new_trust([(key.public, f"key-{number}") for number, key in enumerate(keys)], threshold, None)
    trust = Trust.start(document, keys[0])
    for key in keys[1:]:
        trust = trust.countersigned(key)
    return trust


def wrong(run: Path, trust: Trust) -> dict[str, str]:
    return {check.name: check.detail for check in verify_run(run, [], trust).checks if not check.ok}


def test_a_threshold_takes_so_many_signatures(run: Path, own: SigningKey, second: SigningKey) -> None:
    trust = trust_in(own, second, threshold=2)
    assert wrong(run, trust) == {
        "plan signers": "1 of 2 good signatures",
        "statement signers": "1 of 2 good signatures",
    }
    countersign_plan(run / PLAN, second)
    assert set(wrong(run, trust)) == {"statement signers"}
    assert countersign_run(run, [own.public], second).ok
    assert wrong(run, trust) == {}
    # Whoever asks for one key alone is not disturbed by the other.
    assert verify_run(run, [own.public]).ok


def test_a_signature_of_a_stranger_counts_for_nothing(
    run: Path, own: SigningKey, second: SigningKey, tmp_path: Path
) -> None:
    countersign_run(run, [own.public], new_key(tmp_path / "stranger"))
    assert "1 of 2 good signatures" in wrong(run, trust_in(own, second, threshold=2))["plan signers"]


def test_a_signature_under_other_content_counts_for_nothing(run: Path, own: SigningKey, second: SigningKey) -> None:
    statement, plan = read_run_statement(run / RUN_STATEMENT), read_plan(run / PLAN)
    of_plan = plan.envelope.with_signature(second).signatures[second.key_id]
    envelope = replace(statement.envelope, signatures={**statement.envelope.signatures, second.key_id: of_plan})
    (run / RUN_STATEMENT).write_bytes(replace(statement, envelope=envelope).data())
    assert "does not fit the content" in wrong(run, trust_in(own, second, threshold=2))["statement signers"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"remove": ("key-1",)}, ""),
        ({"revoke": {"key-1": "2099-01-01"}}, ""),
        ({"revoke": {"key-1": "2026-01-01"}}, "key revoked, since 2026-01-01T00:00:00Z: lost"),
        ({"until": {"key-1": "2026-01-01"}}, "key expired"),
    ],
)
def test_keys_are_rotated(
    run: Path, own: SigningKey, second: SigningKey, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    """One that is listed no more was good until then; one that was in wrong hands before the run was not."""
    countersign_run(run, [own.public], second)
    third = new_key(tmp_path / "third")
    first = trust_in(own, second, threshold=2)
    document = changed_trust(first.current, TrustChange(add=((third.public, "third"),), reason="lost", **change))
    rotated = first.changed(document, own).countersigned(second).countersigned(third)
    found = wrong(run, rotated)
    assert (says in found["statement signers"]) if says else not found


def test_a_trust_file_that_is_not_signed_as_it_must_be_is_refused(
    run: Path, own: SigningKey, second: SigningKey
) -> None:
    document = new_trust([(own.public, None), (second.public, None)], 2, None)
    with pytest.raises(EvidenceError, match="has 1 of the 2 signatures"):
        verify_run(run, [], Trust.start(document, own))


def test_signatures_are_added_and_checked_from_the_command_line(
    affidavit: Command, run: Path, own: SigningKey, second: SigningKey, tmp_path: Path
) -> None:
    (tmp_path / "trust.json").write_bytes(trust_in(own, second, threshold=2).data())
    checked = ("verify", run, "--trust", tmp_path / "trust.json")
    assert "WRONG plan signers: 1 of 2 good signatures" in affidavit(*checked).out
    signed = affidavit("countersign", run, "--keys", second.public_path.parent)
    assert (signed.status, signed.err) == (0, "")
    assert second.key_id in signed.out
    assert affidavit(*checked).status == 0
    # A run that does not verify is not signed.
    before = (run / PLAN).read_bytes()
    (run / "run.json").write_text("{}")
    assert affidavit("countersign", run).status == 1
    assert (run / PLAN).read_bytes() == before
    assert affidavit("countersign", tmp_path / "none").status == 2
