"""Text that came from a sandbox, made fit for a terminal."""

import unicodedata


def printable(text: str, width: int | None = None) -> str:
    """`text` without control, format and surrogate characters, which could drive the reader's terminal.

    Args:
        width: cut to so many characters, with an ellipsis.
    """
    shown = "".join(c if c == " " or unicodedata.category(c)[0] not in "CZ" else _escape(c) for c in text)
    return shown if width is None or len(shown) <= width else shown[: width - 1] + "…"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if character.isascii() else f"\\u{ord(character):04x}"
