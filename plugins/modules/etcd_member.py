#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Add, promote, move or remove a member of etcd, and never risk the quorum
version_added: 0.1.0
description:
  - Adds a member as a learner where etcd knows those (from 3.4 on), promotes it once it is in step, tells its peers
    where to look for it, or removes it.
  - Looks at the members afresh before each change, makes one change at a time under a lock in etcd itself, and is done
    when a fresh look shows what was wanted.
  - Refuses anything while fewer voters than a quorum are healthy.
  - Refuses to add a member while a voter is not healthy, where another member has its peer URLs, and, before etcd 3.4,
    where the healthy voters would be no quorum until the new one is started.
  - Refuses to remove a voter that leaves fewer than O(least_voters), so from two members none by default, or whose
    leaving would leave fewer healthy voters than a quorum of the others.
  - Refuses to promote what is no started, healthy learner in step with the leader.
  - Refuses to move a learner, which etcd would make a voter, and a voter that the others cannot spare meanwhile.
  - Waits for what may pass, 30 s for a member that does not answer, and O(timeout_seconds) for a learner.
  - A member that is added is not started by this module; one that is removed stops by itself.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._etcd
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  state:
    description:
      - V(present) is a member at O(peer_urls), which may be a learner and need not be started. One that is elsewhere
        is moved, which asks its peers to look for it there.
      - V(voting) is a member that votes; a learner is waited for, and promoted when it is in step.
      - V(absent) is no such member.
    type: str
    choices: [present, voting, absent]
    default: present
  name:
    description:
      - The member's name. One that is not started has none, and is found by its peer URLs.
      - A started member of another name is another one, whatever its peer URLs are.
    type: str
    default: ''
  id:
    description: The member's id, decimal, as text. It goes before O(name) and O(peer_urls).
    type: str
    default: ''
  peer_urls:
    description: Where its peers find it.
    type: list
    elements: str
    default: []
  least_voters:
    description: How many voters a removal must leave. One member survives no failure at all.
    type: int
    default: 2
  timeout_seconds:
    description: How long to wait for another change to end, for a learner to be in step, and for etcd to accept.
    type: int
    default: 300
seealso:
  - module: kubeadm.ha.etcd_member_info
"""

EXAMPLES = r"""
- name: Announce a member that is about to be started
  kubeadm.ha.etcd_member:
    name: cp4
    peer_urls: [https://192.0.2.14:2380]

- name: Let it vote once it is in step
  kubeadm.ha.etcd_member:
    name: cp4
    state: voting

- name: Remove a member that was never started, and has no name
  kubeadm.ha.etcd_member:
    peer_urls: [https://192.0.2.14:2380]
    state: absent

- name: Remove a member whose host is lost
  kubeadm.ha.etcd_member:
    name: cp2
    state: absent
"""

RETURN = r"""
made:
  description: The changes in words, in check mode the next one.
  returned: success
  type: list
  elements: str
  sample: [promote cp4]
members:
  description: All members, as M(kubeadm.ha.etcd_member_info) tells them; in check mode as they would be.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_cluster, membership
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal


def needed(options: dict[str, Any], members: list[Member]) -> membership.Change | None:
    """The next change on the way to what is wanted; None once it is so.

    Raises:
        Refusal: it is not there, and cannot be added with what is known of it.
    """
    urls = tuple(options["peer_urls"])
    member = membership.find(members, member_id=options["id"], name=options["name"], peer_urls=urls)
    if options["state"] == "absent":
        return membership.Remove(member) if member else None
    if member is None:
        if urls and not options["id"]:
            return membership.Add(urls, learner=etcd_cluster.knows_learners(members))
        wanted = options["id"] or options["name"]
        found = ", ".join(membership.title(one) for one in members)
        raise Refusal([Problem(wanted, "etcd member", f"only {found}", "that one", "Name its peer_urls to add it.")])
    if urls and sorted(urls) != sorted(member.peer_urls):
        return membership.Move(member, urls)
    return membership.Promote(member) if options["state"] == "voting" and member.learner else None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **etcd_cluster.ARGUMENT_SPEC,
            "state": {"type": "str", "choices": ["present", "voting", "absent"], "default": "present"},
            "name": {"type": "str", "default": ""},
            "id": {"type": "str", "default": ""},
            "peer_urls": {"type": "list", "elements": "str", "default": []},
            "least_voters": {"type": "int", "default": 2},
            "timeout_seconds": {"type": "int", "default": 300},
        },
        required_one_of=[["name", "id", "peer_urls"]],
        supports_check_mode=True,
    )
    options = module.params
    try:
        cluster = etcd_cluster.from_options(options, patience=options["timeout_seconds"])
        before = cluster.members()
        made = cluster.change(
            lambda members: needed(options, members),
            host=options["name"] or options["id"] or options["peer_urls"][0],
            least_voters=options["least_voters"],
            check_mode=module.check_mode,
        )
        after = membership.after(made, before) if module.check_mode else cluster.members()
    except (RequestFailed, Refusal, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(made),
        made=[str(change) for change in made],
        members=[member.as_dict() for member in after],
        diff={"before": _lines(before), "after": _lines(after)},
    )


def _lines(members: list[Member]) -> str:
    """A line a member, without what changes by itself, their order included."""
    lines = [(one.name or "not started", "learner" if one.learner else "voter", *one.peer_urls) for one in members]
    return "".join(f"{' '.join(words)}\n" for words in sorted(lines))


if __name__ == "__main__":
    main()
