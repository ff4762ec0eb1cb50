"""A counter-signature under a bundle: somebody else's signed statement that its grades come out the same again.

An in-toto Statement v1 whose subject is the bundle's signed statement. It lies beside the bundle, in a folder
``reproductions``, a file for each key, so that the bundle stays as it was signed.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from affidavit.evidence.bundle import MOST_STATEMENT_BYTES, STATEMENT, BundleReader
from affidavit.evidence.statement import IN_TOTO, STATEMENT_TYPE, TaskFacts
from affidavit.signing import (
    Envelope,
    EvidenceError,
    SigningKey,
    canonical_json,
    read_bounded,
    read_envelope,
    strict_canonical_json,
    write_whole,
)

REPRODUCTIONS = "reproductions"
REPRODUCTION_PREDICATE = "urn:affidavit:reproduction:v1"

_SUFFIX = ".dsse.json"
_MOST_FILES = 64
_MOST_BYTES = 1 << 20


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow")


class ReproducedGrade(_Facts):
    """One grader.

    Attributes:
        how: ``run again``: its tests ran again; ``asked again``: it was computed again from the evidence and the task;
            ``as signed``: a model's or a human's word, which nobody asked for again.
        score: from 0 to 1, as it came out here, or as signed; None where there is none.
    """

    name: str
    kind: str
    how: Literal["run again", "asked again", "as signed"]
    score: float | None


class ReproductionFacts(_Facts):
    """The predicate. More fields may stand beside these; they are signed like the rest.

    Attributes:
        run_id, trial, agent, task, verdict, score, raw_score: as the bundle says, and as they came out again.
        assurance: what stands behind the score from now on.
        graders: all of them, in the task's order.
        at: when.
        affidavit, runtime, recorder, kernel, machine: what it was done with.
        rootfs: digest of the root file system; `same_rootfs`: whether it is the trial's.
        new_services: whether the tests reached services of the task that began anew, not those that the agent left.
    """

    run_id: str
    trial: int = Field(ge=0)
    agent: str
    task: TaskFacts
    verdict: str
    score: float | None
    raw_score: float | None
    assurance: Literal["reproduced"] = "reproduced"
    graders: list[ReproducedGrade] = Field(min_length=1)
    at: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
    affidavit: str
    runtime: str
    recorder: str
    kernel: str
    machine: str
    rootfs: str
    same_rootfs: bool
    new_services: bool = False


@dataclass(frozen=True)
class Reproduction:
    """A counter-signature, whose signature need not be good.

    Attributes:
        name: of its file.
        envelope: signed.
        bundle: bare hex of the SHA-256 of the bundle's statement.
        facts: the predicate.
    """

    name: str
    envelope: Envelope
    bundle: str
    facts: ReproductionFacts


def reproductions_folder(bundle: Path) -> Path:
    """Where the counter-signatures of a bundle lie."""
    return bundle.parent / REPRODUCTIONS


def write_reproduction(bundle: Path, facts: ReproductionFacts, key: SigningKey) -> Path:
    """Counter-sign a bundle; an earlier counter-signature by the same key is replaced.

    Args:
        bundle: its folder.
        facts: what came out.
        key: signs.

    Returns:
        The file.

    Raises:
        EvidenceError: the bundle has no statement, or the file can't be written.
    """
    with BundleReader(bundle) as reader:
        digest = hashlib.sha256(reader.read(STATEMENT, MOST_STATEMENT_BYTES)).hexdigest()
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": STATEMENT, "digest": {"sha256": digest}}],
        "predicateType": REPRODUCTION_PREDICATE,
        "predicate": facts.model_dump(),
    }
    envelope = Envelope(canonical_json(statement), IN_TOTO, {}).with_signature(key)
    folder = reproductions_folder(bundle.absolute())
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise EvidenceError(f"{folder}: can't be written: {error.strerror}") from error
    path = folder / f"{key.key_id.removeprefix('sha256:')[:16]}{_SUFFIX}"
    write_whole(path, canonical_json(envelope.to_json()))
    return path


def read_reproductions(bundle: Path) -> Iterator[Reproduction | tuple[str, str]]:
    """The counter-signatures of a bundle, which anyone may have written: of each file what it says, or its name and
    what is wrong with it.

    Raises:
        EvidenceError: the folder is something else, or holds more than 64 files.
    """
    folder = reproductions_folder(bundle.absolute())
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise EvidenceError(f"{REPRODUCTIONS}: is no folder")
    names = sorted(entry.name for entry in os.scandir(folder))
    if len(names) > _MOST_FILES:
        raise EvidenceError(f"{REPRODUCTIONS}: holds more than {_MOST_FILES} files")
    for name in names:
        try:
            yield _read(folder / name)
        except EvidenceError as error:
            yield name, str(error)


def _read(path: Path) -> Reproduction:
    if path.is_symlink():
        raise EvidenceError("is a symbolic link")
    if not path.name.endswith(_SUFFIX):
        raise EvidenceError("does not belong there")
    envelope = read_envelope(read_bounded(path, _MOST_BYTES))
    if envelope.payload_type != IN_TOTO:
        raise EvidenceError(f"its payload type is not {IN_TOTO}")
    match strict_canonical_json(envelope.payload):
        case {
            "_type": str(kind),
            "predicateType": str(predicate_type),
            "subject": [{"name": str(subject), "digest": {"sha256": str(digest)}}],
            "predicate": dict(predicate),
        } if (kind, predicate_type, subject) == (STATEMENT_TYPE, REPRODUCTION_PREDICATE, STATEMENT):
            try:
                return Reproduction(path.name, envelope, digest, ReproductionFacts.model_validate(predicate))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                raise EvidenceError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    raise EvidenceError(f"is no in-toto Statement v1 of type {REPRODUCTION_PREDICATE} on a {STATEMENT}")
