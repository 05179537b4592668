#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: control_plane_pods
short_description: Stop or start this host's API server, controller manager and scheduler
version_added: 0.1.0
description:
  - Moves their manifests to C(/etc/kubernetes/kubeadm.ha-aside) and back, unchanged, and waits until the pods have
    ended or the API server is ready.
  - For the time in which etcd is begun again from a snapshot. Whoever was served from its cache goes on believing in
    revisions that no longer are.
  - Does nothing on a host without them.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  state:
    description: What they are to be.
    type: str
    choices: [started, stopped]
    required: true
  cluster_id:
    description: The id of the cluster, as confirmation; the plan prints it. Needed to stop them.
    type: str
    default: ''
  timeout_seconds:
    description: How long they may take to end, or the API server to be ready.
    type: int
    default: 240
seealso:
  - module: kubeadm.ha.etcd_restore
"""

EXAMPLES = r"""
- name: Stop the API server
  kubeadm.ha.control_plane_pods:
    state: stopped
    cluster_id: 0123456789ab

- name: Start it again
  kubeadm.ha.control_plane_pods:
    state: started
"""

RETURN = r"""
pods:
  description: Those that were stopped or started.
  returned: success
  type: list
  elements: str
  sample: [kube-apiserver, kube-controller-manager, kube-scheduler]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    etcd_restorer,
    etcd_restoring,
    evidence,
    kube_api,
    set_aside,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import KubeadmFailed, alone
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal

PODS = set_aside.CONTROL_PLANE


def stop(host: str, patience: float, check_mode: bool) -> list[str]:
    """Stop them; which those are."""
    pods = set_aside.found_in_place(PODS)
    # Also what another run moved away just now, and was killed.
    if not check_mode:
        set_aside.put_aside(PODS)
        set_aside.end(host, PODS, patience)
    return pods


def start(host: str, patience: float, check_mode: bool) -> list[str]:
    """Start them, the API server first; which those are."""
    pods = set_aside.found_aside(PODS)
    if check_mode or not pods:
        return pods
    set_aside.put_back(PODS[:1])
    if not set_aside.wait(kube_api.local_is_ready, patience):
        action = "See its container's log and the kubelet's journal, and run again."
        raise Refusal([Problem(host, "API server", f"none within {patience:.0f} s", "one that is ready", action)])
    set_aside.put_back(PODS)
    return pods


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"], "required": True},
            "cluster_id": {"type": "str", "default": ""},
            "timeout_seconds": {"type": "int", "default": 240},
        },
        required_if=[["state", "stopped", ["cluster_id"]]],
        supports_check_mode=True,
    )
    options: dict[str, Any] = module.params
    host, patience = evidence.identity() or "this host", float(options["timeout_seconds"])
    try:
        with alone(module.check_mode):
            if options["state"] == "stopped":
                problems = etcd_restoring.check_cluster(host, etcd_restorer.kubernetes_ca(), options["cluster_id"])
                if problems:
                    raise Refusal(problems)
                pods = stop(host, patience, module.check_mode)
                diff = {"before": _lines(pods), "after": ""}
            else:
                pods = start(host, patience, module.check_mode)
                diff = {"before": "", "after": _lines(pods)}
    except (KubeadmFailed, RequestFailed, Refusal, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(pods), pods=pods, diff=diff)


def _lines(pods: list[str]) -> str:
    return "".join(f"{set_aside.manifest(pod)}\n" for pod in pods)


if __name__ == "__main__":
    main()
