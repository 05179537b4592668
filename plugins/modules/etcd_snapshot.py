#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_snapshot
short_description: Take a snapshot of etcd, in clear
version_added: 0.1.0
description:
  - Takes a snapshot as C(etcdctl snapshot save) does, by etcd's JSON gateway, and writes it with mode 0600 as it comes.
    It takes its place once it was read back, page by page, and is what etcd says that it sent.
  - The member that gives it first answers a read that a quorum stands behind, so that no write is missing that was
    acknowledged before.
  - Looks first whether there is room for it. What a run leaves that is killed, the next run with the same O(dest)
    overwrites.
  - A snapshot holds every Secret of the cluster. Where it is to leave the host, take M(kubeadm.ha.cluster_snapshot),
    which never writes it in clear.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._etcd
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
attributes:
  idempotent:
    support: none
    details: Each run takes a snapshot of what there is by then.
options:
  dest:
    description: Where to put it on this host. A folder that is not there is made, for root alone.
    type: path
    required: true
  quorum:
    description:
      - Whether a quorum must stand behind it. Where false and there is none, it is of what one member knows, the one of
        O(endpoints) that knows most.
    type: bool
    default: true
  timeout_seconds:
    description: For how long etcd may be silent before it is given up.
    type: int
    default: 30
seealso:
  - module: kubeadm.ha.cluster_snapshot
  - module: kubeadm.ha.cluster_snapshot_info
"""

EXAMPLES = r"""
- name: Keep a snapshot on this control plane
  kubeadm.ha.etcd_snapshot:
    dest: /var/backups/kubeadm.ha/before.db
  register: snapshot
"""

RETURN = r"""
path:
  description: Where it is.
  returned: success
  type: str
endpoint:
  description: The member that gave it.
  returned: success
  type: str
quorum:
  description: Whether a quorum stood behind it.
  returned: success
  type: bool
size_bytes:
  description: Size of the file, with the digest at its end.
  returned: success, not in check mode
  type: int
sha256:
  description: Of the database, as etcd said it and as it was read back.
  returned: success, not in check mode
  type: str
revision:
  description: The last change that is in it.
  returned: success, not in check mode
  type: int
keys:
  description: How many keys it holds.
  returned: success, not in check mode
  type: int
cluster_id:
  description: The id of the cluster, as it stands in the snapshot. Empty where that does not say.
  returned: success, not in check mode
  type: str
kube_system_uid:
  description: The uid of the namespace kube-system, by which a cluster is told from one that was made anew.
  returned: success, not in check mode
  type: str
"""

import os
import socket
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, etcd_cluster, etcd_snapshot, etcd_stream
from ansible_collections.kubeadm.ha.plugins.module_utils.files import partial, replacing
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal

TOLD = ("size_bytes", "sha256", "revision", "keys", "cluster_id", "kube_system_uid")


def take(options: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Take it, or in check mode see whether it could be taken.

    Raises:
        RequestFailed: etcd does not give it.
        Refusal: there is no room, another run is at it, or what came is no snapshot.
        OSError: it cannot be written.
    """
    dest, timeout = options["dest"], float(options["timeout_seconds"])
    context = etcd.client_context(options["ca_file"], options["cert_file"], options["key_file"])
    source = etcd_stream.choose(options["endpoints"], context, timeout, quorum=options["quorum"])
    problem = etcd_stream.room_problem(dest, source.database_bytes, etcd_stream.size_of(partial(dest)))
    if problem:
        raise Refusal([problem])
    result = {"path": dest, "endpoint": source.endpoint, "quorum": source.quorum}
    if check_mode:
        return result
    with replacing(dest) as file:
        for blob in etcd_stream.blobs(source, context, timeout):
            file.write(blob)
        file.flush()
        found = etcd_snapshot.read(partial(dest))
        problems = etcd_snapshot.judge(found, host=socket.gethostname(), least_revision=source.revision)
        if problems:
            raise Refusal(problems)
    return {**result, **{name: getattr(found, name) for name in TOLD}}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **etcd_cluster.ARGUMENT_SPEC,
            "dest": {"type": "path", "required": True},
            "quorum": {"type": "bool", "default": True},
            "timeout_seconds": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    dest = module.params["dest"]
    before = "a file\n" if os.path.lexists(dest) else ""
    try:
        result = take(module.params, check_mode=module.check_mode)
    except (RequestFailed, Refusal, etcd_snapshot.UnusableSnapshot, OSError) as error:
        module.fail_json(msg=str(error))
    shown = {"before_header": dest, "after_header": dest, "before": before, "after": "a snapshot of etcd, 0600\n"}
    module.exit_json(changed=True, diff=shown, **result)


if __name__ == "__main__":
    main()
