#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_snapshot_info
short_description: Tell what is in a snapshot, and whether it may be used
version_added: 0.1.0
description:
  - Reads a snapshot of etcd, or the database of a member that does not run, page by page, and tells what it says of
    itself. Its digest is compared where it has one; a database that was copied out of a data directory has none.
  - Of an encrypted snapshot it tells the header, and whether the file has the length that it had. Nobody vouches for a
    header until M(kubeadm.ha.cluster_snapshot_open) has opened the file.
  - Fails where the snapshot is damaged, or is not what is expected of it. Changes nothing.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
options:
  path:
    description: The file, on this host.
    type: path
    required: true
  cluster_id:
    description: The id of the cluster that it must be of.
    type: str
    default: ""
  kube_system_uid:
    description: The uid that the namespace kube-system must have in it.
    type: str
    default: ""
  least_revision:
    description: The revision that it must know at least, so that an older one is refused.
    type: int
    default: 0
  keys:
    description: Keys of etcd that must be in it. Of an encrypted one nobody can tell.
    type: list
    elements: str
    default: []
  prefix:
    description: Below which API servers keep their keys.
    type: str
    default: /registry
seealso:
  - module: kubeadm.ha.cluster_snapshot
  - module: kubeadm.ha.etcd_snapshot
"""

EXAMPLES = r"""
- name: See whose snapshot it is, and how old
  kubeadm.ha.cluster_snapshot_info:
    path: /srv/snapshots/kubernetes-0123456789ab-20261120T200000Z.snapshot
  delegate_to: localhost

- name: Refuse one of another cluster, and one that is older than what is known
  kubeadm.ha.cluster_snapshot_info:
    path: /var/backups/kubeadm.ha/before.db
    cluster_id: 0123456789ab
    least_revision: 81234
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
encrypted:
  description: Whether it is, so that this is what its header says.
  returned: success
  type: bool
size_bytes:
  description: Size of the file.
  returned: success
  type: int
cluster_id:
  description: The id of the cluster, by its CA. Empty where the snapshot does not say.
  returned: success
  type: str
kube_system_uid:
  description: The uid of the namespace kube-system, by which a cluster is told from one that was made anew.
  returned: success
  type: str
sha256:
  description: Of etcd's database.
  returned: success
  type: str
revision:
  description: The last change that is in it.
  returned: success
  type: int
keys:
  description: How many keys it holds.
  returned: success
  type: int
revisions:
  description: How many changes are kept, deletions included.
  returned: of one in clear
  type: int
compacted_revision:
  description: The oldest change that can still be told; 0 where none was ever taken back.
  returned: of one in clear
  type: int
consistent_index:
  description: How far it knows raft's log.
  returned: of one in clear
  type: int
digest:
  description: What the file itself says of the database; empty where it does not.
  returned: of one in clear
  type: str
cluster_version:
  description: The version that etcd's members have agreed upon.
  returned: of one in clear
  type: str
members:
  description: The members of etcd when it was taken, with C(id), C(name), C(peer_urls), C(client_urls) and C(learner).
  returned: of one in clear
  type: list
  elements: dict
header:
  description:
    - What the file says of itself, with C(cluster_name), C(kubernetes_version), C(taken_at), C(files), C(etcd) and
      C(sealed_for), the fingerprint of the public key that it is sealed to.
  returned: of an encrypted one
  type: dict
"""

import os
import socket
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import envelope, etcd_snapshot, snapshot_files
from ansible_collections.kubeadm.ha.plugins.module_utils.files import unreadable
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal

EXPECTED = ("cluster_id", "kube_system_uid", "least_revision")


def look(options: dict[str, Any]) -> dict[str, Any]:
    """What the snapshot says.

    Raises:
        UnusableSnapshot: it is none.
        EnvelopeBroken: it is cut short.
        Refusal: it is not what is expected.
        OSError: it cannot be read.
    """
    path = options["path"]
    with open(path, "rb") as file:
        descriptor, size = file.fileno(), os.fstat(file.fileno()).st_size

        def read_at(offset: int, length: int) -> bytes:
            return os.pread(descriptor, length, offset)

        if envelope.is_envelope(read_at):
            header = snapshot_files.read_header(read_at, size, path)
            found = snapshot_files.of_header(header, path)
            more: dict[str, Any] = {"header": snapshot_files.shown(header), "size_bytes": size}
        else:
            found = etcd_snapshot.read_from(read_at, size, path, options["prefix"], options["keys"])
            more = found.as_dict()
    encrypted = "header" in more
    expected: dict[str, Any] = {name: options[name] for name in EXPECTED}
    keys = [] if encrypted else options["keys"]
    problems = etcd_snapshot.judge(found, host=socket.gethostname(), keys=keys, **expected)
    if problems:
        raise Refusal(problems)
    common = {name: getattr(found, name) for name in ("path", "cluster_id", "kube_system_uid", "sha256")}
    return {**common, "revision": found.revision, "keys": found.keys, "encrypted": encrypted, **more}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "cluster_id": {"type": "str", "default": ""},
            "kube_system_uid": {"type": "str", "default": ""},
            "least_revision": {"type": "int", "default": 0},
            "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "prefix": {"type": "str", "default": etcd_snapshot.PREFIX},
        },
        supports_check_mode=True,
    )
    try:
        result = look(module.params)
    except (Refusal, ValueError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=unreadable(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
