"""What proc(5) says of a task that may be gone at any moment."""

import os
from pathlib import Path


def task_status(pid: int) -> dict[str, int]:
    """Numbers of a task from proc(5): of several in a line the last of NSpid and the effective one of Uid and Gid.
    Empty where it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if key in ("Tgid", "PPid", "NSpid", "Uid", "Gid") and words:
            found[key] = int(words[-1] if key == "NSpid" else words[1 if key in ("Uid", "Gid") else 0])
    return found


def task_link(pid: int, name: str) -> bytes | None:
    """What a link in a process's folder of proc(5) says, None where the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/{name}".encode())  # noqa: PTH115 (bytes)
    except OSError:
        return None
