"""``affidavit task new``: a small working task to begin with."""

import os
import re
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from affidavit.authoring import editor_line
from affidavit.tasks import TaskError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


def new_task(folder: Path) -> Path:
    """Make a task that works: its folder's name is its own.

    Returns:
        the folder.

    Raises:
        TaskError: there is something of that name, it is no name for a task, or it can't be written.
    """
    name = folder.name
    if not _NAME.fullmatch(name):
        raise TaskError(f"{folder}: {name!r} is not a valid name for a task; use a-z, 0-9 and '-' between them")
    if os.path.lexists(folder):
        raise TaskError(f"{folder}: already exists; choose another name")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as place:
            made = Path(place, name)
            for path, text in _template():
                target = made / path
                target.parent.mkdir(parents=True, exist_ok=True)
                line = editor_line(folder / path) if path == "contract.yaml" else ""
                target.write_text(line + text.replace("TASK-NAME", name), "utf-8")
                target.chmod(0o755 if target.suffix == ".sh" else 0o644)
            made.rename(folder)
    except OSError as error:
        raise TaskError(f"{folder}: can't be written: {error.strerror}") from error
    return folder


def _template() -> Iterator[tuple[str, str]]:
    """Relative path and text of each file."""
    waiting: list[tuple[str, Traversable]] = [("", files("affidavit.quality").joinpath("template"))]
    while waiting:
        path, entry = waiting.pop()
        if entry.is_dir():
            waiting += [(f"{path}/{child.name}".lstrip("/"), child) for child in entry.iterdir()]
        else:
            yield path, entry.read_text("utf-8")
