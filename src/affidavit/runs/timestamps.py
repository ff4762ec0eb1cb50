"""Time from outside: time-stamp tokens (RFC 3161) on a plan and on the statement of a run.

What is stamped is the document's envelope with the signature of the run's key alone, so that others may add theirs
later. A file ``.tsr`` is the authority's answer in DER, as ``openssl ts -reply`` reads it.
"""

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from affidavit.signing import Envelope, EvidenceError, canonical_json, read_bounded

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

PLAN_TOKEN = "plan.tsr"
RUN_TOKEN = "run.tsr"

_MOST_BYTES = 1 << 20
_PATIENCE_S = 30.0
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def stamped_message(envelope: Envelope, signer: str) -> bytes:
    """What is stamped: the envelope with the one signature of `signer`.

    Raises:
        EvidenceError: it has none.
    """
    if (signature := envelope.signatures.get(signer)) is None:
        raise EvidenceError(f"has no signature of {signer}")
    only = Envelope(envelope.payload, envelope.payload_type, {signer: signature})
    return canonical_json(only.to_json())


def request_timestamp(url: str, envelope: Envelope, signer: str) -> bytes:
    """Ask a time-stamping authority for a token; nothing but a digest is sent.

    Args:
        url: the authority's, ``http://`` or ``https://`` (RFC 3161, 3.4).
        envelope: what is stamped, by the signature of `signer`.
        signer: id of the key.

    Returns:
        The authority's answer in DER.

    Raises:
        EvidenceError: it can't be reached, does not stamp, or answers something else.
    """
    import httpx
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    if not url.lower().startswith(("http://", "https://")):
        raise EvidenceError(f"--timestamp {url}: must begin with http:// or https://")
    message = stamped_message(envelope, signer)
    request = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).build()
    try:
        headers = {"Content-Type": "application/timestamp-query"}
        with httpx.stream(
            "POST", url, content=request.as_bytes(), headers=headers, timeout=_PATIENCE_S, follow_redirects=False
        ) as answer:
            answer.raise_for_status()
            data = b""
            for block in answer.iter_bytes():
                data += block
                if len(data) > _MOST_BYTES:
                    raise EvidenceError(f"--timestamp {url}: the answer is larger than {_MOST_BYTES} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EvidenceError(f"--timestamp {url}: no time stamp: {error or type(error).__name__}") from error
    try:
        _checked(data, message)
        if _decoded(data).tst_info.nonce != request.nonce:
            raise EvidenceError("its nonce is not that of the request")
    except EvidenceError as error:
        raise EvidenceError(f"--timestamp {url}: {error}") from error
    return data


def check_timestamp(
    path: Path, envelope: Envelope, signer: str, authorities: Sequence["Certificate"]
) -> tuple[str, bool]:
    """Check a token offline.

    Args:
        path: its file.
        envelope: what it must be for.
        signer: id of the key whose signature was stamped.
        authorities: certificates that are trusted; without any, only what is stamped is checked.

    Returns:
        The time in it, and whether one of the authorities vouches for it.

    Raises:
        EvidenceError: it is for something else, or none of the authorities made it.
    """
    data = read_bounded(path, _MOST_BYTES)
    try:
        message = stamped_message(envelope, signer)
        at = _checked(data, message)
        if authorities:
            _verify(data, message, authorities)
    except EvidenceError as error:
        raise EvidenceError(f"{path.name}: {error}") from error
    return at, bool(authorities)


def token_beside(plan: Path) -> Path:
    """Where the token of a plan that is not yet run lies."""
    return plan.with_name(f"{plan.name}.tsr")


def load_certificates(path: Path) -> list["Certificate"]:
    """The certificates in a PEM file.

    Raises:
        EvidenceError: there is none.
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(read_bounded(path, _MOST_BYTES))
    except ValueError as error:
        raise EvidenceError(f"{path}: holds no certificate in PEM form") from error


def _decoded(data: bytes) -> "TimeStampResponse":
    from rfc3161_client import decode_timestamp_response

    try:
        return decode_timestamp_response(data)
    except ValueError as error:
        raise EvidenceError(f"is not an answer of a time-stamping authority: {error}") from error


def _checked(data: bytes, message: bytes) -> str:
    """The time of a token that is for a message; who made it is not checked."""
    from rfc3161_client import PKIStatus

    answer = _decoded(data)
    if PKIStatus(answer.status) not in (PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS):
        raise EvidenceError(f"the authority did not stamp: {PKIStatus(answer.status).name}")
    imprint = answer.tst_info.message_imprint.message
    if not secrets.compare_digest(imprint, hashlib.sha256(message).digest()):
        raise EvidenceError("the time stamp is for something else")
    return str(answer.tst_info.gen_time.strftime(_FORMAT))


def _verify(data: bytes, message: bytes, authorities: Sequence["Certificate"]) -> None:
    from rfc3161_client import VerificationError, VerifierBuilder

    builder = VerifierBuilder()
    for certificate in dict.fromkeys(authorities):
        builder = builder.add_root_certificate(certificate)
    try:
        builder.build().verify_message(_decoded(data), message)
    except VerificationError as error:
        raise EvidenceError(f"none of the authorities given made this time stamp: {error}") from error
