"""Rebuilds the changed layer of a sandbox from its diff."""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from affidavit.events import decode_name
from affidavit.sandbox.changes import Change
from affidavit.sandbox.final import LayerFiles
from affidavit.sandbox.merged import open_folder, open_root
from affidavit.sandbox.protocol import SandboxError, SandboxSpec

_MODES = 0o7777


def write_layer(changes: Iterable[Change], read: Callable[[str], bytes], into: Path) -> None:
    """Write folders, files and symbolic links as a sandbox left them. What was deleted is left out: `carry_over` needs
    nothing of it.

    Args:
        changes: of which each is wanted; they may be somebody else's word.
        read: the content with a SHA-256, hexadecimal.
        into: the layer's folder, made here; its parent exists and it does not.

    Raises:
        SandboxError: a change can't be one, or the layer can't be written.
    """
    wanted = [change for change in changes if change.kind != "deleted" and change.type in _WRITERS]
    try:
        into.mkdir(0o755)
        with contextlib.ExitStack() as stack:
            root = open_root(into, stack)
            for path, change in sorted((_path(change), change) for change in wanted):
                parent, _, name = path.rpartition(b"/")
                folder = _open_parent(root, parent)
                try:
                    _WRITERS[change.type](folder, name, change, read)
                    os.chown(name, change.uid, change.gid, dir_fd=folder, follow_symlinks=False)
                    if change.type != "symlink":
                        os.chmod(name, change.mode & _MODES, dir_fd=folder)
                finally:
                    os.close(folder)
    except (OSError, ValueError, OverflowError) as problem:
        raise SandboxError(f"{into}: the changes can't be written: {problem}") from None


def _path(change: Change) -> bytes:
    """Where it is, below the layer. Raises ValueError for a path that no sandbox has."""
    path = decode_name(change.path)
    parts = path.split(b"/")
    if parts[0] or len(parts) < 2 or any(part in (b"", b".", b"..") or b"\0" in part for part in parts[1:]):
        raise ValueError(f"{change.path[:200]!r} is no path of a change")
    return path[1:]


def _open_parent(root: int, path: bytes) -> int:
    """Descriptor of a folder, made where it is not there; no link is followed. Raises OSError."""
    done = b""
    for part in path.split(b"/") if path else ():
        done = done + b"/" + part if done else part
        above = open_folder(root, done.rpartition(b"/")[0])
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=above)
        finally:
            os.close(above)
    return open_folder(root, path)


def _write_folder(folder: int, name: bytes, change: Change, read: Callable[[str], bytes]) -> None:
    os.mkdir(name, 0o700, dir_fd=folder)


def _write_link(folder: int, name: bytes, change: Change, read: Callable[[str], bytes]) -> None:
    os.symlink(decode_name(change.target or ""), name, dir_fd=folder)


def _write_file(folder: int, name: bytes, change: Change, read: Callable[[str], bytes]) -> None:
    if change.sha256 is None:
        raise ValueError(f"{change.path}: has no digest")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
        file.write(read(change.sha256))


_WRITERS = {"directory": _write_folder, "symlink": _write_link, "file": _write_file}


def write_points(spec: SandboxSpec, into: Path) -> None:
    """Write the folders that a sandbox of this kind has to mount on or work in where its root file system has none, as
    a layer between that and its changes.

    Args:
        spec: of the sandbox.
        into: the layer's folder, made here; its parent exists and it does not.

    Raises:
        SandboxError: the layer can't be written.
    """
    files, user = LayerFiles(spec.rootfs), (spec.user.uid, spec.user.gid)
    try:
        into.mkdir(0o755)
        for target in sorted({*spec.writable, *spec.scratch, spec.cwd}):
            if target == "/" or files.stat(target) is not None:
                continue
            parts = target.strip("/").split("/")
            for depth in range(1, len(parts) + 1):
                name = "/".join(parts[:depth])
                if (folder := into / name).exists():
                    continue
                there = files.stat(f"/{name}")
                folder.mkdir()
                owner = (there.uid, there.gid) if there else user if depth == len(parts) else (0, 0)
                os.chown(folder, *owner)
                folder.chmod(there.mode if there else 0o755)
    except OSError as problem:
        raise SandboxError(f"{into}: can't be written: {problem}") from None
