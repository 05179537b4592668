#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_static_pod
short_description: Run a member of etcd on this host, as a static pod that kubeadm describes
version_added: 0.1.0
description:
  - Starts this host's member together with the others where O(initial_cluster) is given, and adds it to the running
    cluster where it is not a member yet - as a learner that is promoted once it is in step.
  - A member that runs is restarted when it should be told something else, one member at a time in the whole cluster
    and only while the others have their quorum. One that does not come back gets its old manifest back.
  - With what a member was first started (C(--initial-cluster) and its state) stays in its manifest. etcd reads it only
    where it finds no data, and a member that was started with the others refuses to begin anew then, for these know it.
  - Needs a kubelet that runs static pods, and the member's certificates.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  version:
    description: The Kubernetes version whose kubeadm describes the pod.
    type: str
    required: true
  name:
    description: The member's name.
    type: str
    required: true
  address:
    description: The IP address at which clients and other members reach it.
    type: str
    required: true
  client_port:
    description: The port for clients.
    type: int
    default: 2379
  peer_port:
    description: The port for other members.
    type: int
    default: 2380
  data_dir:
    description: Where the member keeps its data.
    type: path
    default: /var/lib/etcd
  cri_socket:
    description: The container runtime's socket. kubeadm looks for one where it is not given.
    type: str
  cluster:
    description:
      - ClusterConfiguration in the words of C(kubeadm.k8s.io/v1beta4), of etcd what stands under C(etcd.local).
    type: dict
    default: {}
  initial_cluster:
    description:
      - The value of etcd's C(--initial-cluster), every member that is to start together for the first time. To be given
        only where nothing shows a cluster, which is for M(kubeadm.ha.cluster_plan) to establish.
      - The module does not wait then for the others, which may not have been started yet.
    type: str
  endpoints:
    description: Client URLs of the other members, of a cluster that runs.
    type: list
    elements: str
    default: []
  patience_seconds:
    description: How long one step of etcd may take.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Add a member to the cluster that runs
  kubeadm.ha.etcd_static_pod:
    version: 1.20.2
    name: etcd4
    address: 192.0.2.24
    endpoints: ["https://192.0.2.21:2379", "https://192.0.2.22:2379", "https://192.0.2.23:2379"]
"""

RETURN = r"""
reason:
  description: What was done, or in check mode would be, and why.
  returned: when changed
  type: str
  sample: start with the others
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    etcd,
    etcd_join,
    etcd_lock,
    etcd_pod,
    kubeadm_config,
    membership,
    static_pods,
    versions,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_cluster import EtcdCluster
from ansible_collections.kubeadm.ha.plugins.module_utils.evidence import ETCD_MANIFEST
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed, alone
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal


class StaticPod:
    """The pod of this host's member."""

    def __init__(self, module: AnsibleModule, lock: int | None) -> None:
        options = module.params
        self.place = etcd_pod.Place(
            **{name: options[name] for name in ("name", "address", "client_port", "peer_port", "data_dir")}
        )
        self._options = options
        self._kubeadm = Kubeadm(module, lock)
        self.manifest = read_text(ETCD_MANIFEST) or ""
        self.flags = static_pods.flags_of(self.manifest)
        self.has_data = os.path.isdir(f"{self.place.data_dir}/member")
        self._told = read_text(etcd_pod.CAUSE) or ""
        self.diff: list[dict[str, str]] = []

    def differs(self, first_start: dict[str, str]) -> bool:
        """Whether kubeadm would have to be told something else, which diff mode then shows."""
        wanted = self._text(first_start)
        if self.manifest and self._told == wanted:
            return False
        self.diff = [
            {"before_header": etcd_pod.CAUSE, "after_header": etcd_pod.CAUSE, "before": self._told, "after": wanted}
        ]
        return True

    def write(self, first_start: dict[str, str]) -> None:
        """Have kubeadm write the manifest, which the kubelet then follows.

        Raises:
            KubeadmFailed: it did not.
        """
        text = self._text(first_start)
        self._kubeadm.run(["init", "phase", "etcd", "local"], config=text)
        write_atomic(etcd_pod.CAUSE, text.encode(), 0o600)

    def put_back(self) -> None:
        """The manifest as it was before."""
        write_atomic(ETCD_MANIFEST, self.manifest.encode(), 0o600)
        write_atomic(etcd_pod.CAUSE, self._told.encode(), 0o600)

    def _text(self, first_start: dict[str, str]) -> str:
        options = self._options
        version = versions.parse(options["version"])
        described = etcd_pod.description(self.place, options["cluster"], options["cri_socket"], first_start)
        described.cluster.setdefault("kubernetesVersion", f"v{version}")
        at_hand = self._kubeadm.version() if self._kubeadm.installed else version
        return kubeadm_config.dump(kubeadm_config.render_init(described, at_hand))


def start(pod: StaticPod, initial_cluster: str, check_mode: bool) -> str | None:
    """Begin together with the others, or go on doing so."""
    first_start = {"initial-cluster": initial_cluster, "initial-cluster-state": etcd_pod.NEW}
    if not pod.differs(first_start):
        return None
    if not check_mode:
        pod.write(first_start)
    return "start with the others"


def keep(pod: StaticPod, cluster: EtcdCluster, patience: float, check_mode: bool) -> str | None:
    """Be a member of the cluster that runs, told what it should be told."""
    members = cluster.members()
    own = membership.find(members, name=pod.place.name, peer_urls=[pod.place.peer_url])
    if own is None or not own.started or own.learner or not pod.has_data or not pod.manifest:
        reason = "join the cluster that runs" if own is None else "finish joining the cluster that runs"
        if not check_mode:
            etcd_join.join(
                cluster,
                name=pod.place.name,
                peer_url=pod.place.peer_url,
                data=f"{pod.place.data_dir}/member",
                start=lambda initial_cluster: pod.write(
                    {"initial-cluster": initial_cluster, "initial-cluster-state": etcd_pod.EXISTING}
                ),
            )
        return reason
    first_start = etcd_pod.first_start_of(pod.flags)
    if not pod.differs(first_start):
        return None
    if check_mode:
        refuse(membership.restart_problem(pod.place.name, members))
    else:
        lock = etcd_lock.Lock(cluster.ask)
        with lock.held(patience):
            # Looked at only now: another member may just have been restarted by the one that had the lock before.
            refuse(membership.restart_problem(pod.place.name, cluster.members()))
            lock.renew()
            restart(pod, first_start, cluster, lock, patience)
    return "restart with what it is told now"


def refuse(problem: Problem | None) -> None:
    """Stop where there is a problem."""
    if problem:
        raise Refusal([problem])


def restart(
    pod: StaticPod, first_start: dict[str, str], cluster: EtcdCluster, lock: etcd_lock.Lock, patience: float
) -> None:
    """Have the kubelet run the member anew, and wait until it is well again."""
    written = time.clock_gettime(time.CLOCK_BOOTTIME)
    pod.write(first_start)
    manifest = read_text(ETCD_MANIFEST) or ""
    if manifest == pod.manifest:
        return
    wanted = static_pods.flags_of(manifest)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        time.sleep(1)
        if not any(flags == wanted and began > written for flags, began in static_pods.running("etcd")):
            continue
        try:
            lock.renew()
            if any(member.name == pod.place.name and member.healthy for member in cluster.members()):
                return
        except RequestFailed:
            continue
    pod.put_back()
    raise RequestFailed(
        f"etcd: found no healthy member {pod.place.name} {patience:.0f} s after it was told something new, wanted one. "
        "The manifest is as it was before. See the log of its container, and correct what it was told."
    )


def act(module: AnsibleModule, lock: int | None) -> dict[str, Any]:
    """Bring the member about, and return what is to be told of it."""
    options = module.params
    pod = StaticPod(module, lock)
    if pod.has_data and pod.manifest:
        problems = etcd_pod.moved(pod.place, pod.flags)
        if problems:
            raise Refusal(problems)
    if options["initial_cluster"]:
        reason = start(pod, options["initial_cluster"], module.check_mode)
    elif module.check_mode and not etcd.has_client_certificate():
        reason = "join the cluster that runs"
    else:
        patience = float(options["patience_seconds"])
        # Others first: this host's own member may be on its way out or in.
        endpoints = [*options["endpoints"], pod.place.local_url]
        cluster = EtcdCluster(endpoints, etcd.local_context(), patience=patience)
        reason = keep(pod, cluster, patience, module.check_mode)
    return {"changed": reason is not None, "diff": pod.diff, **({"reason": reason} if reason else {})}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "client_port": {"type": "int", "default": 2379},
            "peer_port": {"type": "int", "default": 2380},
            "data_dir": {"type": "path", "default": "/var/lib/etcd"},
            "cri_socket": {"type": "str"},
            "cluster": {"type": "dict", "default": {}},
            "initial_cluster": {"type": "str"},
            "endpoints": {"type": "list", "elements": "str", "default": []},
            "patience_seconds": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    try:
        with alone(module.check_mode) as lock:
            result = act(module, lock)
    except (KubeadmFailed, RequestFailed, Refusal, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
