"""Looking at the files of merged layers from outside, without mounting or following anything."""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from affidavit.events import decode_name, encode_name
from affidavit.sandbox.merged import Entry, find_path, list_names, open_merged, open_root

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True)
class FileFacts:
    """What stands under a name.

    Attributes:
        type: ``file``, ``directory``, ``symlink``, ``fifo``, ``socket`` or ``device``.
        mode: permission bits with set-id and sticky bits.
        uid, gid: owner.
        size: bytes; 0 for what is no file.
        target: of a symlink, spelled by encode_name; None otherwise.
    """

    type: str
    mode: int
    uid: int
    gid: int
    size: int
    target: str | None


class LayerFiles:
    """The files of layers in overlayfs format.

    Names are absolute paths, spelled by encode_name. No symlink is followed, neither as the last component nor on the
    way; nothing but regular files and folders is opened; nothing blocks.
    """

    def __init__(self, layers: Sequence[Path]) -> None:
        """
        Args:
            layers: topmost first, frozen.
        """
        self._layers = tuple(layers)

    def stat(self, path: str) -> FileFacts | None:
        """What stands under `path`; None where nothing does, or a symlink is on the way. Raises OSError."""
        with ExitStack() as stack:
            entry = self._find(path, stack)
            return None if entry is None else _facts(entry)

    def read(self, path: str, most: int) -> bytes:
        """The content of a regular file.

        Raises:
            FileNotFoundError: nothing is there.
            OSError: it is no regular file, is larger than `most` bytes (EFBIG), or can't be read.
        """
        with ExitStack() as stack:
            entry = self._find(path, stack)
            if entry is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            if not stat.S_ISREG(entry.info.st_mode):
                kind = _TYPES.get(stat.S_IFMT(entry.info.st_mode), "device")
                raise OSError(errno.EINVAL, f"is no regular file but a {kind}", path)
            # Known to be a regular file; the flags are for the day when that is wrong.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            with os.fdopen(os.open(entry.name, flags, dir_fd=entry.folder), "rb") as file:
                if entry.info.st_size > most or len(data := file.read(most + 1)) > most:
                    raise OSError(errno.EFBIG, f"is larger than {most} bytes", path)
                return data

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a folder, in order of their bytes; none where there is no such folder. Raises OSError."""
        parts = _parts(path)
        with ExitStack() as stack:
            roots: Sequence[int] = [open_root(layer, stack) for layer in self._layers]
            folders = [(root, root) for root in roots]
            for depth in range(1, len(parts) + 1):
                folders = open_merged(b"/".join(parts[:depth]), roots, stack)
                roots = [layer for layer, _ in folders]
            names = {name for _, folder in folders for name in list_names(folder)}
            prefix = b"/".join((*parts, b""))
            return tuple(
                encode_name(name) for name in sorted(names) if find_path(self._layers, prefix + name, stack) is not None
            )

    def _find(self, path: str, stack: ExitStack) -> Entry | None:
        return find_path(self._layers, b"/".join(_parts(path)), stack)


def _parts(path: str) -> list[bytes]:
    raw = decode_name(path)
    parts = [part for part in raw.split(b"/") if part]
    if not raw.startswith(b"/") or b"." in parts or b".." in parts or b"\0" in raw:
        raise OSError(errno.EINVAL, "is not an absolute path without '.' and '..'", path)
    return parts


def _facts(entry: Entry) -> FileFacts:
    info, target = entry.info, entry.target()
    return FileFacts(
        type=_TYPES.get(stat.S_IFMT(info.st_mode), "device"),
        mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
        size=info.st_size if stat.S_ISREG(info.st_mode) else 0,
        target=None if target is None else encode_name(target),
    )
