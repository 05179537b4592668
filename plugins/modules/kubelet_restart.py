#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_restart
short_description: Let this node forget what it knows of the API, while no API server answers
version_added: 0.1.0
description:
  - Restarts the kubelet, then ends kube-proxy and CoreDNS, which the kubelet starts anew once it sees the API again.
    Other containers go on, and the rules that kube-proxy has laid stay.
  - To be run after every API server was stopped and before the first one serves what was restored. Then nothing on the
    node holds a revision that no longer is, and a run that was killed need not know which nodes it has been to.
  - Does nothing where an API server answers at O(endpoint), or where no kubelet runs.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
attributes:
  idempotent:
    support: partial
    details: While no API server answers, it restarts the kubelet each time.
options:
  endpoint:
    description: The control plane endpoint, C(host:port).
    type: str
    required: true
seealso:
  - module: kubeadm.ha.control_plane_pods
"""

EXAMPLES = r"""
- name: Forget what the API was
  kubeadm.ha.kubelet_restart:
    endpoint: 192.0.2.10:6443
"""

RETURN = r"""
programs:
  description: Those that were restarted, in check mode those that would be.
  returned: success
  type: list
  elements: str
  sample: [kubelet, kube-proxy]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, kube_api, set_aside
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal

KUBELET = "kubelet"
# What kubeadm adds to a cluster that watches the API from within.
WATCHERS = ("kube-proxy", "coredns")


def api_answers(endpoint: str) -> bool:
    """Whether an API server is there, whatever it says; a load balancer without one closes the connection."""
    try:
        kube_api.cluster_info(f"https://{endpoint}", 5.0)
    except RequestFailed:
        return False
    return True


def main() -> None:
    module = AnsibleModule(
        argument_spec={"endpoint": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    host = evidence.identity() or "this host"
    programs = [name for name in (KUBELET, *WATCHERS) if set_aside.runs(name)]
    if KUBELET not in programs or api_answers(module.params["endpoint"]):
        programs = []
    if programs and not module.check_mode:
        try:
            # The kubelet first: one that still knew the pods would start them again at once, with no API to ask.
            set_aside.restart_kubelet(host, module.run_command)
            set_aside.end(host, WATCHERS, 60.0)
        except (Refusal, OSError) as error:
            module.fail_json(msg=str(error))
    diff = {"before": "", "after": "".join(f"restart {name}\n" for name in programs)}
    module.exit_json(changed=bool(programs), programs=programs, diff=diff)


if __name__ == "__main__":
    main()
