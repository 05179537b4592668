# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs whose private keys are made here and never travel."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig, user_access
from ansible_collections.kubeadm.ha.plugins.module_utils import x509 as identity
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID
except ImportError as error:
    CRYPTOGRAPHY_MISSING: ImportError | None = error
else:
    CRYPTOGRAPHY_MISSING = None

# Clocks of controller and cluster may be apart by so much without a certificate seeming to live too long.
CLOCKS_APART = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Owner:
    """Whose kubeconfig it is, and where it is kept.

    Attributes:
        name: the user, as the API server knows it.
        path: the file.
        groups: the user's groups.
        days: how long a certificate may live; None leaves it to the cluster.
    """

    name: str
    path: str
    groups: tuple[str, ...] = ()
    days: int | None = None


class ActionModule(ActionBase):
    """See plugins/modules/kubeconfigs.py for what it takes and returns."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(
            argument_spec={
                "path": {"type": "path", "required": True},
                "endpoint": {"type": "str", "required": True},
                "ca_hash": {"type": "str"},
                "cluster": {"type": "str", "default": "kubernetes"},
                "user": {"type": "str", "default": user_access.ADMIN},
                "users": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {
                        "name": {"type": "str", "required": True},
                        "groups": {"type": "list", "elements": "str"},
                        "days": {"type": "int"},
                        "path": {"type": "path"},
                        "bindings": {"type": "list", "elements": "dict"},
                    },
                },
                "user_bindings": {"type": "list", "elements": "dict", "default": []},
                "renew_days": {"type": "int", "default": 30},
            },
        )
        if CRYPTOGRAPHY_MISSING:
            raise AnsibleActionFail(str(_without_cryptography(CRYPTOGRAPHY_MISSING)))
        server = f"https://{options['endpoint']}"
        owners = _owners(options)
        if any(os.path.realpath(owner.path) == os.path.realpath(options["path"]) for owner in owners[1:]):
            raise AnsibleActionFail(
                f"path: found {options['path']} for the administrator and for a user, wanted one of its own for each. "
                "Change one."
            )
        reasons = {
            owner: reason
            for owner in owners
            if (reason := _reason_to_renew(owner, server, options["ca_hash"], options["renew_days"]))
        }
        bind, unbind = user_access.decide(
            map(user_access.Bound.from_dict, options["user_bindings"]), user_access.wanted_bindings(options["users"])
        )
        result.update(
            path=options["path"],
            changed=bool(reasons or bind or unbind),
            reasons={owner.name: reason for owner, reason in reasons.items()},
            diff=[_shown(owner.path, "", f"{reason}\n") for owner, reason in reasons.items()],
        )
        if bind or unbind:
            result["diff"].append(_shown("bindings of users", _lines(unbind), _lines(bind)))
        for name in sorted({one.binding.user for one in unbind if one.binding} - {owner.name for owner in owners}):
            Display().warning(
                f"{name} is not in the list of users any more: the bindings go. A certificate cannot be taken back; it "
                "lets this name in until it ends, with the rights that others have bound to the name or its groups."
            )
        if not result["changed"]:
            return result
        keys = {owner: ec.generate_private_key(ec.SECP256R1()) for owner in reasons}
        signed = self._execute_module(
            module_name="kubeadm.ha.user_access",
            module_args={
                "requests": [
                    {"user": owner.name, "request": _request(key, owner), "days": owner.days}
                    for owner, key in keys.items()
                ],
                "bind_administrators": owners[0] in reasons,
                "bind": [
                    {"user": one.user, "cluster_role": one.cluster_role, "namespace": one.namespace} for one in bind
                ],
                "unbind": [{"name": one.name, "namespace": one.namespace} for one in unbind],
            },
            task_vars=task_vars,
        )
        if signed.get("failed") or signed.get("unreachable"):
            raise AnsibleActionFail(f"kubeconfigs: {signed.get('msg')}")
        if self._task.check_mode:
            return result
        for owner, key in keys.items():
            config = kubeconfig.Kubeconfig(server, signed["ca"], signed["certificates"][owner.name], _pem(key))
            _set_aside(owner, identity.parse(signed["ca"]).public_key_hash)
            rendered = kubeconfig.render(cluster=options["cluster"], user=owner.name, config=config)
            write_atomic(owner.path, rendered.encode(), 0o600)
        return result


def _without_cryptography(error: ImportError) -> Problem:
    return Problem(
        host="controller",
        subject="Python package cryptography",
        found=f"none by {sys.executable} ({error})",
        wanted="one, to make private keys",
        action="Install it for the Python that runs Ansible.",
    )


def _owners(options: Mapping[str, Any]) -> list[Owner]:
    """The administrator first, then the users."""
    folder = os.path.dirname(options["path"])
    return [
        Owner(options["user"], options["path"], (user_access.ADMINS,)),
        *(
            Owner(
                user["name"],
                user.get("path") or os.path.join(folder, f"{user['name']}.kubeconfig"),
                tuple(user.get("groups") or ()),
                user.get("days"),
            )
            for user in options["users"]
        ),
    ]


def _shown(subject: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": subject, "after_header": subject, "before": before, "after": after}


def _lines(found: list[Any]) -> str:
    return "".join(f"{one}\n" for one in found)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _request(key: ec.EllipticCurvePrivateKey, owner: Owner) -> str:
    """A signing request for this user and these groups."""
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in owner.groups]
    name = x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, owner.name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@dataclass(frozen=True)
class _Found:
    """A kubeconfig that there is, its CA, its client certificate, and whom that names."""

    config: kubeconfig.Kubeconfig
    authority: identity.Certificate
    certificate: identity.Certificate
    name: str
    groups: frozenset[str]


def _read(path: str) -> _Found | None:
    """What the file holds, or None where it is none of ours to judge."""
    text = read_text(path)
    try:
        config = kubeconfig.parse(text or "")
        subject = x509.load_pem_x509_certificate(config.certificate.encode()).subject
        groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        certificate = identity.parse(config.certificate)
        return _Found(
            config,
            identity.parse(config.ca),
            certificate,
            certificate.common_name,
            frozenset(str(group.value) for group in groups),
        )
    except ValueError:
        return None


def _reason_to_renew(owner: Owner, server: str, ca_hash: str | None, renew_days: int) -> str | None:
    if not os.path.exists(owner.path):
        return "there is none yet"
    found = _read(owner.path)
    if found is None:
        return "the file there is not a kubeconfig with a client certificate"
    if ca_hash is not None and found.authority.public_key_hash != ca_hash:
        return "the one there is of another cluster"
    if found.name != owner.name:
        return f"the one there is of user {found.name}"
    if found.groups != frozenset(owner.groups):
        return f"the one there is of a member of {', '.join(sorted(found.groups)) or 'no group'}"
    if found.config.server != server:
        return f"the one there names {found.config.server}"
    life = found.certificate.not_after - found.certificate.not_before
    left = found.certificate.not_after - datetime.datetime.now(datetime.timezone.utc)
    if left < min(datetime.timedelta(days=renew_days), life / 3):
        return f"its certificate ends in {left.days} days"
    if owner.days is not None and left > datetime.timedelta(days=owner.days) + CLOCKS_APART:
        return f"its certificate lives for {left.days} more days"
    return None


def _set_aside(owner: Owner, ca_hash: str) -> None:
    """Keep a file that is of another cluster, another user's, or not ours: no access is lost by a path used twice."""
    found = _read(owner.path)
    replaced = found is not None and found.authority.public_key_hash == ca_hash and found.name == owner.name
    if os.path.exists(owner.path) and not replaced:
        moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        Path(owner.path).replace(f"{owner.path}.{moment}")
