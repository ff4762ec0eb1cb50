"""Makes text from elsewhere fit for files."""


def storable(text: str) -> str:
    """A text without halves of surrogate pairs, which JSON can spell (``\\ud800``) and UTF-8 can't; ``?`` for each."""
    return text.encode("utf-8", "replace").decode()
