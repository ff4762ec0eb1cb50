"""The folder that holds the evidence of one trial (``docs/bundle.md``): writing it, and reading what anyone may have
written."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import pyarrow as pa

from affidavit.events import COUNT_SCHEMA
from affidavit.evidence import private
from affidavit.evidence.document import Document
from affidavit.evidence.statement import IN_TOTO, File, Statement, TraceFacts, file_name, trial_facts
from affidavit.recorder import RecordSummary
from affidavit.signing import EvidenceError, SigningKey, leaf_hash, merkle_root, sign, strict_json, sync_folder
from affidavit.trace import (
    EVENTS_PER_LEAF,
    TraceError,
    read_counts,
    read_execs,
    read_trace,
    trace_batches,
    trace_leaves,
    write_counts,
    write_execs,
)

STATEMENT = "statement.dsse.json"
EVENTS = "events.parquet"
EXECS = "agent/execs.parquet"
CONTRACT_SIGNATURE = "contract.sig.json"
CONTRACT_PROOF = "contract.proof.json"

# What every bundle holds, whatever came of the trial.
REQUIRED = ("contract.json", "diff.json", "environment.json", "task.json", "verdict.json")
# One of them: what everybody may know of the grades, or, as in version 0.1, all.
_GRADES = ("grades.json", "grade.json")

# More than any honest bundle has.
MOST_FILES = 4096
MOST_JSON_BYTES = 256 << 20
MOST_STATEMENT_BYTES = 4 << 20

_HASH_BLOCK = 1 << 20
# The name of a trace until it is whole; see `affidavit.trace`.
_BEING_WRITTEN = re.compile(r"\..+\.tmp")


@dataclass(frozen=True)
class _Identity:
    """What changes when a file is written to or put in another's place."""

    inode: int
    size: int
    changed_ns: int


class BundleWriter:
    """Writes a bundle beside its final place; `seal` signs it and gives it its name. Used as a context manager: what is
    not sealed is removed."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: the bundle's folder, which must not exist; its parent is made where it does not.

        Raises:
            EvidenceError: it exists, or can't be written to.
        """
        self.path = path
        unique = secrets.token_hex(6)
        self._folder = path.with_name(f".{path.name}.{unique}.tmp")
        self._apart = path.with_name(f".{path.name}.{unique}.{private.FOLDER}.tmp")
        if os.path.lexists(path):
            raise EvidenceError(f"{path}: already exists; choose another output folder")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folder.mkdir()
        except OSError as error:
            raise _write_error(path, error) from error

    def __enter__(self) -> "BundleWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove()

    def file(self, name: str) -> Path:
        """Where to write the file `name` yourself (a trace, as it comes); its folder is there.

        Raises:
            EvidenceError: the name may not stand in a bundle.
        """
        path = self._folder / file_name(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _write_error(path, error) from error
        return path

    def add(self, name: str, content: bytes | Mapping[str, Any] | list[Any]) -> None:
        """Add a file.

        Args:
            name: as in ``agent/stdout``.
            content: its bytes, or what to write as JSON.

        Raises:
            EvidenceError: the name may not stand in a bundle or is taken, `content` is no JSON, or the disk is full.
        """
        if not isinstance(content, bytes):
            try:
                # Not ensure_ascii=False: text of an agent may hold lone surrogates, which have no UTF-8.
                content = json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
            except (ValueError, TypeError, RecursionError) as error:
                raise EvidenceError(f"{name}: can't be written as JSON: {error}") from error
        path = self.file(name)
        try:
            with path.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise EvidenceError(f"{name}: is in the bundle already") from None
        except OSError as error:
            raise _write_error(path, error) from error

    def add_summary(self, part: str, summary: RecordSummary) -> None:
        """Add what the recorder says of a part's record: ``summary.json`` and ``counts.parquet``.

        Args:
            part: ``agent``, ``grader`` …

        Raises:
            EvidenceError: as `add`.
        """
        self.add(
            f"{part}/summary.json",
            {
                "recorder": summary.recorder,
                "events": summary.events,
                "lost": summary.lost,
                "complete": summary.complete,
                "reasons": list(summary.reasons),
                "gaps": list(summary.gaps),
                "facts": dict(summary.facts),
            },
        )
        try:
            write_counts(self.file(f"{part}/counts.parquet"), summary.counts)
        except TraceError as error:
            raise EvidenceError(str(error)) from error

    def add_execs(self, execs: pa.Table) -> None:
        """Add the commands of a session, EXEC_SCHEMA. Raises EvidenceError as `add`."""
        try:
            write_execs(self.file(EXECS), execs)
        except TraceError as error:
            raise EvidenceError(str(error)) from error

    def keep_whole_parts(self, whole: Iterable[str]) -> None:
        """Remove what is there of parts that were broken off; `whole`: those that were not."""
        kept = {*whole}
        for folder in [path for path in self._folder.iterdir() if path.is_dir()]:
            if (folder / EVENTS).exists() and folder.name not in kept:
                shutil.rmtree(folder)
        for name in ("grade.json", "grades.json"):
            (self._folder / name).unlink(missing_ok=True)

    def reader(self) -> "BundleReader":
        """Reads what is there so far, but for what is being written. Raises EvidenceError."""
        return BundleReader(self._folder, sealed=False)

    def seal(self, key: SigningKey, predicate: Document, *, publishable: bool = False) -> Path:
        """Sign everything that is in the bundle and give the folder its name.

        Args:
            key: signs.
            predicate: the facts of the trial, see `TrialPredicate`; those of its traces and of its private part are
                computed here from the files.
            publishable: what is not for publishing goes into a folder beside the bundle (see ``private.py``), which is
                in its place before the bundle is.

        Returns:
            The bundle's folder.

        Raises:
            EvidenceError: a fact is missing, a trace can't be read, the disk is full, or the folder's name was taken in
                the meantime. Nothing is left then.
        """
        try:
            # A part that was broken off before it had written anything.
            self._remove_empty_folders()
            with self.reader() as reader:
                if missing := [name for name in REQUIRED if name not in reader.names()]:
                    raise EvidenceError(f"{', '.join(missing)} not written")
                if not {*_GRADES} & {*reader.names()}:
                    raise EvidenceError(f"{_GRADES[0]} not written")
                traces = {part: trace_facts(reader.events(part)).model_dump() for part in reader.parts()}
                apart = [name for name in reader.names() if publishable and private.is_private(name)]
                files = {name: reader.digest(name) for name in reader.names() if name not in apart}
            stated = {**predicate.to_json(), "traces": traces}
            if publishable:
                stated[private.FOLDER] = {name: file.to_json() for name, file in self._set_apart(apart).items()}
            facts = trial_facts(stated)
            if facts.contract.signed_by is not None and CONTRACT_SIGNATURE not in files:
                raise EvidenceError(f"{CONTRACT_SIGNATURE} not written, though the contract is signed")
            envelope = sign(Statement(files, facts).payload(), IN_TOTO, key)
            if len(envelope) > MOST_STATEMENT_BYTES:
                raise EvidenceError(f"the statement is larger than {MOST_STATEMENT_BYTES >> 20} MiB")
            self.add(STATEMENT, envelope)
            for folder in [*(p for p in self._folder.rglob("*") if p.is_dir()), self._folder]:
                sync_folder(folder)
            # rename(2) would put it in the place of an empty folder, which may be another writer's.
            if os.path.lexists(self.path):
                raise EvidenceError(f"{self.path}: already exists; choose another output folder")
            if publishable:
                self._apart.rename(private.beside(self.path))
            try:
                self._folder.rename(self.path)
            except OSError:
                if publishable:
                    shutil.rmtree(private.beside(self.path), ignore_errors=True)
                raise
            sync_folder(self.path.parent)
        except (TraceError, EvidenceError) as error:
            self._remove()
            raise EvidenceError(f"{self.path}: can't be sealed: {error}") from error
        except OSError as error:
            self._remove()
            raise _write_error(self.path, error) from error
        return self.path

    def _set_apart(self, names: Sequence[str]) -> dict[str, private.PrivateFile]:
        """Move files into the private part, readable for the owner alone; what the statement says of them."""
        key, found = private.new_key(), {}
        self._apart.mkdir(mode=0o700)
        for name in names:
            target = self._apart / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / name).rename(target)
            with target.open("rb") as file:
                found[name] = private.digest(key, name, file)
        with (self._apart / private.KEY_FILE).open("xb") as file:
            file.write(private.key_line(key))
            file.flush()
            os.fsync(file.fileno())
        self._remove_empty_folders()
        for folder in [*(path for path in self._apart.rglob("*") if path.is_dir()), self._apart]:
            sync_folder(folder)
        return found

    def _remove_empty_folders(self) -> None:
        folders = [path for path in self._folder.rglob("*") if path.is_dir() and not path.is_symlink()]
        for folder in sorted(folders, reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()

    def _remove(self) -> None:
        for folder in (self._folder, self._apart):
            shutil.rmtree(folder, ignore_errors=True)


def trace_facts(batches: Iterator[pa.RecordBatch]) -> TraceFacts:
    """What a trace comes to. Raises TraceError."""
    events = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal events
        for batch in batches:
            events += batch.num_rows
            yield batch

    root = merkle_root(leaf_hash(leaf) for leaf in trace_leaves(counted()))
    return TraceFacts(events=events, events_per_leaf=EVENTS_PER_LEAF, merkle_root=f"sha256:{root.hex()}")


def bundle_digest(path: Path) -> str:
    """What names a bundle as a whole: ``sha256:`` and the SHA-256 of its ``statement.dsse.json`` in hex.

    Raises:
        EvidenceError: there is none.
    """
    with BundleReader(path) as reader:
        return "sha256:" + hashlib.sha256(reader.read(STATEMENT, MOST_STATEMENT_BYTES)).hexdigest()


class BundleReader:
    """Reads a bundle that anyone may have written: every file is opened below the folder without following a symbolic
    link and without ever waiting; sizes are bounded; JSON is strict. A context manager.

    Reading says nothing about whether the bundle is genuine: that is `verify_bundle`.
    """

    def __init__(self, path: Path, *, sealed: bool = True) -> None:
        """
        Args:
            path: its folder.
            sealed: False: it is still being written to, so some of its files have no name of theirs yet.

        Raises:
            EvidenceError: `path` is not a folder.
        """
        self.path = path
        self._sealed = sealed
        self._seen: dict[str, _Identity] = {}
        self._private = -1
        try:
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with suppress(FileNotFoundError):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                self._private = os.open(private.beside(path.absolute()), flags)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EvidenceError(f"{path}: is not a bundle folder: {reason}") from error

    def __enter__(self) -> "BundleReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder. Harmless when called twice."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1
        self.leave_private()

    @property
    def has_private(self) -> bool:
        """Whether the private part lies beside the bundle."""
        return self._private >= 0

    def leave_private(self) -> None:
        """Go on without a private part: there is none, or it is none of this bundle's."""
        if self._private >= 0:
            os.close(self._private)
            self._private = -1

    def names(self) -> list[str]:
        """The names of all files, sorted, but for the statement's.

        Raises:
            EvidenceError: something is not a regular file or a folder with files in it, has a name that may not stand
                in a bundle, or there is too much of it.
        """
        return self._names(self._root)

    def private_names(self) -> list[str]:
        """The names of all files of the private part, sorted, but for its key's. Raises EvidenceError as `names`."""
        return [name for name in self._names(self._private) if name != private.KEY_FILE] if self.has_private else []

    def _names(self, root: int) -> list[str]:
        found: list[str] = []
        folders: list[str] = []
        try:
            for where, inside, names, descriptor in os.fwalk(dir_fd=root, follow_symlinks=False):
                prefix = "" if where == "." else where.removeprefix("./") + "/"
                if self._sealed and not inside and not names and prefix:
                    raise EvidenceError(f"{prefix[:-1]!r} is an empty folder that does not belong to the bundle")
                for name in inside:
                    # os.fwalk lists a link to a folder among the folders.
                    if stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                        raise EvidenceError(f"{prefix + name!r} is a symbolic link")
                    folders.append(file_name(prefix + name))
                for name in names:
                    if not self._sealed and _BEING_WRITTEN.fullmatch(name):
                        continue
                    mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
                    if not stat.S_ISREG(mode):
                        raise EvidenceError(f"{prefix + name!r} is {_kind(mode)}")
                    found.append(file_name(prefix + name))
                if len(found) + len(folders) > MOST_FILES:
                    raise EvidenceError(f"there are more than {MOST_FILES} files")
        except OSError as error:
            raise EvidenceError(f"{self.path}: can't be read: {error.strerror}") from error
        return sorted(name for name in found if name != STATEMENT)

    def parts(self) -> list[str]:
        """The folders that hold a trace, sorted: ``agent``, ``grader`` and others. Raises EvidenceError as `names`."""
        suffix = f"/{EVENTS}"
        names = {*self.names(), *self.private_names()}
        return sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix))

    def stages(self) -> list[str]:
        """The folders that say how complete a record is, sorted: of each sandbox. Raises EvidenceError as `names`."""
        suffix = "/summary.json"
        return sorted(name.removesuffix(suffix) for name in self.names() if name.endswith(suffix))

    def open(self, name: str) -> BinaryIO:
        """Open a file: of the bundle, or else of its private part.

        Raises:
            EvidenceError: it is not there, is no regular file, or is not the one that was opened before.
        """
        if self.has_private and (private.is_private(name) or name == private.KEY_FILE) and not self._is_public(name):
            return self._open(self._private, name)
        return self._open(self._root, name)

    def _is_public(self, name: str) -> bool:
        with suppress(OSError):
            os.stat(name, dir_fd=self._root, follow_symlinks=False)
            return True
        return False

    def _open(self, root: int, name: str) -> BinaryIO:
        descriptor = -1
        folder = root
        *folders, last = file_name(name).split("/")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        try:
            for part in folders:
                inner = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
                if folder != root:
                    os.close(folder)
                folder = inner
            descriptor = os.open(last, flags, dir_fd=folder)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise EvidenceError(f"{name}: is {_kind(status.st_mode)}")
            identity = _Identity(status.st_ino, status.st_size, status.st_ctime_ns)
            if self._seen.setdefault(name, identity) != identity:
                raise EvidenceError(f"{name}: changed while it was being read")
            file = os.fdopen(descriptor, "rb")
            descriptor = -1
            return file
        except OSError as error:
            reason = "is a symbolic link" if error.errno in (errno.ELOOP, errno.ENOTDIR) else error.strerror
            raise EvidenceError(f"{name}: {'is missing' if error.errno == errno.ENOENT else reason}") from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)
            if folder != root:
                os.close(folder)

    def private_key(self) -> bytes:
        """The key of the private part's digests. Raises EvidenceError as `open` does."""
        return private.read_key(self.read(private.KEY_FILE, 1 << 10))

    def private_digest(self, key: bytes, name: str) -> private.PrivateFile:
        """Keyed digest and size of a file of the private part. Raises EvidenceError as `open` does."""
        with self.open(name) as file:
            return private.digest(key, name, file)

    def size(self, name: str) -> int:
        """Size in bytes. Raises EvidenceError as `open` does."""
        with self.open(name) as file:
            return os.fstat(file.fileno()).st_size

    def digest(self, name: str) -> File:
        """SHA-256 and size of a file. Raises EvidenceError as `open` does."""
        hashed, size = hashlib.sha256(), 0
        with self.open(name) as file:
            # A file that someone goes on writing to must not hold us up for ever.
            most = os.fstat(file.fileno()).st_size
            while size <= most and (block := file.read(_HASH_BLOCK)):
                hashed.update(block)
                size += len(block)
        return File(hashed.hexdigest(), size)

    def read(self, name: str, most: int = MOST_JSON_BYTES) -> bytes:
        """The content of a file.

        Raises:
            EvidenceError: as `open`, or it is larger than `most` bytes.
        """
        with self.open(name) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise EvidenceError(f"{name}: is larger than {most} bytes")
        return data

    def json(self, name: str) -> Any:
        """The value of a JSON file. Raises EvidenceError as `read` does, or where it is not strict JSON."""
        data = self.read(name)
        try:
            return strict_json(data)
        except EvidenceError as error:
            raise EvidenceError(f"{name}: {error}") from error

    def json_object(self, name: str) -> dict[str, Any]:
        """The value of a JSON file that holds an object. Raises EvidenceError as `json` does, or where it does not."""
        value = self.json(name)
        if not isinstance(value, dict):
            raise EvidenceError(f"{name}: is not a JSON object")
        return value

    @property
    def task(self) -> dict[str, Any]:
        """``task.json``. Raises EvidenceError, like the other properties."""
        return self.json_object("task.json")

    @property
    def contract(self) -> bytes:
        """``contract.json``: the canonical form of the contract."""
        return self.read("contract.json")

    @property
    def diff(self) -> Any:
        """``diff.json``."""
        return self.json("diff.json")

    @property
    def grade(self) -> dict[str, Any]:
        """``grade.json``."""
        return self.json_object("grade.json")

    @property
    def grades(self) -> dict[str, Any]:
        """What everybody may know of ``grade.json``: ``grades.json``. Bundles of version 0.1 have only the former."""
        return self.json_object("grades.json") if self._is_public("grades.json") else self.grade

    @property
    def verdict(self) -> dict[str, Any]:
        """``verdict.json``."""
        return self.json_object("verdict.json")

    @property
    def environment(self) -> dict[str, Any]:
        """``environment.json``."""
        return self.json_object("environment.json")

    def events(self, part: str = "agent", columns: Container[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The events of a part, in batches of EVENT_SCHEMA, or of those of its columns that are asked for.

        Raises:
            EvidenceError, TraceError: while iterating: the trace is missing or damaged.
        """
        name = f"{part}/{EVENTS}"
        with self.open(name) as file:
            yield from trace_batches(file, name, columns)

    def event_table(self, part: str = "agent") -> pa.Table:
        """All events of a part as one table. Raises EvidenceError, TraceError."""
        name = f"{part}/{EVENTS}"
        with self.open(name) as file:
            return read_trace(file, name)

    def counts(self, part: str = "agent") -> pa.Table:
        """The system call counts of a part, COUNT_SCHEMA. Raises EvidenceError, TraceError."""
        name = f"{part}/counts.parquet"
        with self.open(name) as file:
            return read_counts(file, name)

    def execs(self) -> pa.Table | None:
        """The commands of a session, EXEC_SCHEMA; None where the agent's part is one command. Raises EvidenceError,
        TraceError."""
        if EXECS not in self.names():
            return None
        with self.open(EXECS) as file:
            return read_execs(file, EXECS)

    def summary(self, part: str = "agent") -> RecordSummary:
        """What the recorder said of a part's record; without counts where these are in a private part that is not here.
        Raises EvidenceError, TraceError."""
        name, counts = f"{part}/summary.json", f"{part}/counts.parquet"
        away = private.is_private(counts) and not self.has_private and not self._is_public(counts)
        match self.json(name):
            case {
                "recorder": str(recorder),
                "events": int(events),
                "lost": int(lost),
                "complete": bool(complete),
                "reasons": list(reasons),
                "gaps": list(gaps),
                "facts": dict(facts),
            } if all(isinstance(text, str) for text in (*reasons, *gaps)):
                counted = COUNT_SCHEMA.empty_table() if away else self.counts(part)
                return RecordSummary(recorder, events, lost, complete, tuple(reasons), tuple(gaps), counted, facts)
        raise EvidenceError(f"{name}: is not a summary of a record")

    def unchanged(self) -> None:
        """Check that every file that was opened is still the same one.

        Raises:
            EvidenceError: one is not.
        """
        for name in tuple(self._seen):
            self.open(name).close()


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return f"{kinds.get(stat.S_IFMT(mode), 'something else')}, not a regular file"


def _write_error(path: Path, error: OSError) -> EvidenceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EvidenceError(f"{path}: the disk is full; make room or choose another output folder")
    return EvidenceError(f"{path}: can't be written: {error.strerror or error}")
