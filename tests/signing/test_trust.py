"""Trust documents: thresholds, validity, revocation, and how one version follows another."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.signing import (
    Envelope,
    EvidenceError,
    SigningKey,
    State,
    Trust,
    TrustDocument,
    new_key,
    point_in_time,
    read_trust,
)

JANUARY, JUNE, DECEMBER = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-12-01T00:00:00Z"
Document = Callable[..., TrustDocument]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[SigningKey]:
    folder: Path = tmp_path_factory.mktemp("keys")
    return [new_key(folder / str(number)) for number in range(4)]


def document(*keys: SigningKey, version: int = 1, threshold: int = 1, about: Any = None, **more: Any) -> TrustDocument:
    """A trust document; `about` says more of the keys, by their place."""
    known = {key.key_id: {"public": key.public.pem, **(about or {}).get(number, {})} for number, key in enumerate(keys)}
    first = {"schema": "affidavit.trust/v1", "version": version, "issued": JANUARY, "threshold": threshold}
    return TrustDocument.read({**first, "keys": known, **more})


def states(trusted: TrustDocument, envelope: Envelope, at: str) -> dict[str, State]:
    return {signed.key_id: signed.state for signed in trusted.examine(envelope, at).signatures}


def signed(*keys: SigningKey) -> Envelope:
    envelope = Envelope(b"{}", "text/plain", {})
    for key in keys:
        envelope = envelope.with_signature(key)
    return envelope


def test_each_signature_has_its_state(keys: list[SigningKey]) -> None:
    good, late, gone, stranger = keys
    revoked = {"since": JUNE, "reason": "laptop stolen"}
    trusted = document(good, late, gone, threshold=2, about={1: {"from": JUNE, "until": JUNE}, 2: {"revoked": revoked}})
    envelope = signed(*keys)
    assert states(trusted, envelope, JANUARY) == {
        good.key_id: State.GOOD,
        late.key_id: State.EARLY,
        gone.key_id: State.GOOD,
        stranger.key_id: State.UNKNOWN,
    }
    assert trusted.examine(envelope, JANUARY).met
    at_june = trusted.examine(envelope, JUNE)
    assert set(at_june.good) == {good.key_id, late.key_id}
    december = trusted.examine(envelope, DECEMBER)
    assert (december.good, december.met) == ((good.key_id,), False)
    assert "1 of 2 good signatures" in str(december)
    assert "since 2026-06-01T00:00:00Z: laptop stolen" in str(december)
    bad = Envelope(b"other", "text/plain", envelope.signatures)
    assert states(trusted, bad, JANUARY)[good.key_id] == State.BAD


def test_the_same_signature_counts_once(keys: list[SigningKey]) -> None:
    envelope = signed(keys[0]).with_signature(keys[0])
    assert not document(keys[0], keys[1], threshold=2).examine(envelope, JUNE).met


def test_a_rotation_needs_a_threshold_of_the_old_keys_and_of_the_new(keys: list[SigningKey], tmp_path: Path) -> None:
    one, two, three, four = keys
    trust = Trust.start(document(one, two, threshold=2), one)
    assert "1 of the 2 signatures that it needs by its own keys" in trust.missing()
    with pytest.raises(EvidenceError, match="finish or discard"):
        trust.changed(document(three, version=2), one)
    trust = trust.countersigned(two)
    assert trust.missing() == ""

    rotated = trust.changed(document(three, four, version=2, threshold=1, issued=JUNE), one)
    assert "by its own keys" in rotated.missing()
    assert "by the keys of version 1" in rotated.countersigned(three).missing()
    assert "by its own keys" in rotated.countersigned(two).missing()
    done = rotated.countersigned(three).countersigned(two)
    assert done.missing() == ""
    assert done.check(DECEMBER).version == 2
    assert states(done.current, signed(one, three), DECEMBER) == {one.key_id: State.UNKNOWN, three.key_id: State.GOOD}

    path = tmp_path / "trust.json"
    path.write_bytes(done.data())
    assert read_trust(path) == done
    assert read_trust(path).continues(trust)
    assert not trust.continues(done)
    # A later version can't rest on one that lacks signatures.
    path.write_text(json.dumps([*rotated.to_json(), Envelope(b"{}", "x", {}).with_signature(one).to_json()]))
    with pytest.raises(EvidenceError):
        read_trust(path)


def test_a_revoked_key_changes_nothing_any_more(keys: list[SigningKey]) -> None:
    one, two, thief, _ = keys
    revoked = {"since": DECEMBER, "reason": "stolen"}
    trust = Trust.start(document(one, thief, about={1: {"revoked": revoked}}), one)
    # Signed, as its own document says, before the key was stolen.
    taken = trust.changed(document(thief, two, version=2), thief).countersigned(two)
    assert "0 of the 1 signatures that it needs by the keys of version 1" in taken.missing()
    with pytest.raises(EvidenceError, match="0 of the 1"):
        taken.check(JUNE)


@pytest.mark.parametrize("version", [1, 3])
def test_versions_follow_each_other(keys: list[SigningKey], version: int) -> None:
    trust = Trust.start(document(keys[0]), keys[0])
    again = trust.changed(document(keys[0], keys[1], version=version), keys[0])
    with pytest.raises(EvidenceError, match="does not follow version 1"):
        Trust.from_json(again.to_json())


def test_a_trust_document_expires(keys: list[SigningKey]) -> None:
    trust = Trust.start(document(keys[0], expires=JUNE), keys[0])
    assert trust.check(JUNE).version == 1
    with pytest.raises(EvidenceError, match=f"expired on {JUNE}"):
        trust.check(DECEMBER)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"threshold": 3}, "threshold is 3, but only 2"),
        ({"threshold": 0}, "threshold"),
        ({"keys": {}}, "keys"),
        ({"issued": "yesterday"}, "issued"),
        ({"issued": "2026-01-01"}, "must be a time such as"),
        ({"colour": 1}, "colour"),
        ({"schema": "other"}, "schema"),
    ],
)
def test_what_is_no_trust_document(keys: list[SigningKey], changed: dict[str, Any], says: str) -> None:
    with pytest.raises(EvidenceError, match=says):
        TrustDocument.read({**document(*keys[:2]).plain(), **changed})


def test_an_id_is_of_its_key(keys: list[SigningKey]) -> None:
    plain = document(keys[0]).plain()
    plain["keys"] = {keys[1].key_id: {"public": keys[0].public.pem}}
    with pytest.raises(EvidenceError, match="its public key is"):
        TrustDocument.read(plain)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "[1]", "[" * 9999, '[{"payload": "", "payloadType": "x", "signatures": []}]']
)
def test_what_is_no_trust_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trust.json"
    path.write_text(content)
    with pytest.raises(EvidenceError, match=r"trust\.json: "):
        read_trust(path)


@pytest.mark.parametrize(
    "text", ["2026-1-1", "2026-13-01", "now", "", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(EvidenceError):
        point_in_time(text)
