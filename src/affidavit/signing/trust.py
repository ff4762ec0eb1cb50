"""Who may sign: keys with their validity, how many of them it takes, and how both change (``docs/registry.md``).

A trust document names keys and a threshold; each version of it is signed, by a threshold of the keys of the version
before and by a threshold of its own, as root metadata of The Update Framework is
(https://theupdateframework.github.io/specification/latest/, 5.3). Its file is a JSON array of DSSE envelopes, oldest
version first, so that who trusts any of them can follow to the last.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from affidavit.errors import first_problem
from affidavit.signing.canonical import canonical_json, strict_canonical_json, strict_json
from affidavit.signing.envelope import MOST_SIGNATURES, Envelope
from affidavit.signing.errors import EvidenceError
from affidavit.signing.files import read_bounded
from affidavit.signing.keys import PublicKey, SigningKey, load_public_key
from affidavit.signing.times import now, point_in_time

TRUST_TYPE = "application/vnd.affidavit.trust+json"

_MOST_BYTES = 4 << 20
_MOST_VERSIONS = 512


class State(StrEnum):
    """What a signature is worth."""

    GOOD = "good"
    UNKNOWN = "unknown key"
    BAD = "does not fit the content"
    EARLY = "key not valid yet"
    EXPIRED = "key expired"
    REVOKED = "key revoked"


@dataclass(frozen=True)
class Signed:
    """One signature, examined.

    Attributes:
        key_id: who is said to have signed.
        state: what it is worth.
        name: what the trust document calls the key; None where it has no name for it.
        detail: a few words more; empty where there is nothing to say.
    """

    key_id: str
    state: State
    name: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"{self.key_id}{name}: {self.state}{f', {self.detail}' if self.detail else ''}"


@dataclass(frozen=True)
class Examination:
    """The signatures of an envelope, examined.

    Attributes:
        signatures: all of them, by key id.
        threshold: how many good ones it takes.
    """

    signatures: tuple[Signed, ...]
    threshold: int

    @property
    def good(self) -> tuple[str, ...]:
        """The ids of the keys whose signatures are good."""
        return tuple(signed.key_id for signed in self.signatures if signed.state is State.GOOD)

    @property
    def met(self) -> bool:
        """Whether there are as many good ones as it takes."""
        return len(self.good) >= self.threshold

    def __str__(self) -> str:
        rest = "; ".join(str(signed) for signed in self.signatures if signed.state is not State.GOOD)
        return f"{len(self.good)} of {self.threshold} good signatures{f' ({rest})' if rest else ''}"


def _time(text: str) -> str:
    try:
        if point_in_time(text) == text:
            return text
    except EvidenceError as error:
        raise ValueError(str(error)) from None
    raise ValueError(f"must be a time such as 2026-12-31T23:59:59Z, not {text!r}")


Time = Annotated[str, AfterValidator(_time)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)


class Revocation(_Strict):
    """That a key is not to be trusted, from when on it may have been in wrong hands, and why."""

    since: Time
    reason: str = Field(max_length=500)


class TrustedKey(_Strict):
    """A key.

    Attributes:
        public: SubjectPublicKeyInfo as PEM.
        name: of its owner.
        valid_from, until: the first and the last second in which it may sign; None: no bound.
        revoked: None where it is not.
    """

    public: str = Field(max_length=4096)
    name: str | None = Field(default=None, max_length=200)
    valid_from: Annotated[Time | None, Field(alias="from")] = None
    until: Time | None = None
    revoked: Revocation | None = None

    @cached_property
    def key(self) -> PublicKey:
        """The same as a key that verifies."""
        return load_public_key(self.public)

    def state(self, at: str) -> tuple[State, str]:
        """What a signature made, as far as can be known, at a point in time is worth."""
        if self.revoked is not None and at >= self.revoked.since:
            return State.REVOKED, f"since {self.revoked.since}: {self.revoked.reason}"
        if self.valid_from is not None and at < self.valid_from:
            return State.EARLY, f"from {self.valid_from}"
        if self.until is not None and at > self.until:
            return State.EXPIRED, f"on {self.until}"
        return State.GOOD, ""


class TrustDocument(_Strict):
    """Who may sign.

    Attributes:
        version: from 1, one more with each change.
        issued: when this version was made.
        expires: after that it says nothing any more and a newer one is needed; None: never.
        threshold: how many good signatures it takes.
        keys: by id.
    """

    schema_: Annotated[Literal["affidavit.trust/v1"], Field(alias="schema")] = "affidavit.trust/v1"
    version: int = Field(ge=1, le=_MOST_VERSIONS)
    issued: Time
    expires: Time | None = None
    threshold: int = Field(ge=1, le=MOST_SIGNATURES)
    keys: dict[str, TrustedKey] = Field(min_length=1, max_length=MOST_SIGNATURES)

    @model_validator(mode="after")
    def _fits(self) -> "TrustDocument":
        for key_id, key in self.keys.items():
            try:
                found = key.key.key_id
            except EvidenceError as error:
                raise ValueError(f"{key_id}: {error}") from None
            if found != key_id:
                raise ValueError(f"{key_id}: its public key is {found}")
        usable = sum(key.revoked is None for key in self.keys.values())
        if usable < self.threshold:
            raise ValueError(f"the threshold is {self.threshold}, but only {usable} of its keys are not revoked")
        return self

    @classmethod
    def of(cls, keys: Iterable[PublicKey], threshold: int = 1) -> "TrustDocument":
        """Plain trust in some keys, whatever the time.

        Raises:
            EvidenceError: there are fewer than `threshold`.
        """
        known = {key.key_id: {"public": key.pem} for key in keys}
        return cls.read(
            {"schema": "affidavit.trust/v1", "version": 1, "issued": now(), "threshold": threshold, "keys": known}
        )

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "TrustDocument":
        """A document from plain values.

        Raises:
            EvidenceError: something is wrong in it.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise EvidenceError(f"trust document: {first_problem(error)}") from None

    def payload(self) -> bytes:
        """What is signed: the canonical form."""
        return canonical_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """As plain values, without what is not said."""
        return self.model_dump(mode="json", exclude_none=True)

    def examine(self, envelope: Envelope, at: str) -> Examination:
        """What the signatures of an envelope are worth.

        Args:
            envelope: signed.
            at: a time at which the signatures are known to have been there.
        """
        return Examination(
            tuple(self._examined(envelope, key_id, at) for key_id in sorted(envelope.signatures)), self.threshold
        )

    def _examined(self, envelope: Envelope, key_id: str, at: str) -> Signed:
        if (known := self.keys.get(key_id)) is None:
            return Signed(key_id, State.UNKNOWN)
        if not envelope.signed_by(known.key):
            return Signed(key_id, State.BAD, known.name)
        state, detail = known.state(at)
        return Signed(key_id, state, known.name, detail)


@dataclass(frozen=True)
class Trust:
    """All versions of a trust document, oldest first, each signed as it must be; the last may be on its way to that.

    Attributes:
        envelopes: signed.
        documents: what they say.
    """

    envelopes: tuple[Envelope, ...]
    documents: tuple[TrustDocument, ...]

    @property
    def current(self) -> TrustDocument:
        """The last version."""
        return self.documents[-1]

    @classmethod
    def start(cls, document: TrustDocument, key: SigningKey) -> "Trust":
        """A first version, signed by `key`."""
        return cls((Envelope(document.payload(), TRUST_TYPE, {}).with_signature(key),), (document,))

    @classmethod
    def from_json(cls, value: Any) -> "Trust":
        """The trust that a JSON array of envelopes is.

        Raises:
            EvidenceError: it is none, or a version but the last lacks signatures that it must have.
        """
        if not isinstance(value, list) or not 1 <= len(value) <= _MOST_VERSIONS:
            raise EvidenceError("is not a trust file: no array of 1 to 512 envelopes")
        envelopes = tuple(Envelope.from_json(entry) for entry in value)
        documents = tuple(_document(envelope) for envelope in envelopes)
        trust = cls(envelopes, documents)
        for index, document in enumerate(documents):
            before = documents[index - 1] if index else None
            if before is not None and (document.version != before.version + 1 or document.issued < before.issued):
                raise EvidenceError(f"version {document.version} does not follow version {before.version}")
            if index + 1 < len(documents) and (missing := trust.missing(index)):
                raise EvidenceError(f"version {document.version}: {missing}")
        return trust

    def missing(self, index: int = -1) -> str:
        """Why a version is not signed as it must be; empty where it is."""
        index %= len(self.documents)
        document, envelope = self.documents[index], self.envelopes[index]
        authorities = [("its own keys", document)]
        if index:
            authorities.append((f"the keys of version {self.documents[index - 1].version}", self.documents[index - 1]))
        for whose, authority in authorities:
            signatures = authority.examine(envelope, document.issued).signatures
            # Whoever revokes says that the key was in wrong hands: it may change nothing here, whenever it signed.
            good = [s for s in signatures if s.state is State.GOOD and authority.keys[s.key_id].revoked is None]
            if len(good) < authority.threshold:
                return f"has {len(good)} of the {authority.threshold} signatures that it needs by {whose}"
        return ""

    def changed(self, document: TrustDocument, key: SigningKey) -> "Trust":
        """With a further version, signed by `key`.

        Raises:
            EvidenceError: the last version still lacks signatures.
        """
        if missing := self.missing():
            raise EvidenceError(f"version {self.current.version} {missing}: finish or discard it first")
        envelope = Envelope(document.payload(), TRUST_TYPE, {}).with_signature(key)
        return Trust((*self.envelopes, envelope), (*self.documents, document))

    def countersigned(self, key: SigningKey) -> "Trust":
        """With a signature of `key` under the last version."""
        return Trust((*self.envelopes[:-1], self.envelopes[-1].with_signature(key)), self.documents)

    def to_json(self) -> list[dict[str, Any]]:
        """As it stands in a file."""
        return [envelope.to_json() for envelope in self.envelopes]

    def data(self) -> bytes:
        """The content of its file."""
        return json.dumps(self.to_json(), indent=1).encode() + b"\n"

    def continues(self, older: "Trust | Sequence[bytes]") -> bool:
        """Whether `older` (or the payloads of its versions) is a beginning of this."""
        payloads = [envelope.payload for envelope in older.envelopes] if isinstance(older, Trust) else list(older)
        return [envelope.payload for envelope in self.envelopes][: len(payloads)] == payloads

    def examine(self, envelope: Envelope, at: str) -> Examination:
        """What signatures that are known to have been there at a point in time are worth.

        How many it takes says the version that was in force then; what became of a key since, the newest that lists it.
        One that is listed no more was good until then.
        """
        in_force = [document for document in self.documents if document.issued <= at] or [self.documents[0]]
        keys: dict[str, TrustedKey] = {}
        for document in self.documents:
            for key_id, key in keys.items():
                if key_id not in document.keys and (key.until is None or key.until > document.issued):
                    keys[key_id] = key.model_copy(update={"until": document.issued})
            keys |= document.keys
        return in_force[-1].model_copy(update={"keys": keys}).examine(envelope, at)

    def check(self, at: str) -> TrustDocument:
        """The last version, complete and in force.

        Raises:
            EvidenceError: it lacks signatures or has expired.
        """
        if missing := self.missing():
            raise EvidenceError(f"version {self.current.version} of the trust document {missing}")
        if self.current.expires is not None and at > self.current.expires:
            raise EvidenceError(
                f"version {self.current.version} of the trust document expired on {self.current.expires}; "
                "get a newer one"
            )
        return self.current


def read_trust(source: Path | bytes) -> Trust:
    """The trust in a file.

    Raises:
        EvidenceError: it can't be read or is none.
    """
    name = str(source) if isinstance(source, Path) else "trust.json"
    data = read_bounded(source, _MOST_BYTES) if isinstance(source, Path) else source
    try:
        return Trust.from_json(strict_json(data))
    except EvidenceError as error:
        raise EvidenceError(f"{name}: {error}") from error


def _document(envelope: Envelope) -> TrustDocument:
    if envelope.payload_type != TRUST_TYPE:
        raise EvidenceError(f"an envelope's payload type is not {TRUST_TYPE}")
    value = strict_canonical_json(envelope.payload)
    if not isinstance(value, dict):
        raise EvidenceError("an envelope holds no trust document")
    document = TrustDocument.read(value)
    if document.payload() != envelope.payload:
        raise EvidenceError("a trust document is not spelled in its one way")
    return document
