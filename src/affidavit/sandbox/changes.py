"""What a sandbox changed, and carrying the permitted part of it over to another sandbox.

Both work on the changed layer after the sandbox's end, on the machine. The layer is hostile: names are any bytes, and
nothing in it is followed, run or opened but regular files and folders.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from affidavit.events import decode_name, encode_name
from affidavit.sandbox import kernel
from affidavit.sandbox.merged import (
    Entry,
    find,
    is_opaque,
    is_whiteout,
    list_names,
    open_folder,
    open_merged,
    open_root,
)
from affidavit.sandbox.protocol import SandboxError

_HOLE_BUDGET = 1 << 30
# PATH_MAX without its NUL.
_LONGEST_PATH = 4095


@dataclass(frozen=True)
class Change:
    """One difference between a sandbox's root file system at its end and at its start.

    Times and extended attributes are not looked at.

    Attributes:
        path: absolute path in the sandbox, spelled by encode_name.
        kind: ``added``, ``modified`` (another content, target or type), ``metadata`` (another mode or owner only) or
            ``deleted``.
        type: ``file``, ``directory``, ``symlink``, ``fifo``, ``socket`` or ``device``: of what is there now, or of what
            was there if it was deleted. A file with several names is a file for each.
        mode: permission bits with set-id and sticky bits; of what was there if it was deleted, as the rest.
        uid, gid: owner.
        size: bytes; 0 for folders and for what has no size.
        sha256: of a file's content, hexadecimal. None where it is no file, where it was deleted, and where the holes of
            sparse files, which take no room on disk, add up to more than 1 GiB: reading them could take for ever.
        target: of a symbolic link, spelled by encode_name.
    """

    path: str
    kind: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    sha256: str | None
    target: str | None


def diff(upper: Path, lower: Sequence[Path]) -> tuple[Change, ...]:
    """What is in a changed layer, in order of the paths' bytes.

    Folders whose path is longer than PATH_MAX (4,095 bytes) are named, but what is below them is not: no program can
    name it either, and it is never carried over.

    Args:
        upper: the changed layer, frozen, in overlayfs format.
        lower: the layers below it, topmost first (:attr:`OciSandbox.layers`), in the same format.

    Raises:
        SandboxError: a layer can't be read.
    """
    with contextlib.ExitStack() as stack:
        try:
            walk = _Walk(open_root(upper, stack), tuple(open_root(layer, stack) for layer in lower))
            changes = list(walk.changes())
        except OSError as problem:
            raise SandboxError(f"{upper}: the changes can't be read: {problem}") from None
    return tuple(sorted(changes, key=lambda change: decode_name(change.path)))


def changes_since(before: Iterable[Change], after: Iterable[Change]) -> tuple[Change, ...]:
    """What came between two states of a sandbox's files, in order of the paths' bytes.

    Args:
        before, after: what `diff` found of each, against the same layers.

    Returns:
        What is there no more, or again as below, with what is known of it: what was there before.
    """
    old = {change.path: change for change in before}
    new = {change.path: change for change in after}
    found: list[Change] = []
    for path, change in new.items():
        was = old.get(path)
        if was is None:
            found.append(change)
        elif was.kind == "deleted" or change.kind == "deleted":
            if was.kind != change.kind:
                found.append(replace(change, kind="deleted" if change.kind == "deleted" else "added"))
        elif not _same(was, change):
            found.append(replace(change, kind="modified"))
        elif (was.mode, was.uid, was.gid) != (change.mode, change.uid, change.gid):
            found.append(replace(change, kind="metadata"))
    again = {"deleted": "added", "added": "deleted", "modified": "modified", "metadata": "metadata"}
    found += [replace(change, kind=again[change.kind]) for path, change in old.items() if path not in new]
    return tuple(sorted(found, key=lambda change: decode_name(change.path)))


def _same(one: Change, other: Change) -> bool:
    """Whether type and content are the same as far as that is known."""
    digests = {one.sha256, other.sha256} - {None}
    return (one.type, one.size, one.target) == (other.type, other.size, other.target) and len(digests) < 2


def _not_among(names: set[bytes], path: bytes, folders: Sequence[tuple[int, int]]) -> Iterator[tuple[bytes, Entry]]:
    """Path and entry of all that is in a merged folder under other names than `names`."""
    for name in {name for _, folder in folders for name in list_names(folder)} - names:
        entry = find(folders, name)
        if entry is not None:
            yield _joined(path, name), entry


def _joined(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name


@dataclass
class _Walk:
    """A comparison of a layer with those below it.

    Folders are opened one at a time by their whole path, so that depth needs no descriptors. A path that is too long
    for that is not followed.
    """

    upper: int
    lower: tuple[int, ...]
    digests: dict[int, str | None] = field(default_factory=dict)
    holes: int = _HOLE_BUDGET

    def changes(self) -> Iterator[Change]:
        # (path, layers that the folder was merged from before, whether the changed layer hides them)
        waiting: list[tuple[bytes, tuple[int, ...], bool]] = [(b"", self.lower, False)]
        while waiting:
            path, layers, hidden = waiting.pop()
            if len(path) > _LONGEST_PATH:
                continue
            with contextlib.ExitStack() as stack:
                here = open_folder(self.upper, path)
                stack.callback(os.close, here)
                before = open_merged(path, layers, stack)
                merged = tuple(layer for layer, _ in before)
                # What is in an opaque folder has nothing below it either, whether it says so itself or not.
                hidden = hidden or is_opaque(here)
                names = list_names(here)
                for name in names:
                    entry = Entry(here, name, os.stat(name, dir_fd=here, follow_symlinks=False))
                    old = find(before, name)
                    yield from self._compare(_joined(path, name), entry, old, merged)
                    if entry.is_folder():
                        was_folder = old is not None and old.is_folder()
                        waiting.append((_joined(path, name), merged if was_folder else (), hidden))
                if hidden:
                    for child, old in _not_among(set(names), path, before):
                        yield _change(child, "deleted", old, None)
                        if old.is_folder():
                            yield from self._gone_below(child, merged)

    def _compare(self, path: bytes, new: Entry, old: Entry | None, layers: tuple[int, ...]) -> Iterator[Change]:
        if old is not None and old.is_folder() and not new.is_folder():
            yield from self._gone_below(path, layers)
        if is_whiteout(new.info):
            if old is not None:
                yield _change(path, "deleted", old, None)
            return
        sha256 = self._sha256(new) if stat.S_ISREG(new.info.st_mode) else None
        if old is None:
            yield _change(path, "added", new, sha256)
        elif not _same_content(new, old, sha256):
            yield _change(path, "modified", new, sha256)
        elif _metadata(new.info) != _metadata(old.info):
            yield _change(path, "metadata", new, sha256)

    def _gone_below(self, path: bytes, layers: tuple[int, ...]) -> Iterator[Change]:
        """Everything in a folder that is no longer there."""
        waiting = [(path, layers)]
        while waiting:
            path, layers = waiting.pop()
            with contextlib.ExitStack() as stack:
                before = open_merged(path, layers, stack)
                merged = tuple(layer for layer, _ in before)
                for child, old in _not_among(set(), path, before):
                    yield _change(child, "deleted", old, None)
                    if old.is_folder():
                        waiting.append((child, merged))

    def _sha256(self, entry: Entry) -> str | None:
        inode = entry.info.st_ino
        if inode in self.digests:
            return self.digests[inode]
        digest = None
        holes = max(0, entry.info.st_size - entry.info.st_blocks * 512)
        if holes <= self.holes:
            self.holes -= holes
            digest = _hash(entry)
        if entry.info.st_nlink > 1:
            # Thousands of names of one large file are read once.
            self.digests[inode] = digest
        return digest


def _same_content(new: Entry, old: Entry, sha256: str | None) -> bool:
    kind = stat.S_IFMT(new.info.st_mode)
    if kind != stat.S_IFMT(old.info.st_mode):
        return False
    if kind == stat.S_IFREG:
        return new.info.st_size == old.info.st_size and sha256 is not None and sha256 == _hash(old)
    if kind == stat.S_IFLNK:
        return new.target() == old.target()
    return new.info.st_rdev == old.info.st_rdev


def _open_file(entry: Entry) -> int:
    # Frozen and known to be a regular file; the flags are for the day when one of the two is wrong.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    return os.open(entry.name, flags, dir_fd=entry.folder)


def _hash(entry: Entry) -> str:
    with os.fdopen(_open_file(entry), "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _metadata(info: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid


def _change(path: bytes, kind: str, entry: Entry, sha256: str | None) -> Change:
    types = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFLNK: "symlink",
        stat.S_IFIFO: "fifo",
        stat.S_IFSOCK: "socket",
    }
    info = entry.info
    mode, uid, gid = _metadata(info)
    target = entry.target()
    return Change(
        path=encode_name(b"/" + path),
        kind=kind,
        type=types.get(stat.S_IFMT(info.st_mode), "device"),
        mode=mode,
        uid=uid,
        gid=gid,
        size=info.st_size if stat.S_ISREG(info.st_mode) else 0,
        sha256=sha256,
        target=None if target is None else encode_name(target),
    )


def carry_over(
    upper: Path, lower: Sequence[Path], changes: Sequence[Change], allowed: Callable[[Change], bool], into: Path
) -> tuple[Change, ...]:
    """Write the permitted changes as a new layer, to be put on top of `lower`.

    Files are copied, never linked to; set-id bits, extended attributes and times are dropped. Sockets, FIFOs and
    devices are never carried over. A folder is deleted, or replaced by something else, only where the loss of
    everything in it is permitted, too. A folder that holds something permitted, but is not permitted itself, is as it
    was below, or, where there was none, as the sandbox made it.

    Args:
        upper: the changed layer, frozen.
        lower: the layers below it, topmost first.
        changes: what `diff` found.
        allowed: whether a change may be carried over. Symbolic links are asked for like the rest; it should refuse
            those that lead out of what may be written.
        into: the new layer's folder, made here; its parent exists and it does not.

    Returns:
        the changes that were not carried over, in their order.

    Raises:
        SandboxError: a layer can't be read or written.
    """
    carried: dict[bytes, Change] = {}
    for change in sorted(changes, key=lambda change: decode_name(change.path)):
        if (change.kind == "deleted" or change.type in ("file", "directory", "symlink")) and allowed(change):
            carried[decode_name(change.path).lstrip(b"/")] = change
    for change in changes:
        path = decode_name(change.path).lstrip(b"/")
        if change.kind == "deleted" and path not in carried:
            # Its folder has to stay a folder.
            while b"/" in path:
                path = path.rpartition(b"/")[0]
                above = carried.get(path)
                if above is not None and (above.kind == "deleted" or above.type != "directory"):
                    del carried[path]
    kinds = {decode_name(change.path).lstrip(b"/"): change for change in changes}
    try:
        into.mkdir()
        into.chmod(0o755)
        with contextlib.ExitStack() as stack:
            roots = tuple(open_root(layer, stack) for layer in lower)
            carrier = _Carrier(open_root(upper, stack), roots, open_root(into, stack), carried, kinds)
            written = {path for path, change in carried.items() if carrier.write(path, change)}
    except OSError as problem:
        raise SandboxError(f"{into}: the changes can't be carried over: {problem}") from None
    return tuple(change for change in changes if decode_name(change.path).lstrip(b"/") not in written)


@dataclass
class _Carrier:
    """Writes a layer. Parents come before their children."""

    upper: int
    lower: tuple[int, ...]
    into: int
    carried: dict[bytes, Change]
    changes: dict[bytes, Change]
    copies: dict[int, bytes] = field(default_factory=dict)

    def write(self, path: bytes, change: Change) -> bool:
        """Returns whether the change has a place in the new layer."""
        if len(path) > _LONGEST_PATH:
            return False
        parent, _, name = path.rpartition(b"/")
        if change.kind == "deleted" and self._lost_with_parent(parent):
            return True
        if not self._make_folder(parent):
            return False
        if change.kind != "deleted" and change.type == "directory":
            return self._make_folder(path)
        with contextlib.ExitStack() as stack:
            there = open_folder(self.into, parent)
            stack.callback(os.close, there)
            if change.kind == "deleted":
                os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=there)
                return True
            here = open_folder(self.upper, parent)
            stack.callback(os.close, here)
            entry = Entry(here, name, os.stat(name, dir_fd=here, follow_symlinks=False))
            target = entry.target()
            if target is not None:
                os.symlink(target, name, dir_fd=there)
            elif entry.info.st_ino in self.copies:
                os.link(self.copies[entry.info.st_ino], name, src_dir_fd=self.into, dst_dir_fd=there)
                return True
            elif stat.S_ISREG(entry.info.st_mode):
                self._copy(entry, there)
                if entry.info.st_nlink > 1:
                    self.copies[entry.info.st_ino] = path
            else:
                return False
            os.chown(name, entry.info.st_uid, entry.info.st_gid, dir_fd=there, follow_symlinks=False)
            if target is None:
                os.chmod(name, entry.info.st_mode & 0o777, dir_fd=there)
        return True

    def _lost_with_parent(self, parent: bytes) -> bool:
        """Whether a folder above is gone or something else in the new layer, with all that was in it."""
        while parent:
            above = self.carried.get(parent)
            if above is not None and (above.kind == "deleted" or above.type != "directory"):
                return True
            parent = parent.rpartition(b"/")[0]
        return False

    def _copy(self, entry: Entry, there: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with (
            os.fdopen(_open_file(entry), "rb", buffering=0) as source,
            os.fdopen(os.open(entry.name, flags, 0o600, dir_fd=there), "wb", buffering=0) as copy,
        ):
            kernel.copy_sparse(source.fileno(), copy.fileno())

    def _make_folder(self, path: bytes) -> bool:
        """Make a folder and those above it in the new layer; False where something else is to be there."""
        missing: list[bytes] = []
        while path:
            try:
                os.close(open_folder(self.into, path))
            except FileNotFoundError:
                missing.append(path)
                path = path.rpartition(b"/")[0]
            except NotADirectoryError:
                return False
            else:
                break
        for path in reversed(missing):
            info = self._attributes(path)
            if info is None:
                return False
            parent, _, name = path.rpartition(b"/")
            there = open_folder(self.into, parent)
            try:
                os.mkdir(name, dir_fd=there)
                os.chown(name, info.st_uid, info.st_gid, dir_fd=there)
                os.chmod(name, info.st_mode & 0o1777, dir_fd=there)
            finally:
                os.close(there)
        return True

    def _attributes(self, path: bytes) -> os.stat_result | None:
        """Mode and owner for a folder; None where there is to be none."""
        change = self.changes.get(path)
        made_here = change is not None and change.kind != "deleted" and change.type == "directory"
        if path in self.carried or (made_here and change is not None and change.kind == "added"):
            fd = open_folder(self.upper, path)
            try:
                return os.fstat(fd)
            finally:
                os.close(fd)
        layers = self.lower
        info = None
        parts = path.split(b"/")
        for depth in range(1, len(parts) + 1):
            with contextlib.ExitStack() as stack:
                folders = open_merged(b"/".join(parts[:depth]), layers, stack)
                layers = tuple(layer for layer, _ in folders)
                info = os.fstat(folders[0][1]) if folders else None
        return info
