# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as kubeadm and etcd make them, made here by the `cryptography` package."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

UTC = datetime.timezone.utc
BORN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DIES = datetime.datetime(2036, 1, 2, 3, 4, 5, tzinfo=UTC)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> str:
        encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
        return self.key.private_bytes(encoding, layout, serialization.NoEncryption()).decode()

    def issue(
        self,
        common_name: str | x509.Name | None = "test",
        *,
        address: str | None = None,
        not_before: datetime.datetime = BORN,
        not_after: datetime.datetime = DIES,
        key: Key | None = None,
        organizations: tuple[str, ...] = ("tests",),
        purpose: x509.ObjectIdentifier | None = None,
    ) -> Identity:
        """A leaf signed by this authority; with ``address`` one that serves there, with ``purpose`` for that alone."""
        return _sign(
            _name(common_name, organizations),
            self.certificate.subject,
            key or ec_key(),
            self.key,
            not_before,
            not_after,
            address=address,
            purpose=purpose,
        )

    def write(self, folder: Path, name: str) -> None:
        """As ``NAME.crt`` and ``NAME.key``."""
        (folder / f"{name}.crt").write_text(self.pem, encoding="ascii")
        (folder / f"{name}.key").write_text(self.key_pem, encoding="ascii")


def authority(
    common_name: str | None = "kubernetes",
    *,
    key: Key | None = None,
    not_before: datetime.datetime = BORN,
    not_after: datetime.datetime = DIES,
) -> Identity:
    """A CA of its own."""
    name, key = _name(common_name), key or ec_key()
    return _sign(name, name, key, key, not_before, not_after, is_ca=True)


def intermediate(root: Identity, common_name: str) -> Identity:
    """A CA that another one has signed."""
    key = ec_key()
    return _sign(_name(common_name), root.certificate.subject, key, root.key, BORN, DIES, is_ca=True)


def _name(common_name: str | x509.Name | None, organizations: tuple[str, ...] = ("tests",)) -> x509.Name:
    if isinstance(common_name, x509.Name):
        return common_name
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    common = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    return x509.Name([*groups, *common])


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    signer: Key,
    not_before: datetime.datetime,
    not_after: datetime.datetime,
    *,
    is_ca: bool = False,
    address: str | None = None,
    purpose: x509.ObjectIdentifier | None = None,
) -> Identity:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if address:
        names = [x509.IPAddress(ipaddress.ip_address(address))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if purpose:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return Identity(builder.sign(signer, hashes.SHA256()), key)
