"""What a sandbox begins with of the changes that an earlier one left."""

import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from affidavit.events import decode_name
from affidavit.sandbox.changes import Change, carry_over, diff
from affidavit.sandbox.protocol import EarlierChanges, SandboxError

# A disk has room for some more files a MiB.
_FILES_PER_MB = 120
# There is a template for each size of a disk.
_ROUNDED_MB = 16


def lay_earlier(
    earlier: EarlierChanges, lower: Sequence[Path], folders: Sequence[str], files: Sequence[str], into: Path
) -> tuple[Change, ...]:
    """Write the changes of an earlier sandbox as the changed layer of another, before anything runs in it.

    Args:
        earlier: the changes, and the layers that have come since.
        lower: the layers that the new one is put on, topmost first.
        folders: absolute paths that must be folders, whatever the earlier sandbox left there.
        files: absolute paths of files that are mounted over.
        into: the changed layer's folder, made here.

    Returns:
        The changes that are in it.

    Raises:
        SandboxError: a layer can't be read or written.
    """
    kept_folders = {above for path in folders for above in _with_folders(os.fsencode(path).strip(b"/"))}
    kept_files = {os.fsencode(path).lstrip(b"/") for path in files}
    try:
        for layer in earlier.below_new:
            for path, is_folder in _entries(os.fsencode(layer)):
                (kept_folders if is_folder else kept_files).add(path)
    except OSError as problem:
        raise SandboxError(f"{problem.filename}: can't be read: {problem.strerror}") from None

    def stays(change: Change) -> bool:
        path = decode_name(change.path).lstrip(b"/")
        if path in kept_folders:
            return change.kind != "deleted" and change.type == "directory"
        return not any(above in kept_files for above in _with_folders(path))

    carry_over(earlier.layer, lower, diff(earlier.layer, lower), stays, into)
    return diff(into, lower)


def room_mb(layer: Path) -> int:
    """What a changed layer takes on a disk of its own, MiB, with little to spare: an agent could fill that in each
    step.

    Raises:
        SandboxError: it can't be read.
    """
    told = []
    for unit in ("--block-size=1", "--inodes"):
        done = subprocess.run(["du", "--summarize", unit, str(layer)], capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise SandboxError(f"{layer}: can't be read: {done.stderr.decode('utf-8', 'replace').strip()[-300:]}")
        told.append(int(done.stdout.split()[0]))
    size, files = told
    needed = max(size * 21 // 20 >> 20, files // _FILES_PER_MB) + 2
    return -(-needed // _ROUNDED_MB) * _ROUNDED_MB


def _entries(top: bytes) -> Iterator[tuple[bytes, bool]]:
    """What is in a layer by its path below it, and whether it is a folder."""
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(os.path.join(top, folder)) as entries:  # noqa: PTH118 (bytes)
            for entry in entries:
                path = folder + b"/" + entry.name if folder else entry.name
                is_folder = stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode)
                yield path, is_folder
                if is_folder:
                    waiting.append(path)


def _with_folders(path: bytes) -> Iterator[bytes]:
    """A path and the folders above it, without the root."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]
