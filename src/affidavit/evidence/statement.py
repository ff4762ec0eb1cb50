"""What is signed: an in-toto Statement v1 over every file of a bundle, with the facts of the trial as its predicate."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from affidavit.errors import first_problem
from affidavit.signing import EvidenceError, canonical_json, strict_canonical_json

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:affidavit:trial:v1"

_DIGEST = r"^sha256:[0-9a-f]{64}$"
_HEX = re.compile(r"[0-9a-f]{64}")
# A name in a bundle: no empty part, none that begins with a dot, so neither ``..`` nor a hidden file.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){0,3}")
_MOST_BYTES = 1 << 53


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow")


class TaskFacts(_Facts):
    """Which task."""

    id: str
    digest: str = Field(pattern=_DIGEST)


class ContractFacts(_Facts):
    """Which contract; `signed_by` is the id of the key that signed it, None where none did; `published` says where it
    is in the log of a registry, None where it was a file."""

    id: str
    version: str
    digest: str = Field(pattern=_DIGEST)
    signed_by: str | None
    published: dict[str, str | int] | None = None


class TraceFacts(_Facts):
    """What a trace comes to: its number of events and the root of the Merkle tree over its leaves."""

    events: int = Field(ge=0)
    events_per_leaf: int = Field(gt=0)
    merkle_root: str = Field(pattern=_DIGEST)


class TrialFacts(_Facts):
    """The predicate. More fields may stand beside these; they are signed like the rest."""

    run_id: str
    trial: int = Field(ge=0)
    agent: str
    task: TaskFacts
    contract: ContractFacts
    verdict: Literal["pass", "fail", "violation", "inconclusive", "error"]
    score: float | None
    raw_score: float | None
    traces: dict[str, TraceFacts]


@dataclass(frozen=True)
class File:
    """A file of a bundle: its SHA-256 in hex, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Statement:
    """A statement.

    Attributes:
        files: by name, every file of the bundle but the statement's own.
        facts: the predicate.
    """

    files: Mapping[str, File]
    facts: TrialFacts

    def payload(self) -> bytes:
        """The bytes to sign. Raises EvidenceError where a fact has no canonical JSON form."""
        subjects = [
            {"name": name, "digest": {"sha256": file.sha256}, "annotations": {"size": file.size}}
            for name, file in sorted(self.files.items())
        ]
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": subjects,
                "predicateType": PREDICATE_TYPE,
                "predicate": self.facts.model_dump(),
            }
        )


def file_name(name: str) -> str:
    """`name` itself, when it may stand in a bundle.

    Raises:
        EvidenceError: it may not: it is absolute, has ``..`` or a hidden part, an odd character, or is too long.
    """
    if not _NAME.fullmatch(name):
        raise EvidenceError(f"{name[:200]!r} is not a valid name for a file in a bundle")
    return name


def trial_facts(predicate: object) -> TrialFacts:
    """The predicate, checked.

    Raises:
        EvidenceError: a fact is missing or of the wrong type.
    """
    try:
        return TrialFacts.model_validate(predicate)
    except ValidationError as error:
        raise EvidenceError(first_problem(error)) from error


def read_statement(payload: bytes) -> Statement:
    """The statement in a payload.

    Raises:
        EvidenceError: it is not a statement of this kind, or two of its files have the same name.
    """
    value = strict_canonical_json(payload)
    if not isinstance(value, dict) or set(value) != {"_type", "subject", "predicateType", "predicate"}:
        raise EvidenceError("is not an in-toto statement")
    if value["_type"] != STATEMENT_TYPE or value["predicateType"] != PREDICATE_TYPE:
        raise EvidenceError(f"is not an in-toto Statement v1 of type {PREDICATE_TYPE}")
    subjects = value["subject"]
    if not isinstance(subjects, list) or not subjects:
        raise EvidenceError("names no file")
    files: dict[str, File] = {}
    for subject in subjects:
        name, file = _subject(subject)
        if name in files:
            raise EvidenceError(f"names {name} twice")
        files[name] = file
    return Statement(files, trial_facts(value["predicate"]))


def _subject(subject: Any) -> tuple[str, File]:
    match subject:
        case {"name": str(name), "digest": {"sha256": str(digest)}, "annotations": {"size": int(size)}} if (
            len(subject) == 3 and _HEX.fullmatch(digest) and not isinstance(size, bool) and 0 <= size <= _MOST_BYTES
        ):
            return file_name(name), File(digest, size)
    raise EvidenceError("names a file without its sha256 and size")
