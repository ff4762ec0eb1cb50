"""Where the files of a registry lie: a folder, or a branch of a git repository (``git.py``)."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from affidavit.contracts.registry.errors import RegistryError
from affidavit.signing import EvidenceError, locked_folder, write_whole


class Snapshot(Protocol):
    """The files of a registry as they are, by names such as ``objects/sha256/…``."""

    def read(self, name: str, most: int) -> bytes | None:
        """The content of a file, None where there is none.

        Raises:
            RegistryError: it is no regular file, is larger than `most` bytes, or can't be read.
        """


# From the files as they are to those to write, in the order in which they must get there; the last makes all count.
Change = Callable[[Snapshot], Mapping[str, bytes]]


class Store(Protocol):
    """The files of one registry.

    Attributes:
        location: as the user names it, absolute; no password is in it.
    """

    location: str

    def reading(self) -> AbstractContextManager[Snapshot]:
        """Read the files. Raises RegistryError."""

    def change(self, make: Change) -> None:
        """Write what `make` makes of the files as they are; nobody else writes between the two, `make` may be called
        again where someone did. Whoever is killed leaves the files as they were, for all that readers see.

        Raises:
            RegistryError: the files can't be read or written.
        """


class FolderStore:
    """A registry in a folder, which is made with the first change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.location = str(self._folder)

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """Read the files where they lie."""
        yield _Folder(self._folder)

    def change(self, make: Change) -> None:
        """Under a lock, which ends with the process that holds it; each file is replaced whole."""
        if not self._folder.exists():
            # What can't be published leaves no folder behind.
            make(_Folder(self._folder))
        try:
            with locked_folder(self._folder, 0o666):
                for left in self._folder.rglob(".*.tmp"):
                    left.unlink(missing_ok=True)
                for name, data in make(_Folder(self._folder)).items():
                    path = self._folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_whole(path, data)
        except EvidenceError as error:
            raise RegistryError(str(error)) from error
        except OSError as error:
            raise RegistryError(f"{self.location}: can't be written: {error.strerror}") from error


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str, most: int) -> bytes | None:
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise RegistryError(f"{path}: can't be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise RegistryError(f"{path}: is not a regular file")
            data = file.read(most + 1)
        if len(data) > most:
            raise RegistryError(f"{path}: is larger than {most} bytes")
        return data
