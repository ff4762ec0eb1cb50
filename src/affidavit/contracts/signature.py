"""Signatures of contracts: DSSE envelopes over the canonical form, by one key or several."""

from pathlib import Path

from affidavit.contracts.document import ContractDocument
from affidavit.contracts.errors import ContractError
from affidavit.signing import Envelope, EvidenceError, SigningKey, read_bounded, strict_json

PAYLOAD_TYPE = "application/vnd.affidavit.contract+json"
_MAX_BYTES = 4 << 20


def signature_path(contract: Path) -> Path:
    """Where the signature of a contract lies: ``contract.sig.json`` beside ``contract.yaml``."""
    return contract.with_name(contract.stem + ".sig.json")


def sign_contract(document: ContractDocument, key: SigningKey, beside: Envelope | None = None) -> Envelope:
    """The content of ``contract.sig.json``.

    Args:
        document: what is signed.
        key: who signs.
        beside: signatures of the same content that are there already.
    """
    envelope = beside or Envelope(document.canonical_bytes(), PAYLOAD_TYPE, {})
    return envelope.with_signature(key)


def read_signature(data: bytes, name: str, document: ContractDocument) -> Envelope:
    """The signatures of a contract, not yet examined.

    Args:
        data: the content of their file.
        name: the file's, for errors.
        document: the contract.

    Raises:
        ContractError: it is no envelope, or signs something else.
    """
    try:
        envelope = Envelope.from_json(strict_json(data))
    except EvidenceError as error:
        raise ContractError(f"{name}: is not a DSSE envelope ({error}); sign the contract again") from error
    if envelope.payload_type != PAYLOAD_TYPE or envelope.payload != document.canonical_bytes():
        raise ContractError(
            f"{name}: does not sign this contract: one of the two was changed afterwards; sign it again or restore it"
        )
    return envelope


def load_signature(contract: Path, document: ContractDocument) -> Envelope | None:
    """The signatures beside a contract's file; None where there are none.

    Raises:
        ContractError: as `read_signature`, or the file can't be read.
    """
    path = signature_path(contract)
    if not path.exists():
        return None
    try:
        data = read_bounded(path, _MAX_BYTES)
    except EvidenceError as error:
        raise ContractError(str(error)) from error
    return read_signature(data, str(path), document)
