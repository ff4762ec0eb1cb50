"""Strict JSON: what it takes and what it refuses before it parses."""

import pytest

from affidavit.signing import EvidenceError, strict_json

MANY = 4_000_001


def test_letters_in_text_are_no_values() -> None:
    """An agent's files may be named so; its bundle must stay readable."""
    text = "," * MANY + "[{"
    assert strict_json(b'["' + text.encode() + b'", "a\\\\", "\\","]') == [text, "a\\", '",']


@pytest.mark.parametrize("before", [b"", b'"a\\"",', b'"\\\\",'], ids=["plain", "quote", "backslash"])
def test_values_beside_text_are_counted(before: bytes) -> None:
    with pytest.raises(EvidenceError, match="may hold more than 4,000,000 values"):
        strict_json(b"[" + before + b"0," * MANY + b"0]")


def test_text_that_never_ends_hides_nothing() -> None:
    with pytest.raises(EvidenceError):
        strict_json(b"[" + b"0," * MANY + b'"' + b"," * MANY)
