"""A certificate authority that a sandbox trusts, made for it alone (RFC 5280)."""

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import ip_address
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Wide: a task may set its clock to any day.
_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_UNTIL = datetime(2099, 12, 31, tzinfo=UTC)
_MOST_CONTEXTS = 1000


@dataclass(frozen=True)
class Authority:
    """A certificate authority.

    Attributes:
        certificate: its own, in PEM.
        key: its private key, in PEM.
    """

    certificate: bytes
    key: bytes

    @classmethod
    def new(cls) -> Self:
        """One with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Affidavit verifier cache")])
        usage = {"crl_sign": True, "key_cert_sign": True, "digital_signature": True}
        certificate = (
            _builder(name, name, key.public_key(), key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(**usage), critical=True)
            .sign(key, SHA256())
        )
        return cls(certificate.public_bytes(Encoding.PEM), _pem(key))

    @cached_property
    def _contexts(self) -> dict[str, ssl.SSLContext]:
        return {}

    @cached_property
    def _leaf_key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    def context(self, host: str) -> ssl.SSLContext:
        """What a server needs that is to pass for a host."""
        if host not in self._contexts:
            if len(self._contexts) >= _MOST_CONTEXTS:
                self._contexts.clear()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # Never on a disk, where whoever serves could not read it either.
            descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_pem(self._leaf_key) + self._leaf(host) + self.certificate)
                file.flush()
                context.load_cert_chain(f"/proc/self/fd/{descriptor}")
            self._contexts[host] = context
        return self._contexts[host]

    def _leaf(self, host: str) -> bytes:
        own = x509.load_pem_x509_certificate(self.certificate)
        key = load_pem_private_key(self.key, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        try:
            name: x509.GeneralName = x509.IPAddress(ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        certificate = (
            _builder(own.subject, x509.Name([]), self._leaf_key.public_key(), key.public_key())
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM)


def _builder(
    issuer: x509.Name, subject: x509.Name, public: ec.EllipticCurvePublicKey, issuers: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuers), critical=False)
    )


def _usage(**granted: bool) -> x509.KeyUsage:
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: granted.get(name, False) for name in every})


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
