#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_wipe
short_description: Take this host's member of etcd out of use, so that it can join anew
version_added: 0.1.0
description:
  - Stops etcd on this host, and its API server, controller manager and scheduler where it is a control plane. Their
    manifests and the member's data are renamed, never deleted.
  - The host stays a node. A run of C(site.yml) finds a control plane without a voting member and joins it as one that
    catches up first, or a host of etcd that is not a member yet.
  - Refuses while this host's member votes in a cluster that has its quorum. Remove it there first.
  - Can be killed anywhere, and run again.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  cluster_id:
    description:
      - The id of the cluster, as confirmation; the plan prints it. A host that carries no CA of Kubernetes', as one of
        etcd alone, has nothing to compare it with.
    type: str
    required: true
  data_dir:
    description: Where the member keeps its data.
    type: path
    default: /var/lib/etcd
  endpoints:
    description: Client URLs of other members, where a quorum is looked for besides this host's etcd.
    type: list
    elements: str
    default: []
  timeout_seconds:
    description: How long the kubelet may take to stop the pods.
    type: int
    default: 180
seealso:
  - module: kubeadm.ha.etcd_restore
  - module: kubeadm.ha.etcd_member
"""

EXAMPLES = r"""
- name: Make room for a member that joins anew
  kubeadm.ha.etcd_wipe:
    cluster_id: 0123456789ab
"""

RETURN = r"""
kept:
  description: The folder with the former member's data as C(member), and with the manifests. Not in check mode.
  returned: when changed, and not in check mode
  type: str
  sample: /var/lib/etcd-before-20260102T030405Z
"""

import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    etcd_restorer,
    etcd_restoring,
    evidence,
    set_aside,
    static_pods,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed, url
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import KubeadmFailed, alone
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal

PODS = (set_aside.ETCD, *set_aside.CONTROL_PLANE)
# What is to be kept gathers here until it is given its name.
FOLDER = "kubeadm.ha-wipe"
LOOK_SECONDS = 3.0


def check(options: dict[str, Any]) -> None:
    """
    Raises:
        Refusal: another cluster, or a member that counts.
    """
    host = evidence.identity() or "this host"
    problems = etcd_restoring.check_cluster(host, etcd_restorer.kubernetes_ca(), options["cluster_id"])
    text = read_text(evidence.ETCD_MANIFEST)
    if text is not None:
        member = etcd_restoring.member_of(text, static_pods.flags_of(text))
        if member.data_dir != options["data_dir"]:
            action = "Correct what was asked for."
            problems.append(Problem(host, "etcd's --data-dir", member.data_dir, options["data_dir"], action))
        endpoints = sorted({url("127.0.0.1", member.client_port), *options["endpoints"]})
        context = etcd_restorer.client_context()
        agreeing = etcd_restorer.voters_that_agree(endpoints, context, LOOK_SECONDS)
        if member.name in agreeing:
            found = f"{member.name} among {len(agreeing)} voters that agree ({', '.join(agreeing)})"
            action = f"Remove it at another member first (etcd_member, name: {member.name}, state: absent)."
            problems.append(Problem(host, "etcd member", found, "none of a cluster with a quorum", action))
    if problems:
        raise Refusal(problems)


def wipe(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Take the member out of use; what is to be told of it."""
    data, work = options["data_dir"], f"{options['data_dir']}/{FOLDER}"
    own = f"{data}/member"
    # Of a restore that was to begin here, and is now begun elsewhere.
    leavings = [path for path in (f"{data}/{etcd_restoring.WORK}",) if os.path.isdir(path)]
    manifests = [*set_aside.found_in_place([etcd_restoring.POD, *PODS]), *set_aside.found_aside(PODS)]
    if not (manifests or leavings or os.path.isdir(own) or os.path.isdir(work)):
        return {"changed": False}
    lines = [*(f"{set_aside.manifest(pod)}\n" for pod in PODS if pod in manifests)]
    lines += [f"{path}\n" for path in (own, *leavings) if os.path.isdir(path)]
    result: dict[str, Any] = {"changed": True, "diff": {"before": "".join(lines), "after": ""}}
    if check_mode:
        return result
    host, patience = evidence.identity() or "this host", float(options["timeout_seconds"])
    if set_aside.found_in_place([etcd_restoring.POD]):
        os.unlink(set_aside.manifest(etcd_restoring.POD))
    set_aside.put_aside(PODS)
    set_aside.end(host, set_aside.CONTROL_PLANE, patience)
    for folder in (data, f"{data}/{etcd_restoring.WORK}/new"):
        set_aside.end(host, [set_aside.ETCD], patience, data_dir=folder)
    os.makedirs(work, mode=0o700, exist_ok=True)
    for path in (own, *leavings):
        if os.path.isdir(path):
            os.rename(path, _free(f"{work}/{os.path.basename(path)}"))
    for pod in set_aside.found_aside(PODS):
        # Another file system: copied whole, and only then removed.
        shutil.copy2(set_aside.aside(pod), f"{work}/{pod}.yaml")
        os.unlink(set_aside.aside(pod))
    set_aside.tidy()
    return {**result, "kept": etcd_restorer.keep(work, data)}


def _free(path: str) -> str:
    """A path that nobody has; etcd may have begun anew between two attempts."""
    number = 1
    found = path
    while os.path.lexists(found):
        number += 1
        found = f"{path}-{number}"
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "cluster_id": {"type": "str", "required": True},
            "data_dir": {"type": "path", "default": "/var/lib/etcd"},
            "endpoints": {"type": "list", "elements": "str", "default": []},
            "timeout_seconds": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    try:
        with alone(module.check_mode):
            check(module.params)
            result = wipe(module.params, module.check_mode)
    except (KubeadmFailed, RequestFailed, Refusal, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
