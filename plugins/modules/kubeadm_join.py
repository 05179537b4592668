#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_join
short_description: Make this host a node of a cluster
version_added: 0.1.0
description:
  - Runs C(kubeadm join) with a configuration handed over in memory, unless this host is a node already.
  - A join that was interrupted is undone first, its etcd member included, and then done again. A member that only lacks
    the control plane's label and taint gets these.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  endpoint:
    description: The control plane endpoint, C(host:port).
    type: str
    required: true
  version:
    description: The Kubernetes version of the cluster.
    type: str
    required: true
  token:
    description: A bootstrap token. Not needed in check mode.
    type: str
  ca_hash:
    description: The discovery hash.
    type: str
  control_plane:
    description: Join as a control plane.
    type: bool
    default: false
  certificate_key:
    description: The key of the uploaded certificates, for control planes.
    type: str
  node_name:
    description: The node's name.
    type: str
    required: true
  address:
    description: The address that a control plane advertises.
    type: str
  external_etcd:
    description: Whether etcd runs on hosts of its own, so that no member of it belongs to this one.
    type: bool
    default: false
  etcd_endpoints:
    description: Client URLs of etcd's members, for taking out the member of an interrupted join.
    type: list
    elements: str
    default: []
  node:
    description: What else JoinConfiguration says of this node, in the words of C(kubeadm.k8s.io/v1beta4).
    type: dict
    default: {}
  ignore_preflight_errors:
    description: Findings of kubeadm's own preflight to pass over.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Join as a worker
  kubeadm.ha.kubeadm_join:
    endpoint: 192.0.2.10:6443
    version: 1.20.2
    token: "{{ credentials.token }}"
    ca_hash: "{{ credentials.ca_hash }}"
    node_name: w1
"""

RETURN = r"""
reason:
  description: Why kubeadm was run, or in check mode would be.
  returned: when changed
  type: str
  sample: not a member yet
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    discovery,
    etcd,
    evidence,
    kube_api,
    kubeadm_config,
    versions,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed, alone, flags, shown
from ansible_collections.kubeadm.ha.plugins.module_utils.plan import JOIN, MARK, NOTHING, REJOIN
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal


def decide(options: dict[str, Any]) -> tuple[str, str]:
    """What this host needs, by its own evidence and the API server's: the action of the plan, and why.

    Raises:
        RequestFailed: it carries a node's certificate, and the API server cannot be asked what that is worth.
    """
    if not evidence.traces():
        return JOIN, "not a member yet"
    identity = evidence.identity()
    if identity and identity != options["node_name"]:
        raise ValueError(f"node name: found {identity} by the kubelet's certificate, wanted {options['node_name']}.")
    if not os.path.exists(kube_api.KUBELET_CERTIFICATE):
        return REJOIN, "interrupted before the kubelet got its certificate"
    node = kube_api.kubelet_api(options["endpoint"]).find(f"/api/v1/nodes/{options['node_name']}")
    if node is None:
        return REJOIN, "interrupted before the node was registered"
    if not options["control_plane"]:
        return NOTHING, "a member of the cluster"
    if not options["external_etcd"] and not os.path.isdir("/var/lib/etcd/member"):
        return REJOIN, "interrupted before etcd's member was started"
    if not evidence.describe_node(node)["control_plane"]:
        return MARK, "interrupted before the node was marked as a control plane"
    return NOTHING, "a member of the cluster"


def describe(options: dict[str, Any]) -> kubeadm_config.Description:
    """What kubeadm join is told: the user's words, and those that decide who and what this host becomes."""
    node = {key: value for key, value in options["node"].items() if key != "controlPlane"}
    node["nodeRegistration"] = {**node.get("nodeRegistration", {}), "name": options["node_name"]}
    token = {
        "apiServerEndpoint": options["endpoint"],
        "token": options["token"],
        "caCertHashes": [options["ca_hash"]],
    }
    node["discovery"] = {**node.get("discovery", {}), "bootstrapToken": token}
    if options["control_plane"]:
        advertised = {"advertiseAddress": options["address"]} if options["address"] else {}
        local = {**options["node"].get("controlPlane", {}).get("localAPIEndpoint", {}), **advertised}
        node["controlPlane"] = {"certificateKey": options["certificate_key"], "localAPIEndpoint": local}
    return kubeadm_config.Description(node=node)


def undo(kubeadm: Kubeadm, options: dict[str, Any]) -> None:
    """Take back an interrupted join: etcd's member first, while the certificates to do so are still here."""
    if options["control_plane"] and not options["external_etcd"] and etcd.has_client_certificate():
        etcd.remove_member(options["etcd_endpoints"], name=options["node_name"], address=options["address"] or "")
    socket = options["node"].get("nodeRegistration", {}).get("criSocket")
    kubeadm.run(["reset", "--force", *([f"--cri-socket={socket}"] if socket else [])])


def join(module: AnsibleModule, lock: int) -> dict[str, Any]:
    """Make this host a node, and return what is to be told of it."""
    options = module.params
    action, reason = decide(options)
    if action == NOTHING:
        return {"changed": False}
    kubeadm = Kubeadm(module, lock)
    at_hand = kubeadm.version() if kubeadm.installed else versions.parse(options["version"])
    documents = kubeadm_config.render_join(describe(options), at_hand)
    if not module.check_mode:
        token = discovery.parse_token(options["token"] or "")
        if action == REJOIN:
            undo(kubeadm, options)
        phase = ["phase", "control-plane-join", "mark-control-plane"] if action == MARK else []
        kubeadm.run(
            ["join", *phase, *flags(ignore_preflight_errors=() if phase else options["ignore_preflight_errors"])],
            config=kubeadm_config.dump(documents),
            secrets=[secret for secret in (str(token), token.secret, options["certificate_key"]) if secret],
        )
    return {"changed": True, "reason": reason, "diff": shown("kubeadm join", documents)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "endpoint": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "token": {"type": "str", "no_log": True},
            "ca_hash": {"type": "str"},
            "control_plane": {"type": "bool", "default": False},
            "certificate_key": {"type": "str", "no_log": True},
            "node_name": {"type": "str", "required": True},
            "address": {"type": "str"},
            "external_etcd": {"type": "bool", "default": False},
            "etcd_endpoints": {"type": "list", "elements": "str", "default": []},
            "node": {"type": "dict", "default": {}},
            "ignore_preflight_errors": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        with alone(module.check_mode) as lock:
            result = join(module, lock)
    except (RequestFailed, KubeadmFailed, Refusal, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
