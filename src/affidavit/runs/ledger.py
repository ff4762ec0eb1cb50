"""The ledger of a run: an append-only log of what happened to every planned trial (``docs/runs.md``).

A file of lines. A line is the canonical JSON of an entry, or of a checkpoint: a DSSE envelope over size and root of the
Merkle tree (RFC 6962) whose leaves are the entries' lines. Each entry is written together with its checkpoint, and is
on the disk before the run goes on.
"""

import fcntl
import getpass
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from affidavit.errors import first_problem
from affidavit.runs.plan import Digest, Strict, Time, Verdict, parsed
from affidavit.signing import (
    Envelope,
    EvidenceError,
    GrowingTree,
    PublicKey,
    SigningKey,
    canonical_json,
    leaf_hash,
    now,
    read_bounded,
    strict_canonical_json,
    sync_folder,
)

LEDGER = "ledger.jsonl"
CHECKPOINT_TYPE = "application/vnd.affidavit.checkpoint+json"
MOST_LEDGER_BYTES = 1 << 30

_MOST_WHY = 2000


class Opened(Strict):
    """The run begins: its name and the digest of its plan."""

    kind: Literal["opened"] = "opened"
    at: Time
    run_id: str
    plan: Digest


class Started(Strict):
    """An attempt at a trial begins; `attempt` counts from 1."""

    kind: Literal["started"] = "started"
    at: Time
    trial: str
    attempt: int = Field(ge=1)


class SandboxMade(Strict):
    """The agent's sandbox is there, and the agent about to start."""

    kind: Literal["sandbox"] = "sandbox"
    at: Time
    trial: str


class Finished(Strict):
    """The agent's sandbox has ended and its record is closed."""

    kind: Literal["finished"] = "finished"
    at: Time
    trial: str


class StepJudged(Strict):
    """The verdict of a step, before anything of it is signed."""

    kind: Literal["step_verdict"] = "step_verdict"
    at: Time
    trial: str
    step: str
    verdict: Verdict
    score: float | None
    raw_score: float | None


class StepSealed(Strict):
    """The bundle of a step is in its place; `bundle`: digest of its ``statement.dsse.json``."""

    kind: Literal["step_sealed"] = "step_sealed"
    at: Time
    trial: str
    step: str
    bundle: Digest


class Judged(Strict):
    """The verdict, before anything is signed: from here on another attempt would show."""

    kind: Literal["verdict"] = "verdict"
    at: Time
    trial: str
    verdict: Verdict
    score: float | None
    raw_score: float | None


class Sealed(Strict):
    """The bundle is in its place; `bundle`: digest of its ``statement.dsse.json``, of a trial in steps that of the last
    one, which names the one before."""

    kind: Literal["sealed"] = "sealed"
    at: Time
    trial: str
    bundle: Digest
    duration_ms: int = Field(ge=0)


class Aborted(Strict):
    """The attempt ended without a bundle. `verdict` is that of a trial that has one all the same; None: it was
    interrupted and has no end."""

    kind: Literal["aborted"] = "aborted"
    at: Time
    trial: str
    verdict: Verdict | None
    score: float | None
    raw_score: float | None
    why: str = Field(max_length=_MOST_WHY)


class Retried(Strict):
    """Somebody asked for another attempt at a trial that has no end."""

    kind: Literal["retried"] = "retried"
    at: Time
    trial: str
    by: str = Field(max_length=200)
    why: str = Field(max_length=_MOST_WHY)


class Resumed(Strict):
    """The run goes on after an interruption. `discarded`: bytes of a line that was not whole; `unsigned`: entries
    before this that no checkpoint covered."""

    kind: Literal["resumed"] = "resumed"
    at: Time
    by: str = Field(max_length=200)
    discarded: int = Field(ge=0)
    unsigned: int = Field(ge=0)


class Closed(Strict):
    """Every planned trial has an end; nothing follows."""

    kind: Literal["closed"] = "closed"
    at: Time


_OfTrial = SandboxMade | Finished | StepJudged | StepSealed | Judged | Sealed | Aborted
Entry = Opened | Started | _OfTrial | Retried | Resumed | Closed
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


class _CheckpointDocument(Strict):
    schema_: Annotated[Literal["affidavit.checkpoint/v1"], Field(alias="schema")] = "affidavit.checkpoint/v1"
    run_id: str
    size: int = Field(ge=1)
    root: Digest


@dataclass(frozen=True)
class Checkpoint:
    """What a ledger came to: its number of entries, and ``sha256:`` and the root of the tree over them in hex."""

    size: int
    root: str

    def to_json(self) -> dict[str, Any]:
        """As it stands in statements."""
        return {"size": self.size, "root": self.root}


class StepEnd(Strict):
    """How a step of a trial ended.

    Attributes:
        name: the step's.
        bundle: digest of its bundle's statement.
        verdict, score, raw_score: as the bundle says.
    """

    name: str
    bundle: Digest
    verdict: Verdict
    score: float | None
    raw_score: float | None


# What an entry comes after, in an attempt at a trial.
_AFTER = {
    "sandbox": ("started", "step_sealed"),
    "finished": ("sandbox",),
    "step_verdict": ("finished",),
    "step_sealed": ("step_verdict",),
    "verdict": ("finished", "step_sealed"),
    "sealed": ("verdict",),
}


@dataclass
class Attempt:
    """One attempt at a trial, as far as the ledger tells.

    Attributes:
        number: from 1.
        began: when, by the machine's clock.
        checkpoint: of the ledger that ends with this attempt's start.
        kinds: of its entries, in order.
        verdict, score, raw_score: None where it came to none.
        bundle: digest of the bundle's statement; None where there is none.
        duration_ms: None where there is no bundle.
        why: it was aborted; empty where it was not.
        judged: the verdict of a step whose bundle is still to be sealed; None where there is none.
        played: the steps of the task that have their bundles, in order; empty where it has no steps.
    """

    number: int
    began: str
    checkpoint: Checkpoint
    kinds: list[str] = field(default_factory=lambda: ["started"])
    verdict: Verdict | None = None
    score: float | None = None
    raw_score: float | None = None
    bundle: str | None = None
    duration_ms: int | None = None
    why: str = ""
    played: list[StepEnd] = field(default_factory=list)
    judged: StepJudged | None = None

    def seal_step(self, entry: StepSealed) -> None:
        """Take in that the bundle of a step is in its place. Raises EvidenceError."""
        if (judged := self.judged) is None or judged.step != entry.step:
            raise EvidenceError(f"seals the step {entry.step} of {entry.trial}, which has no verdict")
        scores = {"score": judged.score, "raw_score": judged.raw_score}
        self.played.append(StepEnd(name=judged.step, bundle=entry.bundle, verdict=judged.verdict, **scores))
        self.judged = None

    @property
    def ended(self) -> bool:
        """Whether the trial has its end in this attempt."""
        return self.kinds[-1] == "sealed" or (self.kinds[-1] == "aborted" and self.verdict is not None)


class History:
    """What the entries say, one after the other; refuses what can't follow."""

    def __init__(self) -> None:
        self.run_id = ""
        self.plan = ""
        self.began = ""
        self.last = ""
        self.closed = False
        self.resumed = 0
        self.attempts: dict[str, list[Attempt]] = {}
        self._asked: set[str] = set()

    def add(self, entry: Entry, checkpoint: Checkpoint) -> None:
        """Take in the next entry.

        Args:
            entry: the entry.
            checkpoint: of the ledger that ends with it.

        Raises:
            EvidenceError: it can't follow those before it.
        """
        if isinstance(entry, Opened) != (checkpoint.size == 1):
            raise EvidenceError(
                "opens the run twice" if isinstance(entry, Opened) else "comes before the run is opened"
            )
        if self.closed:
            raise EvidenceError(f"comes after the run was closed: {entry.kind}")
        if entry.at < self.last:
            raise EvidenceError(f"is of {entry.at}, and the one before of {self.last}")
        self.last = entry.at
        match entry:
            case Opened():
                self.run_id, self.plan, self.began = entry.run_id, entry.plan, entry.at
            case Started():
                self._start(entry, checkpoint)
            case Retried():
                if not (earlier := self.attempts.get(entry.trial)) or earlier[-1].ended:
                    raise EvidenceError(f"retries {entry.trial}, which has its end or never started")
                self._asked.add(entry.trial)
            case Resumed():
                self.resumed += 1
            case Closed():
                self.closed = True
            case _:
                self._go_on(entry)

    def _start(self, entry: Started, checkpoint: Checkpoint) -> None:
        earlier = self.attempts.setdefault(entry.trial, [])
        if entry.attempt != len(earlier) + 1:
            raise EvidenceError(f"starts attempt {entry.attempt} at {entry.trial} after {len(earlier)}")
        if earlier and (earlier[-1].ended or entry.trial not in self._asked):
            raise EvidenceError(f"starts {entry.trial} again, and nobody asked for that")
        self._asked.discard(entry.trial)
        earlier.append(Attempt(entry.attempt, entry.at, checkpoint))

    def _go_on(self, entry: _OfTrial) -> None:
        attempts = self.attempts.get(entry.trial)
        if not attempts or attempts[-1].kinds[-1] in ("sealed", "aborted"):
            raise EvidenceError(f"says {entry.kind} of {entry.trial}, which is not at work")
        attempt = attempts[-1]
        if entry.kind != "aborted" and attempt.kinds[-1] not in _AFTER[entry.kind]:
            raise EvidenceError(f"says {entry.kind} of {entry.trial} after {attempt.kinds[-1]}")
        attempt.kinds.append(entry.kind)
        match entry:
            case StepJudged():
                attempt.judged = entry
            case StepSealed():
                attempt.seal_step(entry)
            case Judged() | Aborted():
                attempt.verdict, attempt.score, attempt.raw_score = entry.verdict, entry.score, entry.raw_score
                attempt.why = entry.why if isinstance(entry, Aborted) else ""
            case Sealed():
                attempt.bundle, attempt.duration_ms = entry.bundle, entry.duration_ms

    def end_of(self, trial: str) -> Attempt | None:
        """The attempt in which a trial has its end; None where it has none."""
        attempts = self.attempts.get(trial)
        return attempts[-1] if attempts and attempts[-1].ended else None

    def without_end(self, planned: Sequence[str]) -> list[str]:
        """Those of the planned trials that have no end, in order."""
        return [name for name in planned if self.end_of(name) is None]


@dataclass(frozen=True)
class ReadLedger:
    """A ledger that was read and holds together.

    Attributes:
        history: what it says.
        checkpoint: of all of it.
        leaves: the entries' lines.
        roots: root after each entry, 32 bytes.
        unsigned: entries at the end that no checkpoint covers.
        discarded: bytes at the end that are no whole line.
        whole: bytes before these.
        last: the last checkpoint, signed; None where the run ended before its first.
    """

    history: History
    checkpoint: Checkpoint
    leaves: tuple[bytes, ...]
    roots: tuple[bytes, ...]
    unsigned: int
    discarded: int
    whole: int
    last: Envelope | None

    def holds(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint is of a beginning of this ledger."""
        if not 1 <= checkpoint.size <= len(self.roots):
            return False
        return checkpoint.root == _digest(self.roots[checkpoint.size - 1])


def read_ledger(path: Path, key: PublicKey) -> ReadLedger:
    """Read a ledger that anyone may have written, and whose run may have been killed at any point.

    Args:
        path: its file.
        key: must have signed its checkpoints.

    Raises:
        EvidenceError: it was not written by a run: a line is none, an entry can't follow, a checkpoint is wrong.
    """
    data = read_bounded(path, MOST_LEDGER_BYTES)
    *lines, torn = data.split(b"\n")
    tree, history = GrowingTree(), History()
    leaves: list[bytes] = []
    roots: list[bytes] = []
    signed = 0
    last: Envelope | None = None
    for number, line in enumerate(lines, 1):
        try:
            value = strict_canonical_json(line)
            if isinstance(value, dict) and "kind" in value:
                entry = _entry(value)
                if signed < tree.size and not isinstance(entry, Resumed):
                    raise EvidenceError("the entry before has no checkpoint")
                tree.add(leaf_hash(line))
                leaves.append(line)
                roots.append(tree.root)
                history.add(entry, Checkpoint(tree.size, _digest(roots[-1])))
            else:
                last = Envelope.from_json(value)
                _check(last, key, history.run_id, tree)
                if signed == tree.size:
                    raise EvidenceError("the checkpoint is there twice")
                signed = tree.size
        except EvidenceError as error:
            raise EvidenceError(f"{path.name}:{number}: {error}") from error
    if not leaves:
        raise EvidenceError(f"{path.name}: holds no entry")
    checkpoint = Checkpoint(tree.size, _digest(tree.root))
    unsigned, whole = tree.size - signed, len(data) - len(torn)
    return ReadLedger(history, checkpoint, tuple(leaves), tuple(roots), unsigned, len(torn), whole, last)


def read_entry(line: bytes) -> Entry:
    """The entry that a line is.

    Raises:
        EvidenceError: it is none.
    """
    return _entry(strict_canonical_json(line))


def read_checkpoint(envelope: Envelope) -> tuple[str, Checkpoint]:
    """The run and the checkpoint in an envelope, whose signature is not checked.

    Raises:
        EvidenceError: there is none.
    """
    document = parsed(_CheckpointDocument, strict_canonical_json(envelope.payload))
    return document.run_id, Checkpoint(document.size, document.root)


def _entry(value: Any) -> Entry:
    try:
        return _ENTRY.validate_python(value)
    except ValidationError as error:
        raise EvidenceError(f"is not an entry: {first_problem(error)}") from None


def _check(envelope: Envelope, key: PublicKey, run_id: str, tree: GrowingTree) -> None:
    if envelope.payload_type != CHECKPOINT_TYPE:
        raise EvidenceError(f"the checkpoint's payload type is not {CHECKPOINT_TYPE}")
    if not envelope.signed_by(key):
        raise EvidenceError(f"the checkpoint is not signed by {key.key_id}")
    stated, checkpoint = read_checkpoint(envelope)
    if stated != run_id:
        raise EvidenceError(f"the checkpoint is of the run {stated}")
    if (checkpoint.size, checkpoint.root) != (tree.size, _digest(tree.root)):
        raise EvidenceError(
            f"the checkpoint is of {checkpoint.size} entries, and is not that of the {tree.size} before it: "
            "an entry was changed, added or taken away"
        )


class Ledger:
    """Writes a ledger; thread-safe. A context manager: lets go of its file."""

    def __init__(self, path: Path, descriptor: int, key: SigningKey, read: ReadLedger | None) -> None:
        self._path = path
        self._descriptor = descriptor
        self._key = key
        self._lock = threading.Lock()
        self._failed = False
        self._tree = GrowingTree()
        self._history = read.history if read else History()
        self._length = read.whole if read else 0
        for line in read.leaves if read else ():
            self._tree.add(leaf_hash(line))

    @classmethod
    def create(cls, folder: Path, key: SigningKey, run_id: str, plan: str) -> "Ledger":
        """Begin the ledger of a run.

        Args:
            folder: of the run.
            key: signs the checkpoints.
            run_id: the run's.
            plan: digest of its plan.

        Raises:
            EvidenceError: there is one already, or it can't be written.
        """
        path = folder / LEDGER
        ledger = cls(path, _open(path, os.O_CREAT | os.O_EXCL), key, None)
        try:
            ledger.append(Opened(at=now(), run_id=run_id, plan=plan))
            sync_folder(folder)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def reopen(cls, folder: Path, key: SigningKey) -> tuple["Ledger", ReadLedger]:
        """Go on with the ledger of a run that was interrupted; bytes at its end that are no whole line are removed.
        Where the run is closed, nothing is entered but a checkpoint that it may lack.

        Returns:
            The ledger, and what it held before.

        Raises:
            EvidenceError: it is not one of `key`'s, the run is still at work, or it can't be written.
        """
        path = folder / LEDGER
        descriptor = _open(path, 0)
        try:
            read = read_ledger(path, key.public)
            ledger = cls(path, descriptor, key, read)
            os.ftruncate(descriptor, read.whole)
            if read.history.closed:
                if read.unsigned:
                    ledger._write(ledger._checkpoint_line(read.checkpoint))
                return ledger, read
            at = max(now(), read.history.last)
            ledger.append(Resumed(at=at, by=_user(), discarded=read.discarded, unsigned=read.unsigned))
        except OSError as error:
            os.close(descriptor)
            raise EvidenceError(f"{path}: can't be written: {error.strerror}") from error
        except BaseException:
            os.close(descriptor)
            raise
        return ledger, read

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Harmless when called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def trial(self, name: str) -> "TrialLog":
        """Begin an attempt at a planned trial; another one where it was tried before and has no end.

        Raises:
            EvidenceError: it has its end, or the ledger can't be written.
        """
        earlier = self._history.attempts.get(name, [])
        if earlier:
            why = earlier[-1].why or f"the run ended after: {earlier[-1].kinds[-1]}"
            self.append(lambda at: Retried(at=at, trial=name, by=_user(), why=why))
        attempt = len(earlier) + 1
        checkpoint = self.append(lambda at: Started(at=at, trial=name, attempt=attempt))
        return TrialLog(self, name, attempt, checkpoint, self._history.attempts[name][-1].began)

    def adopt(self, name: str, verdict: Verdict, score: float | None, raw_score: float | None, bundle: str) -> None:
        """Enter a bundle that was sealed, though the run ended before the ledger could say so.

        Raises:
            EvidenceError: the trial was not about to be sealed, or came to something else.
        """
        attempt = self._history.attempts[name][-1]
        said = (attempt.verdict, attempt.score, attempt.raw_score)
        if attempt.kinds[-1] != "verdict" or said != (verdict, score, raw_score):
            raise EvidenceError(f"{name}: its bundle is not what the ledger says of it")
        self.append(lambda at: Sealed(at=at, trial=name, bundle=bundle, duration_ms=0))

    def finish(self) -> Checkpoint:
        """Close the run, where it is not closed. Raises EvidenceError where the ledger can't be written."""
        if self._history.closed:
            return Checkpoint(self._tree.size, _digest(self._tree.root))
        return self.append(lambda at: Closed(at=at))

    @property
    def history(self) -> History:
        """What it says so far."""
        return self._history

    def append(self, entry: Entry | Callable[[str], Entry]) -> Checkpoint:
        """Write an entry and its checkpoint, and see them on the disk.

        Args:
            entry: the entry, or what makes it of the time.

        Returns:
            The checkpoint that ends with it.

        Raises:
            EvidenceError: it can't follow, or can't be written.
        """
        with self._lock:
            if self._failed:
                raise EvidenceError(f"{self._path}: an entry before this one could not be written")
            if callable(entry):
                # A clock that is put back makes no entry older than the one before it.
                entry = entry(max(now(), self._history.last))
            line = canonical_json(entry.model_dump(mode="json"))
            tree = self._tree.with_leaf(leaf_hash(line))
            checkpoint = Checkpoint(tree.size, _digest(tree.root))
            self._history.add(entry, checkpoint)
            self._tree = tree
            self._write(line + b"\n" + self._checkpoint_line(checkpoint))
            return checkpoint

    def _checkpoint_line(self, checkpoint: Checkpoint) -> bytes:
        document = _CheckpointDocument(run_id=self._history.run_id, size=checkpoint.size, root=checkpoint.root)
        payload = canonical_json(document.model_dump(mode="json"))
        envelope = Envelope(payload, CHECKPOINT_TYPE, {}).with_signature(self._key)
        return canonical_json(envelope.to_json()) + b"\n"

    def _write(self, data: bytes) -> None:
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._length + written)
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._failed = True
            # What is not whole would be taken for the end of a run that was killed.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._length)
            raise EvidenceError(f"{self._path}: can't be written: {error.strerror}") from error
        self._length += len(data)


class TrialLog:
    """Where one attempt at a trial enters what happens to it. Methods raise EvidenceError where the ledger can't be
    written."""

    def __init__(self, ledger: Ledger, name: str, attempt: int, checkpoint: Checkpoint, began: str) -> None:
        """
        Args:
            ledger: the run's.
            name: the trial's.
            attempt: from 1.
            checkpoint: of the ledger that ends with the start of this attempt.
            began: when that was.
        """
        self._ledger = ledger
        self.name = name
        self.attempt = attempt
        self.checkpoint = checkpoint
        self.began = began

    def sandbox_made(self) -> None:
        """The agent's sandbox is there."""
        self._ledger.append(lambda at: SandboxMade(at=at, trial=self.name))

    def finished(self) -> None:
        """The agent's sandbox has ended."""
        self._ledger.append(lambda at: Finished(at=at, trial=self.name))

    def judged(self, verdict: Verdict, score: float | None, raw_score: float | None) -> None:
        """The verdict is known and nothing is signed yet."""
        self._ledger.append(
            lambda at: Judged(at=at, trial=self.name, verdict=verdict, score=score, raw_score=raw_score)
        )

    def sealed(self, bundle: str, duration_ms: int) -> None:
        """The bundle, by the digest of its statement, is in its place."""
        self._ledger.append(lambda at: Sealed(at=at, trial=self.name, bundle=bundle, duration_ms=duration_ms))

    def aborted(self, why: str, verdict: Verdict | None = None, score: float | None = None) -> None:
        """The attempt ended without a bundle; `verdict`: None where the trial has no end by that."""
        said = why.encode("utf-8", "backslashreplace").decode()[:_MOST_WHY]
        self._ledger.append(
            lambda at: Aborted(at=at, trial=self.name, verdict=verdict, score=score, raw_score=None, why=said)
        )


class StepLog(TrialLog):
    """Where a step enters what happens to it."""

    def __init__(self, trial: TrialLog, step: str) -> None:
        """
        Args:
            trial: the log of its trial.
            step: its name.
        """
        super().__init__(trial._ledger, trial.name, trial.attempt, trial.checkpoint, trial.began)
        self._step = step

    def judged(self, verdict: Verdict, score: float | None, raw_score: float | None) -> None:
        """The verdict of the step is known and nothing of it is signed yet."""
        self._ledger.append(
            lambda at: StepJudged(
                at=at, trial=self.name, step=self._step, verdict=verdict, score=score, raw_score=raw_score
            )
        )

    def sealed(self, bundle: str, duration_ms: int) -> None:
        """The bundle of the step, by the digest of its statement, is in its place."""
        self._ledger.append(lambda at: StepSealed(at=at, trial=self.name, step=self._step, bundle=bundle))


def _user() -> str:
    """Who asked, as far as the machine knows."""
    try:
        return (os.environ.get("SUDO_USER") or getpass.getuser())[:200]
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _digest(root: bytes) -> str:
    return f"sha256:{root.hex()}"


def _open(path: Path, more: int) -> int:
    """Open a ledger for this process alone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | more, 0o644)
    except OSError as error:
        raise EvidenceError(f"{path}: can't be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise EvidenceError(f"{path}: the run is still at work") from error
    return descriptor
