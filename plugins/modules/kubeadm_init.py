#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_init
short_description: Initialise a cluster on this host, or finish an initialisation that was interrupted
version_added: 0.1.0
description:
  - Runs C(kubeadm init) with a configuration handed over in memory, unless the cluster that runs here is whole.
  - After an interruption it runs again over its own remains, so that the CA and etcd's data stay what they were.
  - Keys without certificates, and files that a power cut has emptied, are renamed to end in C(.interrupted) and made
    anew, as long as no API server has used them.
  - Knows this host alone. That no other host holds a cluster is for M(kubeadm.ha.cluster_plan) to establish first.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._description
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  version:
    description: The Kubernetes version of the new cluster.
    type: str
    required: true
  skip_phases:
    description: Phases of kubeadm init to leave out.
    type: list
    elements: str
    default: []
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
- name: Start a cluster
  kubeadm.ha.kubeadm_init:
    version: 1.20.2
    cluster:
      controlPlaneEndpoint: 192.0.2.10:6443
      networking:
        podSubnet: 10.244.0.0/16
    node:
      nodeRegistration:
        criSocket: /run/containerd/containerd.sock
"""

RETURN = r"""
reason:
  description: Why kubeadm was run, or in check mode would be.
  returned: when changed
  type: str
  sample: no cluster on this host
set_aside:
  description: Files that an interruption had left half made, and that were renamed.
  returned: when changed
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    evidence,
    kube_api,
    kubeadm_config,
    patches,
    pki,
    plan,
    versions,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.discovery import new_token
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_join import data_dir
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_each, read_text
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import (
    Kubeadm,
    KubeadmFailed,
    alone,
    flags,
    own_remains,
    shown,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal

# All that kubeadm init signs for itself besides certificates.
CONFS = (
    kube_api.ADMIN_CONF,
    evidence.KUBELET_CONF,
    kube_api.CONTROLLER_MANAGER_CONF,
    f"{evidence.KUBERNETES}/scheduler.conf",
)
ASIDE = ".interrupted"


def reason_to_run(version: versions.Version, skip_phases: list[str], node_name: str | None) -> tuple[str | None, bool]:
    """Why kubeadm init has to run, and whether over its own remains."""
    if not set(evidence.traces()) - set(pki.ETCD_CLIENT_FILES):
        return "no cluster on this host", False
    try:
        api = kube_api.local_admin()
        phase = plan.first_missing_phase(evidence.lasting_phases(api, version), skip_phases)
        registered = node_name is None or api.find(f"/api/v1/nodes/{node_name}") is not None
    except RequestFailed as error:
        if evidence.has_run():
            raise KubeadmFailed(
                f"API server of this host: found no answer ({error}), wanted one: a cluster has run here. "
                "Bring it back (kubelet, container runtime, etcd's quorum); it is never initialised anew."
            ) from error
        return f"interrupted before the API server answered ({error})", True
    if phase is None and not registered:
        return f"no node {node_name} in the cluster", True
    return (f"interrupted before the phase {phase}", True) if phase else (None, True)


def half_made(etcd_data: str, external_etcd: bool) -> list[str]:
    """What an interrupted kubeadm init left half made, and the next one would stumble over.

    None once an API server may have served here: what it was given is in use, and is to be restored.
    """
    found = set(evidence.traces(etcd_data))
    if evidence.has_run() or f"{etcd_data}/member" in found or (external_etcd and evidence.POD_MANIFESTS[0] in found):
        return []
    handed = {*pki.ETCD_CA.paths, *pki.ETCD_CLIENT.paths} if external_etcd else set()
    half = pki.half_made(read_each(path for path in pki.paths(pki.ALL) if path not in handed))
    signed_anew = not {*pki.CLUSTER_CA.paths}.isdisjoint(half)
    confs = {path: read_text(path) for path in CONFS}
    return half + [path for path, text in confs.items() if text is not None and (signed_anew or not text.strip())]


def initialise(module: AnsibleModule, lock: int) -> dict[str, Any]:
    """Bring the cluster about, and return what is to be told of it."""
    options = module.params
    version = versions.parse(options["version"])
    problems = patches.check("patches", options["patches"], version)
    if problems:
        raise Refusal(problems)
    options = {**options, "node": patches.named_in(options["node"], options["patches"])}
    description = kubeadm_config.Description.from_options(options)
    module.no_log_values.update(kubeadm_config.secrets([description.node]))
    node_name = (description.node.get("nodeRegistration") or {}).get("name")
    # The argument replaces what a configuration says of phases, so it says both.
    skip_phases = [*(description.node.get("skipPhases") or ()), *options["skip_phases"]]
    reason, again = reason_to_run(version, skip_phases, node_name)
    if reason is None:
        return {"changed": False}
    description.cluster.setdefault("kubernetesVersion", f"v{version}")
    if not description.node.get("bootstrapTokens"):
        # kubeadm insists on a token, and by default makes one that lives for a day. Joins get their own.
        description.node["bootstrapTokens"] = [{"token": str(new_token()), "ttl": "1s", "description": "unused"}]
    kubeadm = Kubeadm(module, lock)
    at_hand = kubeadm.version() if kubeadm.installed else version
    documents = kubeadm_config.render_init(description, at_hand)
    files = patches.changes(options["patches"]) if options["patches"] else []
    half = half_made(data_dir(description.cluster), bool(pki.etcd_client_of(description.cluster))) if again else []
    if not module.check_mode:
        for path in half:
            os.replace(path, f"{path}{ASIDE}")
        for change in files:
            change.apply()
        ignored = [*options["ignore_preflight_errors"], *(own_remains(data_dir(description.cluster)) if again else ())]
        kubeadm.run(
            [
                *("init", "--skip-token-print"),
                *kubeadm_config.arguments(description.node, at_hand),
                *flags(skip_phases=skip_phases, ignore_preflight_errors=ignored),
            ],
            config=kubeadm_config.dump(documents),
            secrets=kubeadm_config.secrets(documents),
        )
    moved = [{"before_header": path, "after_header": f"{path}{ASIDE}", "before": "", "after": ""} for path in half]
    diff = [*moved, *(change.diff() for change in files), shown("kubeadm init", documents)]
    return {"changed": True, "reason": reason, "set_aside": half, "diff": diff}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **kubeadm_config.ARGUMENT_SPEC,
            "version": {"type": "str", "required": True},
            "skip_phases": {"type": "list", "elements": "str", "default": []},
            "ignore_preflight_errors": {"type": "list", "elements": "str", "default": []},
            "patches": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        with alone(module.check_mode) as lock:
            result = initialise(module, lock)
    except (KubeadmFailed, Refusal, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
