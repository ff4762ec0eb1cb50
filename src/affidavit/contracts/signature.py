"""Signatures of contracts: ed25519 over a DSSE envelope whose payload is the canonical form.

DSSE: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, version 1.0.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]

from affidavit.contracts.document import ContractDocument
from affidavit.contracts.errors import ContractError

PAYLOAD_TYPE = "application/vnd.affidavit.contract+json"
_MAX_BYTES = 4 << 20
_MAX_SIGNATURES = 64


def signature_path(contract: Path) -> Path:
    """Where the signature of a contract lies: ``contract.sig.json`` beside ``contract.yaml``."""
    return contract.with_name(contract.stem + ".sig.json")


def sign_contract(document: ContractDocument, key: Ed25519PrivateKey, key_id: str) -> dict[str, Any]:
    """The content of ``contract.sig.json``.

    Args:
        document: what is signed.
        key: who signs.
        key_id: how the key is called in the envelope.
    """
    envelope = Envelope(document.canonical_bytes(), PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), key_id)))
    signed: dict[str, Any] = envelope.to_dict()
    return signed


def check_signature(
    document: ContractDocument, path: Path, keys: Mapping[str, Ed25519PublicKey]
) -> tuple[str | None, str | None]:
    """Who of the known keys' owners signed a contract.

    Args:
        document: the contract.
        path: its signature's file.
        keys: the known public keys by id.

    Returns:
        The id of the key, None where there are no keys to check with; and a warning, None where there is none.

    Raises:
        ContractError: it is no envelope, signs something else, or none of the known keys verifies it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ContractError(f"{path}: can't be read: {error.strerror}") from error
    try:
        content = json.loads(data)
        if len(data) > _MAX_BYTES or len(content["signatures"]) > _MAX_SIGNATURES:
            raise ValueError("it is too large")
        envelope = Envelope.from_dict(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ContractError(f"{path}: is no DSSE envelope; sign the contract again") from error
    if envelope.payload_type != PAYLOAD_TYPE or envelope.payload != document.canonical_bytes():
        raise ContractError(
            f"{path}: does not sign this contract: one of the two was changed afterwards; sign it again or restore it"
        )
    if not keys:
        return None, f"{path.name}: no public key is known to check the signature with"
    known: list[Key] = [SSlibKey.from_crypto(key, key_id) for key_id, key in keys.items()]
    try:
        accepted = envelope.verify(known, 1)
    except VerificationError as error:
        signers = ", ".join(sorted(envelope.signatures)) or "nobody"
        raise ContractError(f"{path}: no known key verifies it (signed by {signers[:300]})") from error
    return next(iter(accepted)), None
