"""Unpacking tar archives into layers.

An archive comes with a task and is not trusted with more than the folder that it is unpacked into: no name leads out of
it, links are made but followed only inside, device nodes and extended attributes are left out.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from affidavit.sandbox import kernel
from affidavit.sandbox.merged import is_whiteout
from affidavit.sandbox.protocol import SandboxError

_RESOLVE = kernel.RESOLVE_IN_ROOT | kernel.RESOLVE_NO_MAGICLINKS
NAME_BYTES = 4096
"""What each name in a layer counts beside its content."""

_MOST_SETTINGS_BYTES = 1 << 20
_ZSTD = b"\x28\xb5\x2f\xfd"


class HashedReader:
    """A stream that is hashed as it is read."""

    def __init__(self, stream: BinaryIO, algorithm: str) -> None:
        self._stream = stream
        self._hash = hashlib.new(algorithm)
        self.size = 0
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self._hash.update(chunk)
        self.size += len(chunk)
        return chunk

    def hexdigest(self) -> str:
        """Of all that is in the stream."""
        while self.read(1 << 20):
            pass
        return self._hash.hexdigest()


class _Rewound:
    """A stream whose first bytes were already read."""

    def __init__(self, first: bytes, stream: HashedReader) -> None:
        self._first = first
        self._stream = stream
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        if not self._first:
            return self._stream.read(size)
        first, self._first = self._first, b""
        # Never short: its reader takes the first block for a sample.
        return first + self._stream.read(max(0, size - len(first)) if size >= 0 else size)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def too_large(origin: str, most_bytes: int) -> str:
    """What is said of a root file system that takes more than the task's storage."""
    return f"{origin}: takes more than {most_bytes >> 20} MiB unpacked; raise [environment].storage_mb if you trust it"


def unpack(stream: HashedReader, folder: Path, origin: str, most_bytes: int, *, whiteouts: bool) -> None:
    """Unpack a tar archive: plain or compressed with gzip, bzip2, xz or zstd.

    Args:
        stream: the archive.
        folder: where to; empty.
        origin: what the archive is called in an error.
        most_bytes: what may be written, a block of 4 KiB for each name among it.
        whiteouts: whether ``.wh.`` names are those of an OCI layer (image specification, "Whiteouts").

    Raises:
        SandboxError: the archive is damaged, takes more, or a name in it leads out of the folder.
    """
    first = stream.read(4)
    source: object = _Rewound(first, stream)
    if first == _ZSTD:
        source = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
    root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with tarfile.open(fileobj=cast(BinaryIO, source), mode="r|*", errorlevel=2, tarinfo=_Member) as archive:
            unpacker = _Unpacker(root, archive, origin, most_bytes)
            for member in archive:
                unpacker.take(member, whiteouts=whiteouts)
                # A stream of a million members needs none of them again.
                archive.members = []  # type: ignore[attr-defined]
    except (tarfile.TarError, EOFError, ValueError, pa.ArrowException) as problem:
        raise SandboxError(f"{origin}: is not a whole tar archive: {problem}") from None
    except OSError as problem:
        raise SandboxError(f"{origin}: can't be unpacked: {problem}") from None
    finally:
        os.close(root)


class _Member(tarfile.TarInfo):
    """A member whose name and other settings are bounded: they are read whole, before it is one."""

    _SETTINGS = frozenset((tarfile.XHDTYPE, tarfile.XGLTYPE, b"X", tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK))

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in self._SETTINGS and not 0 <= self.size <= _MOST_SETTINGS_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        made: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return made


class _Unpacker:
    def __init__(self, root: int, archive: tarfile.TarFile, origin: str, most_bytes: int) -> None:
        self._most = self._left = most_bytes
        self._root = root
        self._archive = archive
        self._origin = origin

    def take(self, member: tarfile.TarInfo, *, whiteouts: bool) -> None:
        # A sparse file counts as what it unpacks to.
        self._left -= NAME_BYTES + (member.size if member.isreg() else 0)
        if self._left < 0:
            raise SandboxError(too_large(self._origin, self._most))
        parts = self._parts(member.name)
        if not parts:
            if member.isdir():
                Path(f"/proc/self/fd/{self._root}").chmod(stat.S_IMODE(member.mode))
            return
        *parents, name = parts
        with self._folder(parents) as folder:
            if whiteouts and name.startswith(b".wh."):
                self._whiteout(folder, name)
            else:
                self._make(folder, name, member)

    def _parts(self, name: str) -> list[bytes]:
        parts = [part for part in os.fsencode(name).split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise SandboxError(f"{self._origin}: the name {name!r} leads out of the archive")
        return parts

    @contextlib.contextmanager
    def _folder(self, parts: list[bytes]) -> Iterator[int]:
        """The folder of that path, made where the archive did not name it."""
        here = os.dup(self._root)
        try:
            for index, part in enumerate(parts):
                path = b"/".join(parts[: index + 1])
                try:
                    there = kernel.openat2(self._root, path, os.O_PATH | os.O_DIRECTORY, _RESOLVE)
                except FileNotFoundError:
                    os.mkdir(part, dir_fd=here)
                    os.chmod(part, 0o755, dir_fd=here)
                    there = kernel.openat2(self._root, path, os.O_PATH | os.O_DIRECTORY, _RESOLVE)
                os.close(here)
                here = there
            yield here
        finally:
            os.close(here)

    def _whiteout(self, folder: int, name: bytes) -> None:
        if name == b".wh..wh..opq":
            os.setxattr(f"/proc/self/fd/{folder}", "trusted.overlay.opaque", b"y")
            return
        hidden = name.removeprefix(b".wh.")
        if hidden in (b"", b".", b"..") or hidden.startswith(b".wh."):
            return
        # What the same layer brings under this name stays.
        with contextlib.suppress(FileExistsError):
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=folder)

    def _make(self, folder: int, name: bytes, member: tarfile.TarInfo) -> None:
        if member.ischr() or member.isblk():
            return
        there = self._clear(folder, name, keep_folder=member.isdir())
        if member.isdir():
            if not there:
                os.mkdir(name, dir_fd=folder)
        elif member.issym():
            os.symlink(os.fsencode(member.linkname), name, dir_fd=folder)
        elif member.islnk():
            self._link(folder, name, member)
            return
        elif member.isfifo():
            os.mkfifo(name, dir_fd=folder)
        elif member.isreg():
            self._write(folder, name, member)
        else:
            raise SandboxError(f"{self._origin}: {member.name!r} is of an unknown type")
        os.chown(name, member.uid, member.gid, dir_fd=folder, follow_symlinks=False)
        if not member.issym():
            os.chmod(name, stat.S_IMODE(member.mode), dir_fd=folder)
        times = (int(member.mtime * 1e9),) * 2
        os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)

    def _clear(self, folder: int, name: bytes, *, keep_folder: bool) -> bool:
        """Make room for an entry. Returns whether a folder is there already."""
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(info.st_mode):
            os.unlink(name, dir_fd=folder)
            return False
        if keep_folder:
            return True
        shutil.rmtree(name, dir_fd=folder)
        return False

    def _link(self, folder: int, name: bytes, member: tarfile.TarInfo) -> None:
        *parents, target = self._parts(member.linkname) or [b""]
        try:
            with self._folder_of_link(parents) as source:
                info = os.stat(target, dir_fd=source, follow_symlinks=False)
                if is_whiteout(info):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                os.link(target, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            raise SandboxError(
                f"{self._origin}: {member.name!r} is a link to {member.linkname!r}, which does not come before it"
            ) from None

    @contextlib.contextmanager
    def _folder_of_link(self, parts: list[bytes]) -> Iterator[int]:
        fd = kernel.openat2(self._root, b"/".join(parts) or b".", os.O_PATH | os.O_DIRECTORY, _RESOLVE)
        try:
            yield fd
        finally:
            os.close(fd)

    def _write(self, folder: int, name: bytes, member: tarfile.TarInfo) -> None:
        content = self._archive.extractfile(member)
        assert content is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with content, os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
