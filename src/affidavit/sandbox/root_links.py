"""The symlinks of a root file system, before any sandbox has changed it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from affidavit.events import encode_name
from affidavit.sandbox.merged import find, list_names, open_merged, open_root
from affidavit.sandbox.packed import USR
from affidavit.sandbox.protocol import SandboxError
from affidavit.sandbox.rootfs import RootFilesystem

_LONGEST_PATH = 4095


def symlinks(rootfs: RootFilesystem) -> dict[str, str]:
    """Every symlink's target by its absolute path, both spelled by encode_name.

    Args:
        rootfs: nothing has changed it.

    Raises:
        SandboxError: it can't be read.
    """
    try:
        found = dict(_in_layers(rootfs))
        if rootfs.host_usr:
            found |= dict(_on_the_machine(USR))
    except OSError as problem:
        raise SandboxError(f"the root file system's symlinks can't be read: {problem}") from None
    return {encode_name(path): encode_name(target) for path, target in found.items()}


def _in_layers(rootfs: RootFilesystem) -> Iterator[tuple[bytes, bytes]]:
    with contextlib.ExitStack() as roots:
        layers = tuple(open_root(layer, roots) for layer in rootfs.layers)
        waiting = [(b"", layers)]
        while waiting:
            path, below = waiting.pop()
            if len(path) > _LONGEST_PATH:
                continue
            with contextlib.ExitStack() as stack:
                folders = open_merged(path, below, stack)
                merged = tuple(layer for layer, _ in folders)
                for name in {name for _, folder in folders for name in list_names(folder)}:
                    entry = find(folders, name)
                    if entry is None:
                        continue
                    child = path + b"/" + name if path else name
                    if (target := entry.target()) is not None:
                        yield b"/" + child, target
                    elif entry.is_folder():
                        waiting.append((child, merged))


def _on_the_machine(folder: Path) -> Iterator[tuple[bytes, bytes]]:
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    yield os.fsencode(entry.path), os.fsencode(Path(entry.path).readlink())
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
