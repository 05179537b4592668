#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_drain
short_description: Empty a node of its pods, or leave it as it was
version_added: 0.2.0
description:
  - Closes a node to new pods, and evicts those that are there, through this control plane's own API server. Nothing is
    deleted past a PodDisruptionBudget.
  - Waits until they are gone. Where that takes longer than O(timeout_seconds), it opens the node again, unless somebody
    else had closed it, and fails with every pod that is still there and why.
  - Leaves pods of DaemonSets, static pods and pods that have ended. What pods keep in C(emptyDir) goes with them, and
    pods without a controller are gone for good; the result names these.
  - Stops waiting, and succeeds, where the node itself stops being Ready, for nobody would confirm then that a pod has
    ended. The result names the pods.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  name:
    description: The node's name. One that is not there is drained.
    type: str
    required: true
  timeout_seconds:
    description: How long all of it may take.
    type: int
    default: 300
seealso:
  - module: kubeadm.ha.cluster_node
"""

EXAMPLES = r"""
- name: Empty a worker before it goes
  kubeadm.ha.node_drain:
    name: w3
    timeout_seconds: 120
"""

RETURN = r"""
evicted:
  description: Namespaces and names of the pods that were told to leave, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [shop/cart-5d8f6c9b7-x2x4f]
unmanaged:
  description: Those of them that no controller makes anew elsewhere.
  returned: success
  type: list
  elements: str
left:
  description: Pods that nobody could confirm to be gone, for the node stopped being Ready meanwhile.
  returned: success
  type: list
  elements: str
"""

import contextlib
import time
from collections.abc import Iterator

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import draining, evidence, kube_api
from ansible_collections.kubeadm.ha.plugins.module_utils.draining import Outcome, Pod
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import Document, RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal

MERGE = "application/merge-patch+json"
PAUSE_SECONDS = 1.0
# Of the answers to an eviction: it is gone already; not now, by a budget, or by a server that is busy, or because this
# pod has changed, or because its namespace goes away; and 500 where several budgets speak of one pod.
GONE = 404
NOT_NOW = (403, 409, 429, 500, 503, 504)


class Drain:
    """One node, and the time that there is for it."""

    def __init__(self, api: kube_api.KubeApi, name: str, patience: float) -> None:
        self._api, self._name, self._patience = api, name, patience
        self._path = f"/api/v1/nodes/{name}"
        self._deadline = time.monotonic() + patience
        self._reasons: dict[str, str] = {}
        self._first: set[str] | None = None
        self.outcome = Outcome()

    def foretell(self) -> None:
        """What would be done.

        Raises:
            RequestFailed: the API server does not answer.
        """
        node = self._api.find(self._path)
        if node is None:
            return
        pods = self._pods()
        self.outcome = Outcome(
            there=True,
            cordoned=not draining.is_closed(node),
            evicted=[pod.title for pod in pods if not pod.leaving],
            unmanaged=[pod.title for pod in pods if not pod.managed],
        )

    def run(self) -> None:
        """Close the node, and return when it is empty, or has died.

        Raises:
            Refusal: pods are left when the time is over; the node is as it was.
            RequestFailed: the API server does not answer for too long.
        """
        node = self._api.find(self._path)
        if node is None:
            return
        self.outcome.there = True
        if not draining.is_closed(node):
            self._api.request("PATCH", self._path, draining.closing(closed=True), MERGE)
            self.outcome.cordoned = True
        with self._opened_where_it_fails(ours=self.outcome.cordoned or draining.is_ours(node)):
            self._empty()

    @contextlib.contextmanager
    def _opened_where_it_fails(self, *, ours: bool) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if ours:
                # Whatever else is wrong, the first reason is the one to be told.
                with contextlib.suppress(RequestFailed):
                    self._api.request("PATCH", self._path, draining.closing(closed=False), MERGE)
            raise

    def _empty(self) -> None:
        version = draining.eviction_version(self._api.get("/api/v1"))
        pods: list[Pod] = []
        while True:
            late = time.monotonic() >= self._deadline
            try:
                pods = self._pods()
                if not pods:
                    return
                if self._is_dead():
                    self.outcome.left = [pod.title for pod in pods]
                    return
                if not late:
                    for pod in pods:
                        self._evict(pod, version)
            except RequestFailed:
                # Its API server may restart meanwhile; a control plane of several is another one's to speak for.
                if late:
                    raise
            if late:
                raise Refusal(self._problem(pod) for pod in pods)
            time.sleep(PAUSE_SECONDS)

    def _pods(self) -> list[Pod]:
        """Those that have to leave still; not those that came to a closed node, and would do so again."""
        listed = self._api.get(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self._name}")["items"]
        found = draining.to_leave(listed)
        if self._first is None:
            self._first = {pod.uid for pod in found}
        return [pod for pod in found if not pod.returns or pod.uid in self._first]

    def _is_dead(self) -> bool:
        node = self._api.find(self._path)
        return node is None or not evidence.describe_node(node)["ready"]

    def _evict(self, pod: Pod, version: str) -> None:
        if pod.leaving:
            self._reasons[pod.title] = "told to end, and has not yet"
            return
        try:
            self._api.create(pod.path, draining.eviction(pod, version))
        except RequestFailed as error:
            if error.status == GONE:
                return
            if error.status not in NOT_NOW:
                raise
            self._reasons[pod.title] = str(error).partition(": ")[2]
            return
        self._reasons[pod.title] = "told to end, and has not yet"
        if pod.title not in self.outcome.evicted:
            self.outcome.evicted.append(pod.title)
        if not pod.managed and pod.title not in self.outcome.unmanaged:
            self.outcome.unmanaged.append(pod.title)

    def _problem(self, pod: Pod) -> Problem:
        return Problem(
            host=self._name,
            subject=f"pod {pod.title}",
            found=f"it still there after {self._patience:.0f} s ({self._reasons.get(pod.title, 'not asked yet')})",
            wanted="it gone",
            action="Given up, and the node is as it was: see its PodDisruptionBudget and why it does not end, or allow "
            "more time.",
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "timeout_seconds": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    try:
        drain = Drain(kube_api.local_admin(), name, module.params["timeout_seconds"])
    except RequestFailed as error:
        module.fail_json(msg=str(error))
    try:
        if module.check_mode:
            drain.foretell()
        else:
            drain.run()
    except (RequestFailed, Refusal, ValueError) as error:
        module.fail_json(msg=str(error), changed=bool(drain.outcome.evicted), evicted=drain.outcome.evicted)
    outcome: Outcome = drain.outcome
    result: Document = {name: sorted(getattr(outcome, name)) for name in ("evicted", "unmanaged", "left")}
    module.exit_json(changed=outcome.changed, diff=draining.diff(name, outcome), **result)


if __name__ == "__main__":
    main()
