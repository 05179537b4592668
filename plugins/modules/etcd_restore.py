#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_restore
short_description: Begin etcd again on this host, once its quorum is lost for good
version_added: 0.1.0
description:
  - Makes this host's member the only one of its cluster, with the data that it has or with that of a snapshot. The
    others join it anew afterwards.
  - Judges everything before it stops anything. It refuses while any members agree with each other, a snapshot that is
    not whole or is another cluster's, a host without a member's manifest or its data, and a disk without room for data
    beside the old.
  - Prepares the new data beside the old, in a static pod that runs once with etcd's own image, and puts it into the old
    one's place when an etcd has answered from it as the only member. Until then a failure leaves data and manifests as
    they were, and etcd's own words in the message.
  - The old data is renamed, never deleted. Beside the data directory, or below it where that is a mount point, the
    folder's name says since when it is kept.
  - From a snapshot, and where etcd's C(--force-new-cluster) is at fault, revisions are raised and the former ones
    marked as compacted, from etcd 3.4.27 and 3.5.10 on. Such a cluster gets an id of its own, so that members of the
    former one that come back do not speak to it.
  - The manifests are afterwards what they were, but for C(--initial-cluster-state=existing) for etcd, which keeps a
    member that loses its data from beginning an empty cluster.
  - Can be killed anywhere. The next run reads from the data directory and from the manifests that lie in
    C(/etc/kubernetes/kubeadm.ha-aside) how far it went.
  - Whoever watches the API has to be restarted, for revisions may have gone back. See M(kubeadm.ha.kubelet_restart),
    and the role C(etcd_restore) for the order.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
attributes:
  idempotent:
    support: partial
    details: Once etcd has its quorum again, the module refuses.
options:
  source:
    description: Where the data comes from - V(data) is this host's own member, V(snapshot) is O(snapshot).
    type: str
    choices: [data, snapshot]
    required: true
  snapshot:
    description: The path of a snapshot on this host, in clear.
    type: path
  cluster_id:
    description:
      - The id of the cluster, as confirmation; the plan prints it. A host that carries no CA of Kubernetes', as one of
        etcd alone, compares it with a snapshot only.
    type: str
    required: true
  name:
    description: The name that the member must have. By default the manifest's.
    type: str
    default: ''
  peer_url:
    description: Where its peers find it. By default the manifest's.
    type: str
    default: ''
  data_dir:
    description: Where it keeps its data. By default the manifest's.
    type: path
    default: ''
  endpoints:
    description: Client URLs of other members, where a quorum is looked for besides those that this host's etcd knows.
    type: list
    elements: str
    default: []
  etcd_version:
    description: The release of etcd in its image, such as V(3.5.16), where neither etcd nor the image's tag says it.
    type: str
    default: ''
  timeout_seconds:
    description: How long etcd, the kubelet and the API server may take for one step.
    type: int
    default: 300
seealso:
  - module: kubeadm.ha.etcd_wipe
"""

EXAMPLES = r"""
- name: Begin again with what this host has
  kubeadm.ha.etcd_restore:
    source: data
    cluster_id: 0123456789ab

- name: Begin again with a snapshot that was copied to this host
  kubeadm.ha.etcd_restore:
    source: snapshot
    snapshot: /var/backups/kubeadm.ha/etcd.db
    cluster_id: 0123456789ab
"""

RETURN = r"""
made:
  description: The steps that were done, in check mode those that would be. A run that was interrupted leaves fewer.
  returned: success
  type: list
  elements: str
kept:
  description: The folder that holds the former member's data as C(member). Not in check mode.
  returned: when changed, and not in check mode
  type: str
  sample: /var/lib/etcd-before-20260102T030405Z
revision:
  description: The revision of the restored data. Not in check mode.
  returned: when changed, and not in check mode
  type: int
keys:
  description: How many keys it holds. Not in check mode.
  returned: when changed, and not in check mode
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_restoring, set_aside
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_restorer import Restorer, Wish
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import KubeadmFailed, alone
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal


def restore(module: AnsibleModule) -> dict[str, Any]:
    """Do what is left to do, and return what is to be told of it."""
    options = module.params
    restorer = Restorer(
        Wish(
            source=options["source"],
            cluster_id=options["cluster_id"],
            snapshot=options["snapshot"] or "",
            name=options["name"],
            peer_url=options["peer_url"],
            data_dir=options["data_dir"],
            etcd_version=options["etcd_version"],
            endpoints=tuple(options["endpoints"]),
            timeout=float(options["timeout_seconds"]),
        ),
        lambda: set_aside.restart_kubelet("this host", module.run_command),
    )
    restorer.check()
    for warning in restorer.warnings:
        module.warn(warning)
    made = etcd_restoring.steps(restorer.next_step())
    told = {}
    if not module.check_mode:
        restorer.work()
        told = {"kept": restorer.kept, **restorer.told()}
    # What was interrupted goes on with what was prepared, whatever is asked for now.
    diff = {"before": "", "after": "".join(f"{step}\n" for step in made)}
    return {"changed": True, "made": made, "diff": diff, **told}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "choices": ["data", "snapshot"], "required": True},
            "snapshot": {"type": "path"},
            "cluster_id": {"type": "str", "required": True},
            "name": {"type": "str", "default": ""},
            "peer_url": {"type": "str", "default": ""},
            "data_dir": {"type": "path", "default": ""},
            "endpoints": {"type": "list", "elements": "str", "default": []},
            "etcd_version": {"type": "str", "default": ""},
            "timeout_seconds": {"type": "int", "default": 300},
        },
        required_if=[["source", "snapshot", ["snapshot"]]],
        supports_check_mode=True,
    )
    try:
        with alone(module.check_mode):
            result = restore(module)
    except (KubeadmFailed, RequestFailed, Refusal, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
