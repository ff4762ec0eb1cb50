"""What graders get, made by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from affidavit.events import EVENT_SCHEMA, empty_counts, empty_events
from affidavit.grading import AgentFiles, AgentRun, Material
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
        facts: the rest of Material, AgentRun and AgentFiles.
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
    ran = {name: facts.pop(name) for name in ("record", "counts", "exit", "stdout", "stderr") if name in facts}
    left = {name: facts.pop(name) for name in ("changes", "carried") if name in facts}
    run: dict[str, Any] = {
        "record": empty_events,
        "counts": empty_counts(),
        "exit": Exit(0, None, False, False, 1),
        "stdout": b"",
        "stderr": b"",
        **ran,
    }
    work: dict[str, Any] = {
        "changes": changes,
        "carried": frozenset(files),
        "files": LayerFiles([folder / "upper", folder / "lower"]),
        "before": LayerFiles([folder / "lower"]),
        **left,
    }
    made: dict[str, Any] = {"instruction": "Do it.", "workdir": "/workspace", "reference": folder / "tests"}
    return Material(agent=AgentRun(**run), work=AgentFiles(**work), **{**made, **facts})


def rows(*events: Mapping[str, Any]) -> pa.Table:
    """A record of these events, in columns that are left out something harmless."""
    base = {
        "ts_ns": 0,
        "pid": 7,
        "tid": 7,
        "ppid": 1,
        "flags": 0,
        "mode": 0,
        "ret": 3,
        "uid": 0,
        "gid": 0,
        "source": "t",
    }
    full = [{**base, "source": "ebpf/kernel", "seq": seq, **event} for seq, event in enumerate(events)]
    return pa.Table.from_pylist(full, EVENT_SCHEMA) if full else empty_events()
