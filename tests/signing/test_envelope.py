"""Envelopes with several signatures."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.signing import Envelope, EvidenceError, SigningKey, new_key

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[SigningKey]:
    folder: Path = tmp_path_factory.mktemp("keys")
    return [new_key(folder / str(number)) for number in range(3)]


def test_several_sign_the_same(keys: list[SigningKey]) -> None:
    envelope = Envelope(b"content", "text/plain", {}).with_signature(keys[0]).with_signature(keys[1])
    again = Envelope.from_json(envelope.to_json())
    assert again == envelope
    assert [again.signed_by(key.public) for key in keys] == [True, True, False]
    assert [entry["keyid"] for entry in envelope.to_json()["signatures"]] == sorted(key.key_id for key in keys[:2])


def test_a_signature_is_over_type_and_content_and_by_its_key(keys: list[SigningKey]) -> None:
    one, two, _ = keys
    signatures = Envelope(b"content", "text/plain", {}).with_signature(one).signatures
    raw = signatures[one.key_id]
    assert not Envelope(b"content!", "text/plain", signatures).signed_by(one.public)
    assert not Envelope(b"content", "text/html", signatures).signed_by(one.public)
    assert not Envelope(b"content", "text/plain", {two.key_id: raw}).signed_by(two.public)


def test_one_key_signs_once(keys: list[SigningKey]) -> None:
    value = Envelope(b"content", "text/plain", {}).with_signature(keys[0]).to_json()
    with pytest.raises(EvidenceError, match="signs twice"):
        Envelope.from_json({**value, "signatures": value["signatures"] * 2})


@given(_JSON)
def test_whatever_a_file_holds_it_is_an_envelope_or_an_error(value: object) -> None:
    with pytest.raises(EvidenceError):
        Envelope.from_json(value)
