"""What graders looked at among the agent's final files, kept so that ``verify`` can ask the same again."""

import errno
import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict

from affidavit.evidence import BundleReader, BundleWriter, EvidenceError, FileStat, Observation
from affidavit.grading import FinalFiles
from affidavit.sandbox import FileFacts

# Kept in a bundle at most; what is above has its digest there only.
_MOST_KEPT_BYTES = 64 << 20
_MOST_KEPT_FILES = 1000


class WatchedFiles:
    """Final files that remember every answer."""

    def __init__(self, files: FinalFiles) -> None:
        self._files = files
        self._seen: dict[str, Observation] = {}
        self._contents: dict[str, bytes] = {}
        self._kept = 0

    def stat(self, path: str) -> FileFacts | None:
        facts = self._files.stat(path)
        self._note(path, stat=None if facts is None else FileStat(**asdict(facts)))
        return facts

    def names(self, path: str) -> tuple[str, ...]:
        names = self._files.names(path)
        self._note(path, names=names)
        return names

    def read(self, path: str, most: int) -> bytes:
        try:
            data = self._files.read(path, most)
        except OSError as error:
            if error.errno == errno.EFBIG:
                self._note(path, larger_than=max(most, self._seen.get(path, Observation()).larger_than))
            else:
                self._note(path, error=error.errno or errno.EIO)
            raise
        digest = hashlib.sha256(data).hexdigest()
        self._note(path, sha256=digest)
        room = len(self._contents) < _MOST_KEPT_FILES and self._kept + len(data) <= _MOST_KEPT_BYTES
        if digest not in self._contents and room:
            self._contents[digest] = data
            self._kept += len(data)
        return data

    def _note(self, path: str, **answer: object) -> None:
        self._seen[path] = self._seen.get(path, Observation()).model_copy(update=answer)

    def write(self, bundle: BundleWriter, beside: "WatchedFiles | None" = None) -> dict[str, Observation]:
        """Put what was read into a bundle, as ``files/SHA256``.

        Args:
            bundle: where to.
            beside: other files that were written there before.

        Returns:
            ``files`` of ``grade.json``: what was asked and answered, by path.
        """
        there = {} if beside is None else beside._contents
        for digest in self._contents.keys() - there.keys():
            bundle.add(f"files/{digest}", self._contents[digest])
        return {path: self._seen[path] for path in sorted(self._seen)}


class KeptFiles:
    """Final files as a bundle tells of them. What nobody asked of them in the trial raises LookupError."""

    def __init__(self, reader: BundleReader, seen: Mapping[str, Observation]) -> None:
        self._reader = reader
        self._seen = seen
        self._kept = frozenset(reader.names())

    def stat(self, path: str) -> FileFacts | None:
        facts = self._asked(path, "stat").stat
        return None if facts is None else FileFacts(**facts.model_dump())

    def names(self, path: str) -> tuple[str, ...]:
        return self._asked(path, "names").names

    def read(self, path: str, most: int) -> bytes:
        seen = self._seen.get(path, Observation())
        if seen.error is not None:
            raise OSError(seen.error, os.strerror(seen.error), path)
        if most <= seen.larger_than:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        digest = self._asked(path, "sha256").sha256
        name = f"files/{digest}"
        if name not in self._kept:
            raise LookupError(f"the content of {path} is not in the bundle: it was too large")
        data = self._reader.read(name)
        if hashlib.sha256(data).hexdigest() != digest:
            raise EvidenceError(f"{name}: its content has another digest")
        if len(data) > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return data

    def _asked(self, path: str, what: str) -> Observation:
        seen = self._seen.get(path)
        if seen is None or not seen.asked(what):
            raise LookupError(f"{what} of {path} is not in the bundle")
        return seen
