"""The text of the files that an agent changed, before and after, so that a reader of the bundle sees what it wrote."""

from collections.abc import Container, Sequence
from pathlib import Path

from affidavit.evidence import ChangedText, ChangedTexts
from affidavit.sandbox import Change, LayerFiles

_MOST_FILE_BYTES = 64 << 10
_MOST_BYTES = 2 << 20
_MOST_FILES = 200
# Files that are looked at: an agent may leave millions that are no text.
_MOST_LOOKS = 1000


def changed_texts(
    upper: Path, lower: Sequence[Path], changes: Sequence[Change], unknown: Container[str] = ()
) -> ChangedTexts:
    """The text of the changed files.

    Args:
        upper: the layer that the agent changed, frozen.
        lower: the layers below it, topmost first.
        changes: the agent's own.
        unknown: paths of files that were not as in the image when the agent began.

    Returns:
        The texts in order of `changes`. Files are left out if a text is not UTF-8 or is larger than 64 KiB, and after
        200 files, 2 MiB, or too many that were looked at.
    """
    old, new = LayerFiles(lower), LayerFiles((upper, *lower))
    files: list[ChangedText] = []
    left_out, looks, room = 0, 0, _MOST_BYTES
    for change in changes:
        if change.type != "file" or change.kind == "metadata":
            continue
        try:
            if len(files) == _MOST_FILES or looks == _MOST_LOOKS or change.path in unknown:
                raise ValueError("is one too many")
            looks += 1
            before = None if change.kind == "added" else _text(old, change.path)
            after = None if change.kind == "deleted" else _text(new, change.path)
            size = len((before or "").encode()) + len((after or "").encode())
            if size > room:
                raise ValueError("is too large for what room is left")
        except (OSError, ValueError):
            left_out += 1
            continue
        room -= size
        files.append(ChangedText(path=change.path, before=before, after=after))
    return ChangedTexts(files=tuple(files), left_out=left_out)


def _text(files: LayerFiles, path: str) -> str:
    """Raises OSError, and ValueError where it is no text."""
    text = files.read(path, _MOST_FILE_BYTES).decode("utf-8")
    if "\0" in text:
        raise ValueError("holds a NUL")
    return text
