"""Keys in bytes."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from affidavit.gateway.redaction import CleanStream, Redactor

KEYS = ("sk-abcdefgh12345678", "AIzaSy/quote+me=")


@given(
    st.lists(st.sampled_from([*(key.encode() for key in KEYS), b"sk-abc", b"s", b"AIza", b"data: ", b"\n"])), st.data()
)
def test_a_stream_is_clean_however_it_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole, redactor = b"".join(parts), Redactor(KEYS)
    stream, got, at = CleanStream(redactor), b"", 0
    while at < len(whole):
        size = data.draw(st.integers(1, 30))
        got += stream.feed(whole[at : at + size])
        assert not any(key.encode() in got for key in KEYS)
        at += size
    assert got + stream.finish() == redactor.clean(whole)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_finds_a_key_in_base64_wherever_it_stands(before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + KEYS[0].encode() + after)
    assert Redactor(KEYS).clean(text) != text


def test_what_can_not_be_a_key_does_not_wait() -> None:
    stream = CleanStream(Redactor(KEYS))
    assert stream.feed(b"data: x\n\n") == b"data: x\n\n"
    assert stream.feed(b"data: s") == b"data: "
    assert stream.feed(b"o\n\n") == b"so\n\n"


def test_without_keys_nothing_is_changed() -> None:
    stream = CleanStream(Redactor(()))
    assert stream.feed(b"sk-abcdefgh12345678") == b"sk-abcdefgh12345678"
