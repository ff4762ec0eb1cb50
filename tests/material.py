"""What graders get, made by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affidavit.events import empty_counts, empty_events
from affidavit.grading import Material
from affidavit.sandbox import Change, Exit, LayerFiles


def material(
    folder: Path,
    files: Mapping[str, bytes | str] = {},
    before: Mapping[str, bytes | str] = {},
    tests: Mapping[str, bytes | str] = {},
    **facts: Any,
) -> Material:
    """Material of an agent that wrote `files` over `before`.

    Args:
        folder: a private one.
        files: by absolute path in the sandbox.
        before: likewise.
        tests: by path below tests/.
        facts: the rest of Material.
    """
    for layer, content in (("lower", before), ("upper", files), ("tests", tests)):
        (folder / layer).mkdir(parents=True)
        for path, data in content.items():
            place = folder / layer / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data if isinstance(data, bytes) else data.encode())
    changes = [
        Change(path, "modified" if path in before else "added", "file", 0o644, 0, 0, len(data), None, None)
        for path, data in files.items()
    ]
    made: dict[str, Any] = {
        "instruction": "Do it.",
        "workdir": "/workspace",
        "record": empty_events,
        "counts": empty_counts(),
        "exit": Exit(0, None, False, False, 1),
        "stdout": b"",
        "stderr": b"",
        "changes": changes,
        "carried": frozenset(files),
        "files": LayerFiles([folder / "upper", folder / "lower"]),
        "before": LayerFiles([folder / "lower"]),
        "reference": folder / "tests",
    }
    return Material(**{**made, **facts})
