"""Publishing in a registry (``docs/registry.md``)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from affidavit.contracts.changes import ContractChange, Kind
from affidavit.contracts.contract import Contract, parse_contract
from affidavit.contracts.diff import diff_contracts
from affidavit.contracts.registry.errors import RegistryError
from affidavit.contracts.registry.log import (
    MOST_LOG_BYTES,
    ContractEntry,
    Entry,
    TreeHead,
    TrustEntry,
    entry_line,
)
from affidavit.contracts.registry.memory import remembered
from affidavit.contracts.registry.publication import check_head
from affidavit.contracts.registry.store import Snapshot
from affidavit.contracts.registry.view import MOST_OBJECT, View, object_digest, object_name, open_store
from affidavit.contracts.versions import is_release, precedence
from affidavit.signing import (
    Envelope,
    EvidenceError,
    SigningKey,
    Trust,
    canonical_json,
    now,
)


@dataclass(frozen=True)
class Published:
    """What publishing came to.

    Attributes:
        entry: of the log.
        index: its place in the log.
        is_new: False: it was there already and nothing was written.
    """

    entry: Entry
    index: int
    is_new: bool


def publish_contract(location: str, contract: Contract, key: SigningKey, trust: Trust | None = None) -> Published:
    """Publish a signed contract.

    Args:
        location: the registry's; one that is not there yet is made.
        contract: with its signatures.
        key: signs the tree head; one of the registry's trusted keys.
        trust: what a new registry begins with, or what the user trusts of one that is there.

    Raises:
        RegistryError: it is not signed as it must be, its version is taken or says less than its changes are, or the
            registry can't be used.
    """
    if contract.signature is None:
        raise RegistryError(f"{contract.id} {contract.version}: is not signed; run: affidavit contract sign")
    signature = contract.signature
    done: list[Published] = []

    def make(writing: "_Writing") -> None:
        done.clear()
        done.append(_add_contract(writing, contract, signature))

    _change(location, key, trust, make, trusted=trust)
    return done[0]


def publish_trust(location: str, key: SigningKey, trust: Trust) -> Published:
    """Publish the newer versions of the trust document that a registry has.

    Raises:
        RegistryError: they are not signed as they must be, don't come of the registry's, or it can't be used.
    """
    done: list[Published] = []

    def make(writing: "_Writing") -> None:
        added = writing.continue_trust(trust)
        done.clear()
        done.append(Published(writing.last_trust_entry(), len(writing.entries) - 1, added or writing.view is None))

    # The last head may be signed by a key that only the new version revokes: the registry's own trust is asked.
    _change(location, key, trust, make, trusted=None)
    return done[0]


class _Writing:
    """A registry, and what is to be added to it."""

    def __init__(self, location: str, view: View | None, trust: Trust) -> None:
        self.location = location
        self.view = view
        self.trust = view.trust if view else trust
        self.entries: list[Entry] = list(view.entries) if view else []
        self.files: dict[str, bytes] = {}
        self._lines: list[bytes] = list(view.lines) if view else []
        self._before = len(self._lines)
        if view is None:
            for number, envelope in enumerate(trust.envelopes):
                self._add_trust(trust.documents[number].version, envelope)

    @property
    def changed(self) -> bool:
        return len(self._lines) > self._before

    def at(self) -> str:
        """The time of a new entry: now, but never before the last one."""
        return max(now(), self.entries[-1].at) if self.entries else now()

    def put(self, data: bytes) -> str:
        """Add an object; its digest."""
        digest = object_digest(data)
        self.files[object_name(digest)] = data
        return digest

    def append(self, entry: Entry) -> int:
        """Add an entry; its place."""
        self.entries.append(entry)
        self._lines.append(entry_line(entry))
        return len(self.entries) - 1

    def _add_trust(self, version: int, envelope: Envelope) -> None:
        digest = self.put(canonical_json(envelope.to_json()))
        self.append(TrustEntry(at=self.at(), version=version, digest=digest))

    def continue_trust(self, trust: Trust) -> bool:
        """Add the versions that the registry does not have yet; whether there were any."""
        if not trust.continues(self.trust):
            raise RegistryError(f"{self.location}: the trust document does not continue the registry's")
        if missing := trust.missing():
            raise RegistryError(f"version {trust.current.version} of the trust document {missing}")
        known = len(self.trust.envelopes)
        for number, envelope in list(enumerate(trust.envelopes))[known:]:
            self._add_trust(trust.documents[number].version, envelope)
        self.trust = trust
        return len(trust.envelopes) > known

    def last_trust_entry(self) -> Entry:
        return next(entry for entry in reversed(self.entries) if isinstance(entry, TrustEntry))

    def sealed(self, key: SigningKey) -> Mapping[str, bytes]:
        """The files to write, the head last."""
        head = TreeHead.sign(self._lines, self.at(), key)
        try:
            check_head(head, self.trust)
        except EvidenceError:
            raise RegistryError(
                f"{self.location}: your key {key.key_id} is none of those that the registry trusts now; let one of "
                "their owners publish"
            ) from None
        log = b"".join(line + b"\n" for line in self._lines)
        if len(log) > MOST_LOG_BYTES:
            raise RegistryError(f"{self.location}: its log would be larger than {MOST_LOG_BYTES >> 20} MiB")
        return {**self.files, "index.json": _index(self.entries), "log.jsonl": log, "head.json": head.data()}


def _change(
    location: str, key: SigningKey, trust: Trust | None, make: Callable[[_Writing], None], trusted: Trust | None
) -> None:
    """Add to a registry; `trust` is what a new one begins with, `trusted` what one that is there is judged by."""
    store = open_store(location)

    def files(snapshot: Snapshot) -> Mapping[str, bytes]:
        view = None
        if snapshot.read("head.json", MOST_OBJECT) is not None or remembered(store.location) is not None:
            view = View(store.location, snapshot, trusted)
        elif trust is None:
            raise RegistryError(
                f"{store.location}: is a new registry; say who may sign in it, with --trust FILE (affidavit trust new)"
            )
        elif missing := trust.missing():
            raise RegistryError(f"version {trust.current.version} of the trust document {missing}")
        writing = _Writing(store.location, view, view.trust if view else trust)  # type: ignore[arg-type]
        make(writing)
        return writing.sealed(key) if writing.changed else {}

    store.change(files)
    with store.reading() as snapshot:
        # What we published ourselves is what we have seen.
        View(store.location, snapshot, trust)


def _add_contract(writing: _Writing, contract: Contract, signature: Envelope) -> Published:
    view = writing.view
    name = f"{contract.id}@{contract.version}"
    known = view.versions(contract.id) if view else {}
    existing = known.get((contract.id, contract.version))
    if existing is not None and view is not None:
        index, entry = existing
        if entry.digest != contract.digest:
            raise RegistryError(
                f"{writing.location}: {name} is published with another content ({entry.digest}) and never changes; "
                "give yours a new version"
            )
        there = view.signature(entry)
        signature = Envelope(there.payload, there.payload_type, {**signature.signatures, **there.signatures})
        if signature == there:
            return Published(entry, index, False)
    writing.trust.check(now())
    examined = writing.trust.examine(signature, now())
    if not examined.met:
        raise RegistryError(f"{name}: {examined}; see affidavit contract sign")
    if existing is None and view is not None:
        _check_version(view, contract, [(key[1], entry) for key, (_, entry) in known.items()])
    entry = ContractEntry(
        at=writing.at(),
        id=contract.id,
        version=contract.version,
        digest=writing.put(contract.document.canonical_bytes()),
        signatures=writing.put(canonical_json(signature.to_json())),
    )
    return Published(entry, writing.append(entry), True)


def _check_version(view: View, contract: Contract, known: Sequence[tuple[str, ContractEntry]]) -> None:
    """The version must say what changed since the release before it."""
    own = precedence(contract.version)
    for version, _ in known:
        if precedence(version) == own:
            raise RegistryError(
                f"{view.location}: {contract.id}@{version} is published, which is the same version as "
                f"{contract.version}: what follows '+' does not count"
            )
    lower = [one for one in known if is_release(one[0]) and precedence(one[0]) < own]
    if not lower:
        return
    version, entry = max(lower, key=lambda one: precedence(one[0]))
    found = diff_contracts(parse_contract(view.content(entry.digest), f"{contract.id}@{version}"), contract)
    if not found.fits:
        gravest = next(change for change in found.changes if _is_gravest(change.kind, found.changes))
        what = f"{gravest.place} {gravest.detail} ({gravest.kind})"
        raise RegistryError(
            f"{contract.id} {contract.version}: since {version}, {what}, so it needs version {found.least} "
            "or above; see affidavit contract diff"
        )


def _is_gravest(kind: str, changes: Sequence[ContractChange]) -> bool:
    order = [Kind.LOOSENING, Kind.TIGHTENING, Kind.NEUTRAL]
    return kind == min((change.kind for change in changes), key=order.index)


def _index(entries: Sequence[Entry]) -> bytes:
    """Where each version is, for people and tools that look something up; the log is what counts."""
    contracts: dict[str, dict[str, object]] = {}
    for number, entry in enumerate(entries):
        if isinstance(entry, ContractEntry):
            contracts.setdefault(entry.id, {})[entry.version] = {
                "entry": number,
                "digest": entry.digest,
                "signatures": entry.signatures,
            }
    return canonical_json({"schema": "affidavit.index/v1", "size": len(entries), "contracts": contracts})
