"""What proc(5) says of a task that may be gone at any moment."""

import os
from collections.abc import Collection
from pathlib import Path

from affidavit.recorder.syscall_interpreter import OWN_TASK, Folder, Process, Site


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


class ProcDescriptors:
    """Descriptors as proc(5) has them a moment later (:class:`affidavit.recorder.syscall_interpreter.Descriptors`).

    What those in arguments are open on, strace says itself.
    """

    def opened(self, site: Site, number: int, folder: Folder, names: Collection[bytes]) -> None:
        """See the protocol."""

    def changed(self, site: Site, names: Collection[bytes]) -> None:
        """See the protocol."""

    def own(self, site: Site, number: int) -> bytes | None:
        """See the protocol."""
        return None

    def linked(self, site: Site, process: Process, task: int | None, number: int) -> bytes | None:
        """See the protocol. Which thread another task's number is, as the sandbox counts, is not known here."""
        if task is not None and task != OWN_TASK:
            return None
        return task_link(process.pid if task is None else site.tid, f"fd/{number}")
