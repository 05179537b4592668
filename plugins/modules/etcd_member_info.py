#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member_info
short_description: Tell etcd's members, how each of them is, and how many more may fail
version_added: 0.1.0
description:
  - Asks a member that is sure of its answer, and every member how it is. Changes nothing.
  - Without a quorum it tells what is known, and that there is none.
  - Waits first for members that are to be healthy voters, where O(wait_for) names any.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._etcd
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
options:
  wait_for:
    description: Names of members to wait for, until they are healthy voters.
    type: list
    elements: str
    default: []
  timeout_seconds:
    description: How long to wait for them. Fails with those that are not.
    type: int
    default: 120
seealso:
  - module: kubeadm.ha.etcd_member
"""

EXAMPLES = r"""
- name: Look at etcd from a control plane
  kubeadm.ha.etcd_member_info:
  register: etcd

- name: Wait on an etcd host until all three members are well
  kubeadm.ha.etcd_member_info:
    wait_for: [etcd1, etcd2, etcd3]
"""

RETURN = r"""
members:
  description:
    - Every member with C(id) (a decimal string), C(name) (empty while it is not started), C(peer_urls), C(client_urls),
      C(learner), C(healthy), C(leader), C(version), C(index), which is how far it knows the log, and C(error), which is
      why it is not healthy.
  returned: success
  type: list
  elements: dict
voters:
  description: How many members vote.
  returned: success
  type: int
  sample: 3
healthy:
  description: How many of the voters are healthy.
  returned: success
  type: int
  sample: 3
quorum:
  description: How many of the voters must agree.
  returned: success
  type: int
  sample: 2
can_fail:
  description: How many more voters may fail before nothing can be written. Negative where that has come about.
  returned: success
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, etcd_cluster, membership
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem, Refusal


def unwell(names: list[str], members: list[Member]) -> Problem | None:
    """Which of these members are not what they should be, if any."""
    states = {name: membership.find(members, name=name) for name in names}
    found = [
        f"{name} {membership.state(member) if member else 'not listed'}"
        for name, member in sorted(states.items())
        if not member or member.learner or not member.healthy
    ]
    action = "See its log on that host, and that its peers reach it."
    return Problem(CLUSTER, "etcd members", "; ".join(found), "healthy voters", action) if found else None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **etcd_cluster.ARGUMENT_SPEC,
            "wait_for": {"type": "list", "elements": "str", "default": []},
            "timeout_seconds": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        cluster = etcd_cluster.from_options(options, patience=options["timeout_seconds"])
        if options["wait_for"]:
            cluster.wait(lambda members: unwell(options["wait_for"], members))
        members = cluster.members()
    except (RequestFailed, Refusal, OSError) as error:
        module.fail_json(msg=str(error))
    voters = membership.voters(members)
    healthy, quorum = membership.healthy(voters), etcd.quorum(len(voters))
    module.exit_json(
        changed=False,
        members=[member.as_dict() for member in members],
        voters=len(voters),
        healthy=healthy,
        quorum=quorum,
        can_fail=healthy - quorum,
    )


if __name__ == "__main__":
    main()
