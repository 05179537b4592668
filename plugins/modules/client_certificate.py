#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: client_certificate
short_description: Have the cluster sign a client certificate
version_added: 0.1.0
description:
  - Hands a certificate signing request to the cluster through a control plane, approves it, and returns the
    certificate. The private key stays with whoever made the request.
  - Makes sure that the group C(kubeadm:cluster-admins) administers the cluster, as kubeadm itself does from 1.29 on.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
attributes:
  idempotent:
    support: none
    details: Each run signs anew.
options:
  request:
    description: The certificate signing request, PEM.
    type: str
    required: true
  timeout_seconds:
    description: How long the cluster may take to sign.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Sign a user's request
  kubeadm.ha.client_certificate:
    request: "{{ lookup('ansible.builtin.file', 'jane.csr') }}"
  register: signed
"""

RETURN = r"""
certificate:
  description: The signed certificate, PEM.
  returned: when not in check mode
  type: str
ca:
  description: The cluster's CA, PEM.
  returned: when not in check mode
  type: str
"""

import base64
import hashlib
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import kube_api
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
ADMINS = "kubeadm:cluster-admins"


def bind_administrators(api: kube_api.KubeApi) -> None:
    if api.find(f"{BINDINGS}/{ADMINS}") is None:
        group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": ADMINS}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        api.create(
            BINDINGS,
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": ADMINS},
                "roleRef": role,
                "subjects": [group],
            },
        )


def sign(api: kube_api.KubeApi, request: str, timeout: float) -> str:
    """The certificate for this request.

    Raises:
        RequestFailed: the API refuses, or nothing is signed in time.
    """
    name = "kubeadm-ha-" + hashlib.sha256(request.encode()).hexdigest()[:20]
    path = f"{REQUESTS}/{name}"
    api.create(
        REQUESTS,
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": base64.b64encode(request.encode()).decode(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth", "digital signature", "key encipherment"],
            },
        },
    )
    try:
        found = api.get(path)
        approval = {"type": "Approved", "status": "True", "reason": "kubeadm.ha", "message": "Asked for by a playbook."}
        found["status"]["conditions"] = [approval]
        api.replace(f"{path}/approval", found)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            certificate = api.get(path)["status"].get("certificate")
            if certificate:
                return base64.b64decode(certificate).decode()
            time.sleep(0.2)
    finally:
        api.delete(path)
    raise RequestFailed(
        f"certificate signing request {name}: found no certificate after {timeout:.0f} s, wanted one. "
        "Look at the controller manager's log."
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "request": {"type": "str", "required": True},
            "timeout_seconds": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True)
    try:
        api = kube_api.local_admin()
        bind_administrators(api)
        certificate = sign(api, module.params["request"], module.params["timeout_seconds"])
    except RequestFailed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, certificate=certificate, ca=read_text(kube_api.CLUSTER_CA))


if __name__ == "__main__":
    main()
