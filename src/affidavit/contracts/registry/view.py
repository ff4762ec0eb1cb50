"""A registry, read and checked."""

import hashlib
import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from affidavit.contracts.contract import Contract, parse_contract
from affidavit.contracts.errors import ContractError
from affidavit.contracts.registry.errors import RegistryError
from affidavit.contracts.registry.git import GitStore
from affidavit.contracts.registry.log import (
    MOST_LOG_BYTES,
    ContractEntry,
    Entry,
    TreeHead,
    TrustEntry,
    read_entry,
    split_log,
)
from affidavit.contracts.registry.memory import check_and_remember, remembered
from affidavit.contracts.registry.publication import Publication, check_head, newer
from affidavit.contracts.registry.store import FolderStore, Snapshot, Store
from affidavit.contracts.signature import read_signature
from affidavit.contracts.versions import precedence
from affidavit.signing import (
    Envelope,
    EvidenceError,
    Trust,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    now,
    strict_json,
)

MOST_OBJECT = 8 << 20
_REFERENCE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._/-]*)@([0-9A-Za-z.+-]+)")


def parse_reference(text: str) -> tuple[str, str]:
    """Id and version of ``ID@VERSION``.

    Raises:
        RegistryError: it is no such reference.
    """
    if match := _REFERENCE.fullmatch(text):
        return match[1], match[2]
    raise RegistryError(f"{text[:100]!r}: a published contract is named ID@VERSION, as in fix-the-parser@1.2.0")


class View:
    """A registry as it is at a moment: complete, signed, and consistent with what was seen of it before.

    Attributes:
        location: the registry's.
        head: signed.
        entries: of the log.
        lines: of the log, which the entries are.
        trust: the registry's.
        judging: the newer one of that and what the user trusts.
    """

    def __init__(self, location: str, snapshot: Snapshot, trusted: Trust | None) -> None:
        """
        Args:
            location: the registry's.
            snapshot: its files.
            trusted: the trust that the user has; None: what the registry says is believed on first use.

        Raises:
            RegistryError: there is no registry, or something in it is wrong.
        """
        self.location = location
        self._snapshot = snapshot
        data = snapshot.read("head.json", MOST_OBJECT)
        if data is None:
            if seen := remembered(location):
                raise RegistryError(f"{location}: the registry is gone: it had {seen.size} entries on {seen.when}")
            raise RegistryError(f"{location}: holds no registry (no head.json); publish something there first")
        try:
            self.head = TreeHead.from_json(strict_json(data))
        except EvidenceError as error:
            raise RegistryError(f"{location}: head.json: {error}") from error
        log = snapshot.read("log.jsonl", MOST_LOG_BYTES) or b""
        self.lines = split_log(log, self.head.size, location)
        if merkle_root(self.leaves) != self.head.root:
            raise RegistryError(f"{location}: log.jsonl does not fit head.json: an entry was changed")
        self.entries: list[Entry] = []
        for index, line in enumerate(self.lines):
            try:
                self.entries.append(read_entry(line))
            except EvidenceError as error:
                raise RegistryError(f"{location}: log.jsonl:{index + 1}: {error}") from error
        try:
            self.trust = self._trust()
            self.judging = self.trust if trusted is None else newer(trusted, self.trust)
            check_head(self.head, self.judging)
        except EvidenceError as error:
            raise RegistryError(f"{location}: {error}") from error
        self._check_versions()
        check_and_remember(location, self.head.size, self.head.root, self.leaves)

    @cached_property
    def leaves(self) -> list[bytes]:
        """The hashes of the entries."""
        return [leaf_hash(line) for line in self.lines]

    def _trust(self) -> Trust:
        envelopes = [self._json(entry.digest) for entry in self.entries if isinstance(entry, TrustEntry)]
        trust = Trust.from_json(envelopes)
        if missing := trust.missing():
            raise EvidenceError(f"version {trust.current.version} of its trust document {missing}")
        return trust

    def _check_versions(self) -> None:
        """No version was ever published with two contents, and time runs one way."""
        digests: dict[tuple[str, str], str] = {}
        before = ""
        for index, entry in enumerate(self.entries):
            if entry.at < before:
                raise RegistryError(f"{self.location}: log.jsonl:{index + 1}: is older than the entry before it")
            before = entry.at
            if isinstance(entry, ContractEntry):
                name = (entry.id, entry.version)
                if digests.setdefault(name, entry.digest) != entry.digest:
                    raise RegistryError(
                        f"{self.location}: log.jsonl:{index + 1}: {entry.id}@{entry.version} was published before with "
                        "another content; the registry is not to be trusted"
                    )

    def content(self, digest: str) -> bytes:
        """The content that has a digest.

        Raises:
            RegistryError: it is not there or was changed.
        """
        name = object_name(digest)
        data = self._snapshot.read(name, MOST_OBJECT)
        if data is None:
            raise RegistryError(f"{self.location}: {name} is missing")
        if object_digest(data) != digest:
            raise RegistryError(f"{self.location}: {name} was changed")
        return data

    def _json(self, digest: str) -> Any:
        return strict_json(self.content(digest))

    def versions(self, contract_id: str | None = None) -> dict[tuple[str, str], tuple[int, ContractEntry]]:
        """The last entry of each version, with its place in the log, by id and version."""
        return {
            (entry.id, entry.version): (index, entry)
            for index, entry in enumerate(self.entries)
            if isinstance(entry, ContractEntry) and contract_id in (None, entry.id)
        }

    def signature(self, entry: ContractEntry) -> Envelope:
        """The signatures of a published contract. Raises RegistryError."""
        try:
            return Envelope.from_json(self._json(entry.signatures))
        except EvidenceError as error:
            raise RegistryError(f"{self.location}: the signatures of {entry.id}@{entry.version}: {error}") from error

    def state(self, index: int) -> str:
        """What the signatures of an entry's contract are worth now; empty where it is none.

        Raises:
            RegistryError: an object of the entry is missing or was changed.
        """
        entry = self.entries[index]
        if not isinstance(entry, ContractEntry):
            return ""
        name = f"{self.location}: {entry.id}@{entry.version}"
        try:
            document = parse_contract(self.content(entry.digest), name).document
            signature = read_signature(self.content(entry.signatures), name, document)
        except ContractError as error:
            raise RegistryError(str(error)) from error
        if (document.id, document.version) != (entry.id, entry.version):
            raise RegistryError(f"{name}: is {document.id}@{document.version} under another name")
        return str(self.judging.examine(signature, entry.at))

    def contract(self, reference: str) -> Contract:
        """A published contract, whose signatures are good, with the proof that it is published.

        Raises:
            RegistryError: there is no such version, or it is not as it should be.
        """
        contract_id, version = parse_reference(reference)
        known = self.versions(contract_id)
        if (contract_id, version) not in known:
            there = ", ".join(sorted((name for _, name in known), key=precedence)) or "none of that id"
            raise RegistryError(f"{self.location}: has no {reference}; published: {there}")
        index, entry = known[contract_id, version]
        name = f"{self.location}: {reference}"
        try:
            contract = parse_contract(self.content(entry.digest), name)
            envelope = read_signature(self.content(entry.signatures), name, contract.document)
            publication = Publication(
                self.location, entry, index, tuple(inclusion_proof(self.leaves, index)), self.head, self.trust
            )
            facts = {"id": contract.id, "version": contract.version, "digest": contract.digest}
            self.judging.check(now())
            examined = publication.check(facts, envelope, self.judging)
        except (ContractError, EvidenceError) as error:
            raise RegistryError(f"{name}: {error}") from error
        return replace(contract, signature=envelope, examined=examined, publication=publication)


def open_store(location: str) -> Store:
    """The files of a registry: ``git+URL`` or a folder.

    Raises:
        RegistryError: it can't be one.
    """
    if location.startswith("git+"):
        return GitStore(location.removeprefix("git+"))
    if "://" in location or not location:
        raise RegistryError(f"--registry {location}: must be a folder, git+https://…, git+ssh://… or git+file:///…")
    return FolderStore(Path(location))


def registry_view(location: str, trusted: Trust | None = None) -> View:
    """A registry, checked; see `View`. Raises RegistryError."""
    store = open_store(location)
    with store.reading() as snapshot:
        return View(store.location, snapshot, trusted)


def published_contract(location: str, reference: str, trusted: Trust | None = None) -> Contract:
    """Get a contract out of a registry; see `View.contract`. Raises RegistryError."""
    store = open_store(location)
    with store.reading() as snapshot:
        return View(store.location, snapshot, trusted).contract(reference)


def object_name(digest: str) -> str:
    """The file of an object."""
    return f"objects/sha256/{digest.removeprefix('sha256:')}"


def object_digest(data: bytes) -> str:
    """``sha256:`` and the SHA-256 of an object."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
