r"""File names as text.

A Linux file name is any bytes but NUL and ``/``; an Arrow string is UTF-8. Names keep one reversible spelling in every
room: valid UTF-8 stands as it is, a byte that is not valid UTF-8 becomes ``\xNN``, and a backslash becomes ``\\``.
"""

import re

_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|\\)")


def encode_name(raw: bytes) -> str:
    r"""The text of a file name.

    >>> encode_name(b"/tmp/a\xff\\b")
    '/tmp/a\\xff\\\\b'
    """
    text = raw.replace(b"\\", b"\\\\")
    return text.decode("utf-8", "backslashreplace")


def decode_name(text: str) -> bytes:
    """The bytes of a file name that :func:`encode_name` spelled.

    Raises:
        ValueError: a backslash in `text` starts no escape.
    """
    out = bytearray()
    end = 0
    for match in _ESCAPE.finditer(text):
        between = text[end : match.start()]
        if "\\" in between:
            break
        out += between.encode()
        out += bytes([int(match[1], 16)]) if match[1] else b"\\"
        end = match.end()
    rest = text[end:]
    if "\\" in rest:
        raise ValueError(f"a backslash that starts no escape in the name {text!r}")
    return bytes(out + rest.encode())
