"""The log of a registry: one line an entry, under a signed head of the Merkle tree over the lines.

A line is the canonical JSON of an entry; the leaf that it is in the tree of RFC 6962 is the line without its line end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from affidavit.contracts.fields import ContractId, Version
from affidavit.contracts.registry.errors import RegistryError
from affidavit.errors import first_problem
from affidavit.signing import (
    Envelope,
    EvidenceError,
    SigningKey,
    canonical_json,
    leaf_hash,
    merkle_root,
    strict_canonical_json,
)

HEAD_TYPE = "application/vnd.affidavit.tree-head+json"
MOST_LOG_BYTES = 256 << 20

_Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
_Time = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)


class TrustEntry(_Strict):
    """That a version of the trust document holds from here on; `digest` is of its envelope."""

    kind: Literal["trust"] = "trust"
    at: _Time
    version: int
    digest: _Digest


class ContractEntry(_Strict):
    """That a version of a contract was published: the digests of its canonical form and of its signatures' envelope."""

    kind: Literal["contract"] = "contract"
    at: _Time
    id: ContractId
    version: Version
    digest: _Digest
    signatures: _Digest


Entry = TrustEntry | ContractEntry
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


class _HeadDocument(_Strict):
    schema_: Annotated[Literal["affidavit.tree-head/v1"], Field(alias="schema")] = "affidavit.tree-head/v1"
    at: _Time
    size: Annotated[int, Field(ge=1)]
    root: _Digest


@dataclass(frozen=True)
class TreeHead:
    """The head of the tree over the log.

    Attributes:
        size: entries.
        root: of the tree, 32 bytes.
        at: when it was signed.
        envelope: signed.
    """

    size: int
    root: bytes
    at: str
    envelope: Envelope

    @classmethod
    def sign(cls, lines: Sequence[bytes], at: str, key: SigningKey) -> "TreeHead":
        """A new head over the lines of a log."""
        root = merkle_root(leaf_hash(line) for line in lines)
        document = _HeadDocument(at=at, size=len(lines), root=f"sha256:{root.hex()}")
        payload = canonical_json(document.model_dump(mode="json"))
        return cls(len(lines), root, at, Envelope(payload, HEAD_TYPE, {}).with_signature(key))

    @classmethod
    def from_json(cls, value: Any) -> "TreeHead":
        """The head in an envelope, whose signature is not yet checked.

        Raises:
            EvidenceError: there is none.
        """
        envelope = Envelope.from_json(value)
        if envelope.payload_type != HEAD_TYPE:
            raise EvidenceError(f"the tree head's payload type is not {HEAD_TYPE}")
        try:
            document = _HeadDocument.model_validate(strict_canonical_json(envelope.payload))
        except ValidationError as error:
            raise EvidenceError(f"is not a tree head: {first_problem(error)}") from None
        return cls(document.size, bytes.fromhex(document.root[7:]), document.at, envelope)

    def data(self) -> bytes:
        """The content of ``head.json``."""
        return canonical_json(self.envelope.to_json())


def read_entry(line: bytes) -> Entry:
    """The entry that a line of the log is.

    Raises:
        EvidenceError: it is none.
    """
    try:
        return _ENTRY.validate_python(strict_canonical_json(line))
    except ValidationError as error:
        raise EvidenceError(f"is not an entry: {first_problem(error)}") from None


def entry_line(entry: Entry) -> bytes:
    """The line of an entry, without its line end."""
    return canonical_json(entry.model_dump(mode="json"))


def split_log(data: bytes, size: int, location: str) -> list[bytes]:
    """The first `size` lines of a log; what follows them is of somebody who was interrupted.

    Raises:
        RegistryError: there are fewer.
    """
    lines = data.split(b"\n", size)[:size]
    if len(lines) < size or data.count(b"\n") < size:
        raise RegistryError(f"{location}: log.jsonl has fewer entries than its head says ({size})")
    return lines
