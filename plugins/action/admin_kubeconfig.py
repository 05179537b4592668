# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An administrator's kubeconfig whose private key is made here and never travels."""

from __future__ import annotations

import datetime
import os
import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig
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

ADMINS = "kubeadm:cluster-admins"


class ActionModule(ActionBase):
    """See plugins/modules/admin_kubeconfig.py for what it takes and returns."""

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
                "user": {"type": "str", "default": "kubeadm-ha-admin"},
                "renew_days": {"type": "int", "default": 30},
            },
        )
        if CRYPTOGRAPHY_MISSING:
            raise AnsibleActionFail(str(_without_cryptography(CRYPTOGRAPHY_MISSING)))
        path, server = options["path"], f"https://{options['endpoint']}"
        reason = _reason_to_renew(path, server, options["ca_hash"], options["renew_days"])
        result.update(path=path, changed=reason is not None)
        if reason is None:
            return result
        result["reason"] = reason
        result["diff"] = {"before_header": path, "after_header": path, "before": "", "after": f"{reason}\n"}
        if self._task.check_mode:
            return result
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._execute_module(
            module_name="kubeadm.ha.client_certificate",
            module_args={"request": _request(key, options["user"])},
            task_vars=task_vars,
        )
        if signed.get("failed"):
            raise AnsibleActionFail(f"{path}: {signed.get('msg')}")
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        config = kubeconfig.Kubeconfig(server, signed["ca"], signed["certificate"], private)
        _set_aside(path, identity.parse(signed["ca"]).public_key_hash)
        rendered = kubeconfig.render(cluster=options["cluster"], user=options["user"], config=config)
        write_atomic(path, rendered.encode(), 0o600)
        return result


def _without_cryptography(error: ImportError) -> Problem:
    return Problem(
        host="controller",
        subject="Python package cryptography",
        found=f"none by {sys.executable} ({error})",
        wanted="one, to make the administrator's key",
        action="Install it for the Python that runs Ansible.",
    )


def _request(key: ec.EllipticCurvePrivateKey, user: str) -> str:
    """A signing request for an administrator.

    Its group is bound to its rights in the cluster and can be unbound, unlike system:masters.
    """
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, ADMINS), x509.NameAttribute(NameOID.COMMON_NAME, user)]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _read(path: str) -> tuple[kubeconfig.Kubeconfig, identity.Certificate, identity.Certificate] | None:
    """The kubeconfig, its CA and its client certificate, or None where the file is none of ours to judge."""
    text = read_text(path)
    try:
        config = kubeconfig.parse(text or "")
        return config, identity.parse(config.ca), identity.parse(config.certificate)
    except ValueError:
        return None


def _reason_to_renew(path: str, server: str, ca_hash: str | None, renew_days: int) -> str | None:
    if not os.path.exists(path):
        return "there is none yet"
    found = _read(path)
    if found is None:
        return "the file there is not a kubeconfig with a client certificate"
    config, authority, certificate = found
    if ca_hash is not None and authority.public_key_hash != ca_hash:
        return "the one there is of another cluster"
    if config.server != server:
        return f"the one there names {config.server}"
    left = certificate.not_after - datetime.datetime.now(datetime.timezone.utc)
    if left < datetime.timedelta(days=renew_days):
        return f"its certificate ends in {left.days} days"
    return None


def _set_aside(path: str, ca_hash: str) -> None:
    """Keep a file that is of another cluster, or not ours: nobody's access is lost by a path used twice."""
    found = _read(path)
    if os.path.exists(path) and (found is None or found[1].public_key_hash != ca_hash):
        moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        Path(path).replace(f"{path}.{moment}")
