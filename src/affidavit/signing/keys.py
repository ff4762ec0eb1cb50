"""Signing keys: ed25519, as PEM files.

A key folder holds ``signing.pem`` (PKCS#8, mode 0600) and ``signing.pub.pem`` (SubjectPublicKeyInfo, RFC 8410). A key's
id is ``sha256:`` and the SHA-256, in hex, of the DER form of its SubjectPublicKeyInfo:
``openssl pkey -pubin -in signing.pub.pem -outform DER | sha256sum`` prints the same.
"""

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]

from affidavit.signing.errors import EvidenceError

PRIVATE_FILE = "signing.pem"
PUBLIC_FILE = "signing.pub.pem"

_MAX_BYTES = 64 << 10


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies.

    Attributes:
        key_id: ``sha256:`` and 64 hex digits.
        pem: SubjectPublicKeyInfo as PEM.
        verifier: the same as securesystemslib knows it.
    """

    key_id: str
    pem: str
    verifier: SSlibKey = field(repr=False, compare=False)


@dataclass(frozen=True)
class SigningKey:
    """A key that signs.

    Attributes:
        public: its other half.
        public_path: where that lies as a PEM file.
        signer: the key as securesystemslib knows it.
    """

    public: PublicKey
    public_path: Path
    signer: CryptoSigner = field(repr=False, compare=False)

    @property
    def key_id(self) -> str:
        """The public key's id."""
        return self.public.key_id


def _public(key: Ed25519PublicKey) -> PublicKey:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    key_id = "sha256:" + hashlib.sha256(key.public_bytes(serialization.Encoding.DER, spki)).hexdigest()
    pem = key.public_bytes(serialization.Encoding.PEM, spki).decode()
    return PublicKey(key_id, pem, SSlibKey.from_crypto(key, keyid=key_id))


def _signing(key: Ed25519PrivateKey, folder: Path) -> SigningKey:
    public = _public(key.public_key())
    return SigningKey(public, folder / PUBLIC_FILE, CryptoSigner(key, public.verifier))


def keys_dir() -> Path:
    """Where the user's keys are: $AFFIDAVIT_KEYS, else affidavit/keys under $XDG_CONFIG_HOME or ~/.config."""
    if chosen := os.environ.get("AFFIDAVIT_KEYS"):
        return Path(chosen)
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "affidavit" / "keys"


def new_key(folder: Path) -> SigningKey:
    """Make a key and write both halves into `folder`, which is made (mode 0700) where it is not there.

    Raises:
        EvidenceError: a key is there already (it is never overwritten), or the folder can't be written to.
    """
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = _signing(private, folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _place(folder / PRIVATE_FILE, pem, 0o600)
        # A public half without its private one is of a key that is gone.
        (folder / PUBLIC_FILE).unlink(missing_ok=True)
        _place(folder / PUBLIC_FILE, key.public.pem.encode(), 0o644)
    except FileExistsError:
        raise EvidenceError(f"{folder / PRIVATE_FILE}: a key already exists; move it away first") from None
    except OSError as error:
        raise EvidenceError(f"{folder}: a key can't be written there: {error.strerror}") from error
    return key


def _place(path: Path, data: bytes, mode: int) -> None:
    """Write a whole file under a name that is free. Raises FileExistsError where it is not."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.link(temporary, path)
    finally:
        temporary.unlink()


def load_key(folder: Path) -> SigningKey:
    """The signing key in a folder.

    Raises:
        EvidenceError: there is none, others may read it, or it is not an unencrypted ed25519 key.
    """
    path = folder / PRIVATE_FILE
    if not path.exists():
        raise EvidenceError(f"{path}: there is no signing key; make one with: affidavit keys new --keys {folder}")
    data, mode = _read(path)
    if mode & 0o077:
        raise EvidenceError(f"{path}: others may read this private key; run: chmod 600 {path}")
    try:
        private = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise EvidenceError(f"{path}: is not an unencrypted private key in PEM form") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise EvidenceError(f"{path}: is not an ed25519 key; make one with: affidavit keys new")
    return _signing(private, folder)


def load_or_make_key(folder: Path) -> tuple[SigningKey, bool]:
    """The signing key in a folder, and whether it was made just now.

    Raises:
        EvidenceError: as `load_key` and `new_key`.
    """
    if not (folder / PRIVATE_FILE).exists():
        try:
            return new_key(folder), True
        except EvidenceError:
            # Another process may have made one in the meantime.
            if not (folder / PRIVATE_FILE).exists():
                raise
    return load_key(folder), False


def load_public_key(source: Path | str | bytes) -> PublicKey:
    """A public key.

    Args:
        source: its PEM file, or the PEM text itself.

    Raises:
        EvidenceError: it can't be read or is not an ed25519 public key.
    """
    if isinstance(source, Path):
        name, data = str(source), _read(source)[0]
    else:
        name, data = "the key", source.encode() if isinstance(source, str) else source
    if b"PRIVATE KEY" in data:
        raise EvidenceError(f"{name}: is a private key; give the public one ({PUBLIC_FILE})")
    key = None
    with suppress(ValueError, TypeError):
        key = serialization.load_pem_public_key(data)
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceError(f"{name}: is not an ed25519 public key in PEM form")
    return _public(key)


def _read(path: Path) -> tuple[bytes, int]:
    """A file's content and permission bits."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise EvidenceError(f"{path}: is not a key file")
        return os.read(descriptor, _MAX_BYTES), stat.S_IMODE(status.st_mode)
    finally:
        os.close(descriptor)
