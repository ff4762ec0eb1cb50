"""What shows, without the registry, that a version of a contract was published in it: kept in every bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affidavit.contracts.registry.log import ContractEntry, TreeHead, entry_line, read_entry
from affidavit.signing import (
    Envelope,
    EvidenceError,
    Examination,
    Trust,
    canonical_json,
    leaf_hash,
    verify_inclusion,
)

SCHEMA = "affidavit.publication/v1"
_MOST_PROOF = 64


@dataclass(frozen=True)
class Publication:
    """A published version of a contract, with its proof.

    Attributes:
        location: of the registry, as whoever made this says.
        entry: of the log.
        index: the entry's place in the log, from 0.
        proof: that it is in the tree, RFC 6962, 2.1.1.
        head: of the tree.
        trust: the registry's.
    """

    location: str
    entry: ContractEntry
    index: int
    proof: tuple[bytes, ...]
    head: TreeHead
    trust: Trust

    def to_json(self) -> dict[str, Any]:
        """As it stands in a bundle."""
        return {
            "schema": SCHEMA,
            "location": self.location,
            "entry": self.entry.model_dump(mode="json"),
            "index": self.index,
            "proof": [node.hex() for node in self.proof],
            "head": self.head.envelope.to_json(),
            "trust": self.trust.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any) -> "Publication":
        """What `to_json` made; nothing of it is checked yet.

        Raises:
            EvidenceError: it is none.
        """
        match value:
            case {
                "schema": str(schema),
                "location": str(location),
                "entry": dict(entry),
                "index": int(index),
                "proof": list(proof),
                "head": head,
                "trust": trust,
            } if schema == SCHEMA and len(value) == 7 and not isinstance(index, bool) and len(proof) <= _MOST_PROOF:
                read = read_entry(canonical_json(entry))
                if isinstance(read, ContractEntry):
                    nodes = tuple(_node(node) for node in proof)
                    return cls(location, read, index, nodes, TreeHead.from_json(head), Trust.from_json(trust))
        raise EvidenceError("is not a proof of a publication")

    def check(self, contract: Mapping[str, str], signature: Envelope, trusted: Trust | None = None) -> Examination:
        """Check that a contract was published, and signed by whom it must be.

        Args:
            contract: its ``id``, ``version`` and ``digest``.
            signature: its signatures.
            trusted: the trust that the user has, from which the registry's must come or the other way round; the
                registry's own where None, which proves no more than that all of it fits together.

        Returns:
            What the signatures are worth at the time of the entry: they were there then.

        Raises:
            EvidenceError: something does not fit.
        """
        entry, head = self.entry, self.head
        for name in ("id", "version", "digest"):
            if getattr(entry, name) != contract[name]:
                raise EvidenceError(f"the published {name} is {getattr(entry, name)}, not {contract[name]}")
        leaf = leaf_hash(entry_line(entry))
        if not verify_inclusion(head.root, leaf, self.index, head.size, self.proof):
            raise EvidenceError("the proof does not lead from the entry to the tree head")
        trust = self.trust if trusted is None else newer(trusted, self.trust)
        if missing := self.trust.missing():
            raise EvidenceError(f"version {self.trust.current.version} of the registry's trust document {missing}")
        check_head(head, trust)
        examined = trust.examine(signature, entry.at)
        if not examined.met:
            raise EvidenceError(f"the contract has {examined}")
        return examined


def check_head(head: TreeHead, trust: Trust) -> str:
    """The id of the trusted key that signed a tree head.

    Raises:
        EvidenceError: none did.
    """
    examined = trust.examine(head.envelope, head.at)
    if not examined.good:
        raise EvidenceError(f"the tree head is signed by no trusted key ({examined})")
    return examined.good[0]


def newer(one: Trust, other: Trust) -> Trust:
    """The one of two trusts that came of the other.

    Raises:
        EvidenceError: neither did.
    """
    if one.continues(other):
        return one
    if other.continues(one):
        return other
    raise EvidenceError(
        "the registry's trust document does not come of the one that is trusted, nor the other way round"
    )


def _node(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) != 64:
        raise EvidenceError("a proof's node is not 64 hex digits")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise EvidenceError("a proof's node is not 64 hex digits") from None
