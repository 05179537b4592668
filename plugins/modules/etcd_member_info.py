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
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._etcd
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
seealso:
  - module: kubeadm.ha.etcd_member
"""

EXAMPLES = r"""
- name: Look at etcd from a control plane
  kubeadm.ha.etcd_member_info:
  register: etcd
"""

RETURN = r"""
members:
  description:
    - Every member with C(id) (a decimal string), C(name) (empty while it is not started), C(peer_urls), C(client_urls),
      C(learner), C(healthy), C(leader) and C(version).
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
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed


def main() -> None:
    module = AnsibleModule(argument_spec=etcd_cluster.ARGUMENT_SPEC, supports_check_mode=True)
    try:
        members = etcd_cluster.from_options(module.params).members()
    except (RequestFailed, OSError) as error:
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
