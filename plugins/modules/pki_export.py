#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pki_export
short_description: Seal the certificates and keys that control planes share
version_added: 0.1.0
description:
  - Reads, on a control plane, what a joining control plane needs of it - the cluster's CA, the key pair of service
    accounts, the front proxy's CA and etcd's CA, or with external etcd the three client files. Certificates of the
    control plane itself are never among them.
  - Checks that each key belongs to its certificate, and seals all of it for each receiver. Only the host that made the
    public key can open its envelope; whoever carries it sees ciphertext.
  - Changes nothing.
requirements:
  - cryptography for the Python of this host (package C(python3-cryptography)), not in check mode
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
attributes:
  idempotent:
    support: partial
    details: Nothing changes, but each envelope is sealed under a key of its own.
options:
  receivers:
    description:
      - For each host the public key that M(kubeadm.ha.pki_import) returned there. Hosts without one get nothing.
    type: dict
    default: {}
  etcd_client:
    description:
      - With external etcd, the paths of its CA, of the API server's client certificate and of its key, in this order.
        Empty with stacked etcd.
    type: list
    elements: path
    default: []
seealso:
  - module: kubeadm.ha.pki_import
"""

EXAMPLES = r"""
- name: Seal the shared certificates for two hosts
  kubeadm.ha.pki_export:
    receivers:
      cp2: "{{ hostvars.cp2.request.public_key }}"
      cp3: "{{ hostvars.cp3.request.public_key }}"
  register: sealed
"""

RETURN = r"""
envelopes:
  description: By host, what only this host can open.
  returned: success, empty in check mode
  type: dict
ca_hash:
  description: Public key hash of the cluster's CA, to which each envelope is bound.
  returned: when this host has one
  type: str
fingerprints:
  description: By path, what identifies the content. Of a private key it is the hash of its public half.
  returned: success
  type: dict
"""

import datetime
import socket
from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import pki, sealing
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_each
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, describe


def export(module: AnsibleModule) -> dict[str, object]:
    """The envelopes, and what is in them by name.

    Raises:
        ValueError: files are missing or damaged, or a receiver's key is none.
    """
    pairs = pki.shared_pairs(module.params["etcd_client"])
    contents = read_each(pki.paths(pairs))
    if module.check_mode and not contents:
        return {"envelopes": {}, "ca_hash": None, "fingerprints": {}}  # of a cluster that a real run would have made
    found = pki.judge(pairs, contents, datetime.datetime.now(datetime.timezone.utc))
    problems: list[Problem] = found.problems + pki.missing(pairs, contents)
    if problems:
        raise ValueError(describe(replace(problem, host=socket.gethostname()) for problem in problems))
    ca_hash = found.public_keys[pki.CLUSTER_CA.public]
    texts = {path: str(content) for path, content in contents.items()}
    envelopes = {
        host: sealing.seal(texts, key, pki.purpose(host, ca_hash, pairs))
        for host, key in module.params["receivers"].items()
        if key and not module.check_mode
    }
    return {"envelopes": envelopes, "ca_hash": ca_hash, "fingerprints": found.fingerprints}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "receivers": {"type": "dict", "default": {}},
            "etcd_client": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    if sealing.IMPORT_ERROR and not module.check_mode:
        module.fail_json(msg=sealing.MISSING, exception=sealing.IMPORT_ERROR)
    try:
        result = export(module)
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
