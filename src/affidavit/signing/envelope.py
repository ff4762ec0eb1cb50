"""DSSE version 1 envelopes with ed25519 signatures.

DSSE: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, version 1.0.

`sign` writes the canonical JSON (RFC 8785) of ``{"payload", "payloadType", "signatures": [{"keyid", "sig"}]}`` and
nothing more, not even a line end: what is signed has one spelling only, so any changed byte shows.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from securesystemslib.dsse import Envelope as DsseEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Signature  # type: ignore[attr-defined]

from affidavit.signing.canonical import canonical_json, strict_canonical_json
from affidavit.signing.errors import EvidenceError
from affidavit.signing.keys import PublicKey, SigningKey

MOST_SIGNATURES = 64

_SIGNATURE_BYTES = 64
_KEY_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Envelope:
    """An envelope; its signatures need not be good.

    Attributes:
        payload: the signed bytes.
        payload_type: their media type, signed too.
        signatures: 64 bytes by the id of the key that is said to have signed.
    """

    payload: bytes
    payload_type: str
    signatures: Mapping[str, bytes]

    @property
    def key_id(self) -> str:
        """The key that is said to have signed; the first, by its id, where there are several."""
        return min(self.signatures)

    def signed_by(self, key: PublicKey) -> bool:
        """Whether one of the signatures is `key`'s over payload and payload type."""
        if (raw := self.signatures.get(key.key_id)) is None:
            return False
        envelope = DsseEnvelope(self.payload, self.payload_type, {key.key_id: Signature(key.key_id, raw.hex())})
        try:
            envelope.verify([key.verifier], threshold=1)
        except VerificationError:
            return False
        return True

    def with_signature(self, key: SigningKey) -> "Envelope":
        """The same with a signature by `key`, in place of one that it has by that key."""
        envelope = DsseEnvelope(self.payload, self.payload_type, {})
        signature = bytes.fromhex(envelope.sign(key.signer).signature)
        return Envelope(self.payload, self.payload_type, {**self.signatures, key.key_id: signature})

    def to_json(self) -> dict[str, Any]:
        """As it stands in a file; the signatures in the order of their keys' ids."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": key_id, "sig": base64.b64encode(raw).decode()}
                for key_id, raw in sorted(self.signatures.items())
            ],
        }

    @classmethod
    def from_json(cls, value: Any) -> "Envelope":
        """The envelope that a JSON value is.

        Raises:
            EvidenceError: it is none, has no signature, two by one key, or more than 64.
        """
        fields = _object(value, "payload", "payloadType", "signatures")
        signatures = fields["signatures"]
        if not isinstance(signatures, list) or not 1 <= len(signatures) <= MOST_SIGNATURES:
            raise EvidenceError(f"does not hold 1 to {MOST_SIGNATURES} signatures")
        if not isinstance(fields["payloadType"], str):
            raise EvidenceError("payloadType is not text")
        found: dict[str, bytes] = {}
        for entry in signatures:
            signature = _object(entry, "keyid", "sig")
            key_id = signature["keyid"]
            if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
                raise EvidenceError("keyid is not sha256: and 64 hex digits")
            raw = _base64(signature["sig"], "sig")
            if len(raw) != _SIGNATURE_BYTES:
                raise EvidenceError(f"the signature is {len(raw)} bytes long, not {_SIGNATURE_BYTES}")
            if key_id in found:
                raise EvidenceError(f"{key_id} signs twice")
            found[key_id] = raw
        return cls(_base64(fields["payload"], "payload"), fields["payloadType"], found)


def sign(payload: bytes, payload_type: str, key: SigningKey) -> bytes:
    """The file of an envelope with one signature."""
    return canonical_json(Envelope(payload, payload_type, {}).with_signature(key).to_json())


def read_envelope(data: bytes) -> Envelope:
    """The envelope in a file, with one signature.

    Raises:
        EvidenceError: the file is not byte for byte what `sign` writes for some content.
    """
    envelope = Envelope.from_json(strict_canonical_json(data))
    if len(envelope.signatures) != 1:
        raise EvidenceError("does not hold exactly one signature")
    return envelope


def _object(value: Any, *names: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        raise EvidenceError(f"an object does not hold exactly {', '.join(names)}")
    return value


def _base64(text: Any, name: str) -> bytes:
    """Standard base64 in its one canonical spelling: padded, no spare bits set, no other characters."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        data = None
    if data is None or base64.b64encode(data).decode() != text:
        raise EvidenceError(f"{name} is not canonical base64")
    return data
