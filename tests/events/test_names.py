from hypothesis import given
from hypothesis import strategies as st

from affidavit.events import decode_name, encode_name


@given(st.binary(max_size=300))
def test_names_come_back_as_they_were(raw: bytes) -> None:
    assert decode_name(encode_name(raw)) == raw


@given(st.text(max_size=100).filter(lambda t: "\\" not in t))
def test_valid_text_stands_as_it_is(text: str) -> None:
    assert encode_name(text.encode("utf-8", "surrogatepass")) == text or "\\x" in encode_name(
        text.encode("utf-8", "surrogatepass")
    )


def test_two_names_never_share_a_spelling() -> None:
    assert encode_name(b"a\xff") != encode_name(rb"a\xff")
