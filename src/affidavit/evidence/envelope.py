"""DSSE version 1 envelopes with one ed25519 signature, exact to the byte.

The file holds the canonical JSON (RFC 8785) of ``{"payload", "payloadType", "signatures": [{"keyid", "sig"}]}`` and
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

from affidavit.evidence.canonical import canonical_json, strict_canonical_json
from affidavit.evidence.errors import EvidenceError
from affidavit.evidence.keys import PublicKey, SigningKey

IN_TOTO = "application/vnd.in-toto+json"

_SIGNATURE_BYTES = 64
_KEY_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Envelope:
    """An envelope as read; its signature is not yet verified.

    Attributes:
        payload: the signed bytes.
        payload_type: their media type, signed too.
        key_id: the key that is said to have signed.
        signature: 64 bytes.
    """

    payload: bytes
    payload_type: str
    key_id: str
    signature: bytes

    def signed_by(self, key: PublicKey) -> bool:
        """Whether the signature is `key`'s over payload and payload type."""
        signature = Signature(self.key_id, self.signature.hex())
        envelope = DsseEnvelope(self.payload, self.payload_type, {self.key_id: signature})
        try:
            envelope.verify([key.verifier], threshold=1)
        except VerificationError:
            return False
        return True


def sign(payload: bytes, payload_type: str, key: SigningKey) -> bytes:
    """The file of a signed envelope."""
    envelope = DsseEnvelope(payload, payload_type, {})
    envelope.sign(key.signer)
    return canonical_json(envelope.to_dict())


def read_envelope(data: bytes) -> Envelope:
    """The envelope in a file.

    Raises:
        EvidenceError: the file is not byte for byte what `sign` writes for some content.
    """
    value = strict_canonical_json(data)
    fields = _object(value, "payload", "payloadType", "signatures")
    signatures = fields["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise EvidenceError("does not hold exactly one signature")
    signature = _object(signatures[0], "keyid", "sig")
    payload_type, key_id = fields["payloadType"], signature["keyid"]
    if not isinstance(payload_type, str):
        raise EvidenceError("payloadType is no text")
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise EvidenceError("keyid is not sha256: and 64 hex digits")
    raw = _base64(signature["sig"], "sig")
    if len(raw) != _SIGNATURE_BYTES:
        raise EvidenceError(f"the signature is {len(raw)} bytes long, not {_SIGNATURE_BYTES}")
    return Envelope(_base64(fields["payload"], "payload"), payload_type, key_id, raw)


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
