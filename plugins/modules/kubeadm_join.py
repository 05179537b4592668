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
  - A control plane's etcd member joins as a learner, and votes once it is in step, whatever the version of kubeadm.
  - A join that was interrupted before the node was registered is undone first, its etcd member included, and then done
    again; one that was interrupted later is finished.
  - Token, discovery hash and uploaded certificates are tried at the endpoint first, and refused before anything changes
    where they let nobody in - kubeadm would try for five minutes.
  - Where kubeadm itself adds etcd's member as a learner (from 1.29 on), control planes of one run join one at a time,
    because etcd takes one learner at a time. Workers join beside them.
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
    description:
      - The key of the uploaded certificates, for control planes. Without it the certificates have to be here already,
        as M(kubeadm.ha.pki_import) leaves them.
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
    description: Client URLs of etcd's members, for control planes with a member of their own.
    type: list
    elements: str
    default: []
  cluster_configuration:
    description: The cluster's ClusterConfiguration as kubeadm keeps it, for control planes with a member of their own.
    type: dict
    default: {}
  node:
    description: What else JoinConfiguration says of this node, in the words of C(kubeadm.k8s.io/v1beta4).
    type: dict
    default: {}
  ignore_preflight_errors:
    description: Findings of kubeadm's own preflight to pass over.
    type: list
    elements: str
    default: []
  patches:
    description:
      - Patches that kubeadm lays over what it generates, by the file names that it knows them by, such as
        C(kube-apiserver0+merge.yaml). Each is text, or what it is in YAML.
      - They are written to C(/etc/kubernetes/patches), which then holds no others.
    type: dict
    default: {}
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

import copy
import os
import time
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    discovery,
    etcd,
    etcd_join,
    evidence,
    join_check,
    kube_api,
    kubeadm_config,
    membership,
    patches,
    pki,
    versions,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_cluster import EtcdCluster
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_each, read_text, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed, alone, flags, shown
from ansible_collections.kubeadm.ha.plugins.module_utils.plan import FINISH, JOIN, NOTHING, REJOIN
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal

# The phases of kubeadm join in two halves, with etcd between them: the API server starts when its etcd votes. What
# check-etcd asks, of every member there is, etcd_join asks of those that answer.
_FIRST_HALF = ("preflight", "control-plane-prepare/download-certs", "control-plane-prepare/certs")
_FIRST_HALF += ("control-plane-prepare/kubeconfig", "kubelet-start")
BEFORE_ETCD = ("check-etcd", "control-plane-prepare/control-plane", "control-plane-join")
MARK = ("join", "phase", "control-plane-join", "mark-control-plane")
AFTER_ETCD = ("check-etcd", "control-plane-join/etcd", *_FIRST_HALF)


def decide(options: dict[str, Any]) -> tuple[str, str]:
    """What this host needs, by its own evidence and the API server's: the action of the plan, and why.

    Raises:
        RequestFailed: it carries a node's certificate, and the API server cannot be asked what that is worth.
    """
    found = set(evidence.traces())
    if not found or (options["control_plane"] and found <= pki.handed(external_etcd=options["external_etcd"])):
        return JOIN, "not a member yet"
    identity = evidence.identity()
    if identity and identity != options["node_name"]:
        raise ValueError(
            f"node name: found {identity} by the kubelet's certificate, wanted "
            f"{options['node_name']}. A node keeps its name: ask for that, or remove it and join it anew."
        )
    if not os.path.exists(kube_api.KUBELET_CERTIFICATE):
        return REJOIN, "interrupted before the kubelet got its certificate"
    node = kube_api.kubelet_api(options["endpoint"]).find(f"/api/v1/nodes/{options['node_name']}")
    if node is None:
        return REJOIN, "interrupted before the node was registered"
    if not options["control_plane"]:
        if evidence.KUBELET_CONF not in found:
            return REJOIN, f"interrupted before there was a {evidence.KUBELET_CONF}"
        return NOTHING, "a member of the cluster"
    if not evidence.describe_node(node)["control_plane"]:
        return FINISH, "interrupted before the node was marked as a control plane"
    if not options["external_etcd"] and not votes(options):
        return FINISH, "interrupted before its etcd member voted"
    if learns(options) and not found & {*evidence.POD_MANIFESTS}:
        return FINISH, "interrupted before its API server was set up"
    return NOTHING, "a member of the cluster"


def learns(options: dict[str, Any]) -> bool:
    """Whether this module, and not kubeadm, takes the host's own etcd in."""
    at_hand = versions.parse(options["version"])
    return options["control_plane"] and not options["external_etcd"] and not versions.joins_as_learner(at_hand)


def votes(options: dict[str, Any]) -> bool:
    """Whether this host's own etcd is a voter, by its own word.

    Raises:
        RequestFailed: it is there and silent: what it is must not be guessed, for a reset may follow.
    """
    state = evidence.etcd_state(5.0)
    # A learner does not list members, and says so. A manifest that a power cut left empty runs nothing, until the join
    # writes it anew.
    silent = not state["answers"] and evidence.ETCD_MANIFEST in evidence.traces() and "learner" not in state["error"]
    if silent and read_text(evidence.ETCD_MANIFEST) != "":
        raise RequestFailed(f"etcd of this host: {state['error']}")
    members = [etcd.Member.from_dict(member) for member in state["members"]]
    own = membership.find(members, name=options["node_name"], peer_urls=peer_urls(options))
    return own is not None and own.started and not own.learner


def peer_urls(options: dict[str, Any]) -> list[str]:
    """Where this host's own member is, as kubeadm has it."""
    return [membership.peer_url(options["address"])] if options["address"] else []


def leave(options: dict[str, Any]) -> None:
    """Take this host's own member out, if it has one."""

    def needed(members: list[etcd.Member]) -> membership.Change | None:
        own = membership.find(members, name=options["node_name"], peer_urls=peer_urls(options))
        return membership.Remove(own) if own else None

    cluster = EtcdCluster(options["etcd_endpoints"], etcd.local_context())
    cluster.change(needed, options["node_name"], least_voters=1)


def describe(options: dict[str, Any]) -> kubeadm_config.Description:
    """What kubeadm join is told: the user's words, and those that decide who and what this host becomes."""
    node = {key: value for key, value in options["node"].items() if key != "controlPlane"}
    node["nodeRegistration"] = {**(node.get("nodeRegistration") or {}), "name": options["node_name"]}
    token = {
        "apiServerEndpoint": options["endpoint"],
        "token": options["token"],
        "caCertHashes": [options["ca_hash"]] if options["ca_hash"] else None,
    }
    node["discovery"] = {**(node.get("discovery") or {}), "bootstrapToken": token}
    if options["control_plane"]:
        advertised = {"advertiseAddress": options["address"]} if options["address"] else {}
        local = {**((options["node"].get("controlPlane") or {}).get("localAPIEndpoint") or {}), **advertised}
        key = {"certificateKey": options["certificate_key"]} if options["certificate_key"] else {}
        node["controlPlane"] = {**key, "localAPIEndpoint": local}
    return kubeadm_config.Description(node=node)


def not_let_in(options: dict[str, Any], token: discovery.Token, patience: float = join_check.PATIENCE) -> list[Problem]:
    """What stands against a join with the credentials at hand."""
    return join_check.check(
        options["node_name"],
        options["endpoint"],
        token,
        options["ca_hash"],
        downloads=options["control_plane"] and bool(options["certificate_key"]),
        patience=patience,
    )


def undo(kubeadm: Kubeadm, options: dict[str, Any]) -> None:
    """Take back an interrupted join: etcd's member first, while the certificates to do so are still here.

    Certificates that no download will bring stay: they were handed to this host before this module began.
    """
    own_member = options["control_plane"] and not options["external_etcd"]
    # Where there may be a member and no certificate is fit to speak of it, this fails, and nothing is reset.
    if own_member and (etcd.has_client_certificate() or os.path.lexists(evidence.ETCD_MANIFEST)):
        leave(options)
    pairs = pki.shared_pairs(pki.etcd_client_of(options["cluster_configuration"]))
    kept = read_each(pki.paths(pairs)) if options["control_plane"] and not options["certificate_key"] else {}
    socket = (options["node"].get("nodeRegistration") or {}).get("criSocket")
    kubeadm.run(["reset", "--force", *([f"--cri-socket={socket}"] if socket else [])])
    for path, content in kept.items():
        if isinstance(content, str) and not os.path.lexists(path):
            write_atomic(path, content.encode(), pki.mode(pairs, path))


def wait_until_forgotten(api: kube_api.KubeApi, options: dict[str, Any], patience: float = 180.0) -> None:
    """kubeadm joins nobody under the name of a node that is Ready, which one that was reset is for a while.

    Raises:
        RequestFailed: it still is after so many seconds.
    """
    path, deadline = f"/api/v1/nodes/{options['node_name']}", time.monotonic() + patience
    while (node := api.find(path)) is not None and evidence.describe_node(node)["ready"]:
        if time.monotonic() > deadline:
            raise RequestFailed(
                f"node {options['node_name']}: found Ready {patience:.0f} s after its host was reset, wanted not "
                "Ready. Another machine may use the name."
            )
        time.sleep(1)


def join(module: AnsibleModule, lock: int | None) -> dict[str, Any]:
    """Make this host a node, and return what is to be told of it."""
    options = module.params
    problems = patches.check("patches", options["patches"], versions.parse(options["version"]))
    if problems:
        raise Refusal(problems)
    kubeadm_config.expect([("JoinConfiguration", options["node"])])
    module.no_log_values.update(kubeadm_config.secrets([options["node"]]))
    options = {**options, "node": patches.named_in(options["node"], options["patches"])}
    action, reason = decide(options)
    if action == NOTHING:
        return {"changed": False}
    kubeadm = Kubeadm(module, lock)
    at_hand = kubeadm.version() if kubeadm.installed else versions.parse(options["version"])
    description = describe(options)
    documents = kubeadm_config.render_join(description, at_hand)
    own_arguments = kubeadm_config.arguments(description.node, at_hand)
    files = patches.changes(options["patches"]) if options["patches"] else []
    if not module.check_mode:
        token = discovery.parse_token(options["token"] or "")
        discovery.check_ca_hash(options["ca_hash"] or "")
        secrets = [secret for secret in (str(token), token.secret, options["certificate_key"]) if secret]
        refused = not_let_in(options, token)
        if refused:
            raise Refusal(refused)

        def run(skip_phases: Iterable[str]) -> None:
            # The argument replaces what a configuration says of phases, so it says both.
            skipped = [*(description.node.get("skipPhases") or ()), *skip_phases]
            arguments = flags(skip_phases=skipped, ignore_preflight_errors=options["ignore_preflight_errors"])
            try:
                kubeadm.run(
                    ["join", *own_arguments, *arguments], config=kubeadm_config.dump(documents), secrets=secrets
                )
            except KubeadmFailed as error:
                # What has come between since is told first, and kubeadm's own words after it.
                reasons = not_let_in(options, token, patience=0)
                raise KubeadmFailed("\n".join([*map(str, reasons), str(error)])) from error

        own_member = options["control_plane"] and not options["external_etcd"]
        only_unmarked = action == FINISH and (not own_member or votes(options))
        if action == REJOIN:
            undo(kubeadm, options)
        elif action == FINISH and not learns(options) and not only_unmarked:
            api = kube_api.kubelet_api(options["endpoint"])
            undo(kubeadm, options)
            wait_until_forgotten(api, options)
        for change in files:
            change.apply()
        if only_unmarked and learns(options):
            run(AFTER_ETCD)
        elif only_unmarked:
            kubeadm.run([*MARK], config=kubeadm_config.dump(documents), secrets=secrets)
        elif learns(options):
            if action != FINISH:
                # A kubelet that starts without the folder looks for it every 20 s only.
                os.makedirs(evidence.MANIFESTS, mode=0o700, exist_ok=True)
                run(BEFORE_ETCD)
            etcd_join.join(
                EtcdCluster(options["etcd_endpoints"], etcd.local_context()),
                name=options["node_name"],
                peer_url=membership.peer_url(options["address"]),
                data=f"{etcd_join.data_dir(options['cluster_configuration'])}/member",
                start=lambda initial_cluster: start_etcd(kubeadm, at_hand, options, initial_cluster),
            )
            run(AFTER_ETCD)
        else:
            run(())
    diff = [*(change.diff() for change in files), shown("kubeadm join", documents)]
    return {"changed": True, "reason": reason, "diff": diff}


def start_etcd(kubeadm: Kubeadm, at_hand: versions.Version, options: dict[str, Any], initial_cluster: str) -> None:
    """Write etcd's static pod, told that the cluster exists: should it lose its data, it can begin none of its own."""
    cluster = copy.deepcopy(options["cluster_configuration"])
    local = cluster.setdefault("etcd", {}).setdefault("local", {})
    local["extraArgs"] = {
        **local.get("extraArgs", {}),
        "initial-cluster": initial_cluster,
        "initial-cluster-state": "existing",
    }
    node = {
        "nodeRegistration": {**(options["node"].get("nodeRegistration") or {}), "name": options["node_name"]},
        "localAPIEndpoint": {"advertiseAddress": options["address"]},
        "patches": options["node"].get("patches"),
    }
    init, *_others = kubeadm_config.render_init(kubeadm_config.Description(node=node), at_hand)
    arguments = kubeadm_config.arguments(node, at_hand)
    kubeadm.run(["init", "phase", "etcd", "local", *arguments], config=kubeadm_config.dump([init, cluster]))


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
            "cluster_configuration": {"type": "dict", "default": {}},
            "node": {"type": "dict", "default": {}},
            "ignore_preflight_errors": {"type": "list", "elements": "str", "default": []},
            "patches": {"type": "dict", "default": {}},
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
