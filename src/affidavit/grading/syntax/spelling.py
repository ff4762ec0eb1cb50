"""Source text as the language reads it, which is not always as it looks.

Python takes a line to end at a carriage return, decodes a file as its first lines say (PEP 263), and reads names in
their compatibility form (NFKC, PEP 3131); JavaScript's names may hold escapes. A reader that does not know this takes
code for a comment and ``eval`` for another name.
"""

import io
import re
import tokenize
import unicodedata

# All of it, and what is an escape to some.
_ASCII = bytes(range(92)) + bytes(range(93, 128)) + rb"\\\n\u0041"
_ESCAPE = re.compile(r"\\u(?:\{0*([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{4}))")


class SyntaxFault(ValueError):
    """The source can't be looked at; the text is the end of a sentence."""


def prepared(source: bytes, language: str) -> bytes:
    """A source in UTF-8, its lines ended by line feeds.

    Raises:
        SyntaxFault: it holds what compilers and parsers read differently.
    """
    if b"\0" in source:
        raise SyntaxFault("holds a NUL")
    if language == "python":
        return _decoded(re.sub(rb"\r\n?", b"\n", source))
    if language == "c" and b"??/" in source:
        # A backslash (trigraph) to some compilers, which then end texts and comments elsewhere.
        raise SyntaxFault("holds a trigraph")
    if language in ("c", "go", "rust") and re.search(rb"\r(?!\n)", source):
        raise SyntaxFault("holds a carriage return within a line")
    return source


def _decoded(source: bytes) -> bytes:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = source.decode(encoding)
        if _ASCII.decode(encoding) != _ASCII.decode():
            # As UTF-7, in which a comment may hold the end of its line.
            raise SyntaxFault(f"is in the encoding {encoding[:40]!r}, where letters of ASCII are others")
        return re.sub("\r\n?", "\n", text).encode()
    except (SyntaxError, UnicodeError, LookupError):
        raise SyntaxFault("is not in the encoding that it says, or that Python takes it for") from None


def odd(source: bytes, language: str) -> bool:
    """Whether a source may spell a name in another way than `plain_name` does."""
    return (language == "python" and not source.isascii()) or (language == "javascript" and b"\\u" in source)


def plain_name(name: str, language: str) -> str:
    """A name as the language reads it."""
    if language == "python":
        return unicodedata.normalize("NFKC", name)
    if language == "javascript":
        return _ESCAPE.sub(_unescaped, name)
    return name


def _unescaped(escape: re.Match[str]) -> str:
    number = int(escape[1] or escape[2], 16)
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number < 0xE000 else escape[0]
