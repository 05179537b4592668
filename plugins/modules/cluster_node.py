#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_node
short_description: Take a node out of the cluster
version_added: 0.2.0
description:
  - Deletes a Node object through this control plane's own API server, and what kubeadm before 1.22 keeps of it in
    C(ClusterStatus). The cluster then clears away what belonged to the node.
  - Does nothing on the host itself. A kubelet that still runs there registers its node again when it starts anew.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  name:
    description: The node's name, in full.
    type: str
    required: true
  state:
    description: What becomes of it.
    type: str
    choices: [absent]
    default: absent
  timeout_seconds:
    description: How long to try while the API server does not answer.
    type: int
    default: 60
seealso:
  - module: kubeadm.ha.node_drain
"""

EXAMPLES = r"""
- name: Delete the node of a host that is gone
  kubeadm.ha.cluster_node:
    name: w3
    state: absent
"""

RETURN = r"""
node:
  description:
    - What the node was, with C(ready), C(control_plane), C(address), C(kubelet) and C(pod_cidr). Nothing where there
      was none.
  returned: success
  type: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import cluster_status, evidence, kube_api
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import Document, RequestFailed

PAUSE_SECONDS = 1.0


class Removal:
    """One node that goes.

    Attributes:
        node: what it was; see ``evidence.describe_node``.
        diffs: what was changed by all attempts together, by subject.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.node: Document = {}
        self.diffs: dict[str, Document] = {}

    def attempt(self, api: kube_api.KubeApi, *, check_mode: bool) -> None:
        """Bring it about, as far as it is not so yet.

        Raises:
            RequestFailed: the API server does not answer, or refuses.
        """
        path = f"/api/v1/nodes/{self._name}"
        node = api.find(path)
        self._forget(api, check_mode=check_mode)
        if node is None:
            return
        self.node = evidence.describe_node(node)
        self._note(f"node {self._name}", "".join(f"{key}: {value}\n" for key, value in self.node.items()), "")
        if not check_mode:
            api.delete(path)

    def _forget(self, api: kube_api.KubeApi, *, check_mode: bool) -> None:
        """Take it out of what kubeadm keeps."""
        config_map = api.find(evidence.KUBEADM_CONFIG) or {}
        data = config_map.get("data") or {}
        status = data.get(cluster_status.KEY, "")
        without = cluster_status.without(status, self._name)
        if without == status:
            return
        self._note(f"ConfigMap kube-system/kubeadm-config, {cluster_status.KEY}", status, without)
        if not check_mode:
            # With the version that was read, so that nobody else's change is lost.
            api.replace(evidence.KUBEADM_CONFIG, {**config_map, "data": {**data, cluster_status.KEY: without}})

    def _note(self, header: str, before: str, after: str) -> None:
        self.diffs[header] = {"before_header": header, "after_header": header, "before": before, "after": after}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["absent"], "default": "absent"},
            "timeout_seconds": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    options: dict[str, Any] = module.params
    deadline = time.monotonic() + options["timeout_seconds"]
    removal = Removal(options["name"])
    while True:
        try:
            removal.attempt(kube_api.local_admin(), check_mode=module.check_mode)
        except RequestFailed as error:
            # Nobody answers for a moment, or somebody else wrote at the same time.
            if time.monotonic() < deadline and (error.status in (0, 409, 429) or error.status >= 500):
                time.sleep(PAUSE_SECONDS)
                continue
            module.fail_json(msg=str(error))
        diffs = list(removal.diffs.values())
        module.exit_json(changed=bool(diffs), node=removal.node, diff=diffs)


if __name__ == "__main__":
    main()
