# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap tokens and certificate keys, as kubeadm and the API server understand them.

Sources: staging/src/k8s.io/cluster-bootstrap/token/api and cmd/kubeadm/app/phases/copycerts of Kubernetes 1.20.
"""

from __future__ import annotations

import base64
import datetime
import re
import secrets
from dataclasses import dataclass, field

from .https_json import Document

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_CA_HASH = re.compile(r"sha256:[0-9a-f]{64}", re.IGNORECASE)
# As Secrets of tokens say when they end (RFC 3339, UTC).
TIME = "%Y-%m-%dT%H:%M:%SZ"
_GROUP = "system:bootstrappers:kubeadm:default-node-token"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
# Where kubeadm uploads the shared certificates: one place for all runs there are.
UPLOADED = f"{SECRETS}/kubeadm-certs"
_UPLOADED_FOR = "kubeadm.ha/token-id"


@dataclass(frozen=True)
class Token:
    """A bootstrap token; its id is public, its secret is not."""

    id: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}"

    @property
    def path(self) -> str:
        """Where its Secret lives in the API."""
        return f"{SECRETS}/bootstrap-token-{self.id}"


def new_token() -> Token:
    """A fresh random token."""
    return Token(_random(6), _random(16))


def parse_token(text: str) -> Token:
    """Read ``id.secret``.

    Raises:
        ValueError: malformed; the message does not repeat the text, which may be nearly a secret.
    """
    match = _TOKEN.fullmatch(text)
    if match is None:
        foreign, dots = sum(1 for character in text if character not in f"{_ALPHABET}."), text.count(".")
        raise ValueError(
            f"bootstrap token: found {len(text)} characters with {dots} dots, and {foreign} neither a dot nor "
            "of a-z and 0-9; wanted six characters, a dot and sixteen characters of a-z and 0-9. Take token "
            "from what join_credentials returned."
        )
    return Token(*match.groups())


def check_ca_hash(text: str) -> None:
    """Refuse what cannot be a discovery hash; it pins the cluster's CA and is no secret.

    Raises:
        ValueError: not ``sha256:`` and 64 hexadecimal digits.
    """
    if _CA_HASH.fullmatch(text) is None:
        raise ValueError(
            f"discovery hash: found {text!r}, wanted sha256: and 64 hexadecimal digits. Take ca_hash from what "
            "join_credentials returned."
        )


def token_secret(token: Token, expires: datetime.datetime, description: str) -> Document:
    """The Secret that makes a token valid for joining until ``expires`` (UTC)."""
    values = {
        "token-id": token.id,
        "token-secret": token.secret,
        "expiration": expires.strftime(TIME),
        "description": description,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": _GROUP,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{token.id}", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def expiration(secret: Document | None) -> datetime.datetime:
    """When the token of this Secret ends: never where it does not say, and long ago where there is no Secret."""
    if secret is None:
        return datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)
    try:
        text = base64.b64decode(secret["data"]["expiration"]).decode()
        return datetime.datetime.strptime(text, TIME).replace(tzinfo=datetime.timezone.utc)
    except KeyError:
        return datetime.datetime.max.replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)


def uploaded_for(uploaded: Document) -> str | None:
    """The id of the token with which these uploaded certificates go; None where nobody has said."""
    return (uploaded["metadata"].get("annotations") or {}).get(_UPLOADED_FOR)


def upload_for(uploaded: Document, token_id: str) -> Document:
    """The same certificates, said to go with this token."""
    metadata = uploaded["metadata"]
    annotations = {**(metadata.get("annotations") or {}), _UPLOADED_FOR: token_id}
    return {**uploaded, "metadata": {**metadata, "annotations": annotations}}


def new_certificate_key() -> str:
    """A fresh AES-256 key in hex, as ``kubeadm certs certificate-key`` makes them."""
    return secrets.token_hex(32)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _index in range(length))
