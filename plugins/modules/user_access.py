#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: user_access
short_description: Have the cluster sign client certificates, and bind users to roles
version_added: 0.1.0
description:
  - Hands certificate signing requests to the cluster through a control plane, approves them, and returns the
    certificates. The private keys stay with whoever made the requests.
  - Makes and removes bindings of users to ClusterRoles. A namespace that is missing is made, and never removed.
  - M(kubeadm.ha.kubeconfigs) is what plays use; it says which requests and bindings there are to be.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
attributes:
  idempotent:
    support: partial
    details: Each run signs anew what it is handed.
options:
  requests:
    description: Certificate signing requests.
    type: list
    elements: dict
    default: []
    suboptions:
      user:
        description: Whose request it is; the certificate is returned under this name.
        type: str
        required: true
      request:
        description: The request, PEM.
        type: str
        required: true
      days:
        description:
          - For how many days to ask. The cluster may sign for less, and before Kubernetes 1.22 it does not look.
          - Where not given the cluster decides, which signs for a year unless its controller manager is told otherwise.
        type: int
  bind_administrators:
    description: >-
      Whether to make sure that the group C(kubeadm:cluster-admins) administers the cluster, as kubeadm itself does from
      1.29 on.
    type: bool
    default: false
  bind:
    description: Bindings that there must be.
    type: list
    elements: dict
    default: []
    suboptions:
      user:
        description: Who.
        type: str
        required: true
      cluster_role:
        description: The ClusterRole, which must exist.
        type: str
        required: true
      namespace:
        description: Where; empty for the whole cluster.
        type: str
        default: ''
  unbind:
    description: Bindings that there must not be, of those that this module made.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The binding's own name.
        type: str
        required: true
      namespace:
        description: Where it is; empty for a binding in the whole cluster.
        type: str
        default: ''
  timeout_seconds:
    description: How long the cluster may take to sign.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Sign a user's request, and let her look around
  kubeadm.ha.user_access:
    requests:
      - user: jane
        request: "{{ lookup('ansible.builtin.file', 'jane.csr') }}"
    bind:
      - user: jane
        cluster_role: view
        namespace: monitoring
  register: signed
"""

RETURN = r"""
certificates:
  description: The signed certificates, PEM, by user.
  returned: when not in check mode
  type: dict
ca:
  description: The cluster's CA, PEM.
  returned: when not in check mode
  type: str
"""

import base64
import hashlib
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import kube_api
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem, Refusal
from ansible_collections.kubeadm.ha.plugins.module_utils.user_access import (
    ADMINS,
    RBAC_PATH,
    Binding,
    Bound,
    bindings_path,
)

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
NAMESPACES = "/api/v1/namespaces"
ADMINISTRATORS = f"{RBAC_PATH}/clusterrolebindings/{ADMINS}"


def bind_administrators(api: kube_api.KubeApi) -> None:
    """Give the administrators' group its rights."""
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": ADMINS}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    api.create(
        bindings_path(""),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": ADMINS},
            "roleRef": role,
            "subjects": [group],
        },
    )


def check_roles(api: kube_api.KubeApi, bindings: list[Binding]) -> None:
    """A binding to a role that does not exist gives nothing, and says nothing.

    Raises:
        Refusal: some do not exist.
        RequestFailed: the API server does not answer.
    """
    roles = {binding.cluster_role for binding in bindings}
    missing = {role for role in roles if api.find(f"{RBAC_PATH}/clusterroles/{role}") is None}
    if missing:
        raise Refusal(
            Problem(CLUSTER, f"ClusterRole {role}", "none", "a role to bind users to", "Make it first, or correct it.")
            for role in missing
        )


def is_bound(api: kube_api.KubeApi, binding: Binding) -> bool:
    """Whether there is just this binding."""
    found = api.find(f"{bindings_path(binding.namespace)}/{binding.name}")
    return found is not None and Bound.read(found).binding == binding


def make_binding(api: kube_api.KubeApi, binding: Binding) -> None:
    """Make a binding, and the namespace that it is in where that is missing."""
    if binding.namespace and api.find(f"{NAMESPACES}/{binding.namespace}") is None:
        api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": binding.namespace}})
    collection = bindings_path(binding.namespace)
    # Whatever has its name is something else than this binding.
    api.delete(f"{collection}/{binding.name}")
    api.create(collection, binding.document())


def sign(api: kube_api.KubeApi, request: str, days: int | None, timeout: float) -> str:
    """The certificate for this request.

    Raises:
        RequestFailed: the API refuses, or nothing is signed in time.
    """
    name = "kubeadm-ha-" + hashlib.sha256(request.encode()).hexdigest()[:20]
    path = f"{REQUESTS}/{name}"
    spec: dict[str, Any] = {
        "request": base64.b64encode(request.encode()).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth", "digital signature", "key encipherment"],
    }
    if days is not None:
        spec["expirationSeconds"] = days * 86400
    api.create(
        REQUESTS,
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": spec,
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


def shown(
    bind: list[Binding], unbind: list[tuple[str, str]], administrators: bool, signed: list[str]
) -> list[dict[str, str]]:
    """What changes, in the form that Ansible's diff mode shows."""
    before = [f"binding {name}" + (f" in namespace {namespace}" if namespace else "") for name, namespace in unbind]
    after = [f"group {ADMINS}: cluster-admin in the whole cluster"] * administrators + [str(one) for one in bind]
    after += [f"certificate of {user}" for user in signed]
    texts = {"before": before, "after": after}
    return [{side: "".join(f"{line}\n" for line in lines) for side, lines in texts.items()}] if before + after else []


def main() -> None:
    binding = {
        "user": {"type": "str", "required": True},
        "cluster_role": {"type": "str", "required": True},
        "namespace": {"type": "str", "default": ""},
    }
    module = AnsibleModule(
        argument_spec={
            "requests": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "user": {"type": "str", "required": True},
                    "request": {"type": "str", "required": True},
                    "days": {"type": "int"},
                },
            },
            "bind_administrators": {"type": "bool", "default": False},
            "bind": {"type": "list", "elements": "dict", "default": [], "options": binding},
            "unbind": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "namespace": {"type": "str", "default": ""}},
            },
            "timeout_seconds": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    options = module.params
    bind = [Binding(**one) for one in options["bind"]]
    unbind = [(one["name"], one["namespace"]) for one in options["unbind"]]
    administrators = options["bind_administrators"]
    there = kube_api.has_admin()
    try:
        if there or not module.check_mode:
            api = kube_api.local_admin()
            check_roles(api, bind)
            bind = [one for one in bind if not is_bound(api, one)]
            unbind = [one for one in unbind if api.find(f"{bindings_path(one[1])}/{one[0]}") is not None]
            administrators = administrators and api.find(ADMINISTRATORS) is None
        result: dict[str, Any] = {
            "changed": bool(bind or unbind or administrators or options["requests"]),
            "diff": shown(bind, unbind, administrators, [one["user"] for one in options["requests"]]),
        }
        if module.check_mode:
            module.exit_json(**result)
        if administrators:
            bind_administrators(api)
        for name, namespace in unbind:
            api.delete(f"{bindings_path(namespace)}/{name}")
        for one in bind:
            make_binding(api, one)
        certificates = {
            one["user"]: sign(api, one["request"], one["days"], options["timeout_seconds"])
            for one in options["requests"]
        }
    except (RequestFailed, Refusal) as error:
        module.fail_json(msg=str(error))
    module.exit_json(certificates=certificates, ca=read_text(kube_api.CLUSTER_CA), **result)


if __name__ == "__main__":
    main()
