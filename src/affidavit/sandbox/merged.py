"""Reading layers in overlayfs format without mounting them.

Nothing is followed and nothing is opened but folders.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from affidavit.sandbox import kernel

_RESOLVE = kernel.RESOLVE_BENEATH | kernel.RESOLVE_NO_SYMLINKS | kernel.RESOLVE_NO_MAGICLINKS


def open_root(folder: Path, stack: contextlib.ExitStack) -> int:
    """Descriptor of a layer's root, closed by `stack`. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def open_folder(root: int, path: bytes) -> int:
    """Descriptor of a folder by its path below `root`, no symbolic link followed. Raises OSError."""
    return kernel.openat2(root, path or b".", os.O_RDONLY | os.O_DIRECTORY, _RESOLVE)


def open_merged(path: bytes, layers: Sequence[int], stack: contextlib.ExitStack) -> list[tuple[int, int]]:
    """A folder in those of `layers` that it is merged from, topmost first.

    Args:
        path: of the folder, below each layer.
        layers: roots of the layers that its parent is merged from, topmost first.
        stack: closes what is opened.

    Returns:
        (root of the layer, descriptor of the folder in it)
    """
    found: list[tuple[int, int]] = []
    for layer in layers:
        try:
            fd = open_folder(layer, path)
        except OSError as problem:
            if problem.errno == errno.ENOENT:
                continue
            # Something else of that name, a whiteout perhaps, hides what is below it.
            if problem.errno in (errno.ENOTDIR, errno.ELOOP):
                break
            raise
        stack.callback(os.close, fd)
        found.append((layer, fd))
        if is_opaque(fd):
            break
    return found


def is_opaque(folder: int) -> bool:
    """Whether an open folder hides those of its name in lower layers."""
    try:
        return os.getxattr(folder, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def is_whiteout(info: os.stat_result) -> bool:
    """Whether a name stands for nothing and hides what is below it."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def list_names(folder: int) -> list[bytes]:
    """The names in an open folder."""
    # A descriptor gives names as text; this brings their bytes back.
    return [os.fsencode(name) for name in os.listdir(folder)]


@dataclass(frozen=True)
class Entry:
    """A name in a folder, and what it stands for."""

    folder: int
    name: bytes
    info: os.stat_result

    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.info.st_mode)

    def target(self) -> bytes | None:
        return os.readlink(self.name, dir_fd=self.folder) if stat.S_ISLNK(self.info.st_mode) else None


def find(folders: Sequence[tuple[int, int]], name: bytes) -> Entry | None:
    """What a name stands for in a merged folder."""
    for _, folder in folders:
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        return None if is_whiteout(info) else Entry(folder, name, info)
    return None


def find_path(layers: Sequence[Path], path: bytes, stack: contextlib.ExitStack) -> Entry | None:
    """What a path without a leading slash stands for in merged layers, topmost first; links on the way are not
    followed. Raises OSError."""
    roots: Sequence[int] = [open_root(layer, stack) for layer in layers]
    *parents, name = path.split(b"/")
    folders = [(root, root) for root in roots]
    for depth in range(1, len(parents) + 1):
        folders = open_merged(b"/".join(parents[:depth]), roots, stack)
        roots = [layer for layer, _ in folders]
    return find(folders, name)
