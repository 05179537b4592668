#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pki_import
short_description: Receive the certificates and keys that control planes share
version_added: 0.1.0
description:
  - With O(state=requested), makes a key for one envelope and returns its public half. The private half stays on this
    host, in memory (C(/run), for root alone), until an envelope has come or the next request replaces it.
  - With O(state=present), opens the envelope that M(kubeadm.ha.pki_export) sealed for that key, and writes what is in
    it. Before anything is written, each key has to belong to its certificate, and the CA has to be the one expected.
  - A file that is there and means the same is left alone. One of another cluster is refused, and nothing is written.
requirements:
  - cryptography for the Python of this host (package C(python3-cryptography)), not in check mode
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  state:
    description: Whether to ask for an envelope, or to open it.
    type: str
    choices: [requested, present]
    default: present
  host:
    description: The name under which this host is among the receivers of M(kubeadm.ha.pki_export).
    type: str
    required: true
  envelope:
    description: What was sealed for this host. Needed with O(state=present), but for check mode.
    type: str
  ca_hash:
    description: Public key hash of the cluster's CA. Needed with O(envelope).
    type: str
  fingerprints:
    description: What M(kubeadm.ha.pki_export) returned, by which check mode tells what would be written.
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
  - module: kubeadm.ha.pki_export
"""

EXAMPLES = r"""
- name: Ask for an envelope
  kubeadm.ha.pki_import:
    state: requested
    host: cp2
  register: request

- name: Open the envelope that pki_export has sealed on a control plane meanwhile
  kubeadm.ha.pki_import:
    host: cp2
    envelope: "{{ sealed.envelopes.cp2 }}"
    ca_hash: "{{ sealed.ca_hash }}"
"""

RETURN = r"""
public_key:
  description: What the envelope is to be sealed for; empty in check mode.
  returned: with O(state=requested)
  type: str
files:
  description: The files that were written, or in check mode would be.
  returned: with O(state=present)
  type: list
  elements: str
"""

import datetime
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import pki, receiver, sealing
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_each, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import KubeadmFailed, alone
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, describe

# On systemd's hosts /run is memory.
RECEIVER_KEY = "/run/kubeadm-ha-receiver.key"


def check_received(pairs: tuple[pki.Pair, ...], texts: Mapping[str, str], ca_hash: str) -> pki.Findings:
    """What has come, once it is known to be whole and the cluster's own.

    Raises:
        ValueError: it is not.
    """
    get = pki.judge(pairs, texts, datetime.datetime.now(datetime.timezone.utc))
    problems = get.problems + pki.missing(pairs, texts)
    authority = pki.CLUSTER_CA.public
    if get.public_keys.get(authority, ca_hash) != ca_hash:
        wanted = f"{ca_hash}, as discovery says"
        problems.append(Problem("", authority, str(get.public_keys[authority]), wanted, "Run again; see the plan."))
    _refuse(problems)
    return get


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise ValueError(describe(replace(problem, host=socket.gethostname()) for problem in problems))


def differing(pairs: tuple[pki.Pair, ...], have: Mapping[str, str], get: Mapping[str, str]) -> list[str]:
    """The files to be written: those that mean something else, or that others than root may read."""
    return [
        path
        for path in pki.paths(pairs)
        if path not in have
        or have[path] != get.get(path, have[path])
        or stat.S_IMODE(os.stat(path).st_mode) & ~pki.mode(pairs, path)
    ]


def shown(
    pairs: tuple[pki.Pair, ...], paths: list[str], have: Mapping[str, str], get: Mapping[str, str]
) -> dict[str, str]:
    """The change for diff mode: names, modes and fingerprints."""

    def lines(fingerprints: Mapping[str, str], otherwise: str) -> str:
        return "".join(
            f"{path} {pki.mode(pairs, path):04o} {fingerprints.get(path, otherwise)}\n"
            for path in paths
            if otherwise or path in fingerprints
        )

    before = lines(have, "")
    return {"before_header": pki.FOLDER, "after_header": pki.FOLDER, "before": before, "after": lines(get, "(to come)")}


def receive(module: AnsibleModule) -> dict[str, object]:
    """Write what is in the envelope, or in check mode tell what would be written.

    Raises:
        ValueError: there is no envelope, it cannot be opened, or what is in it must not be written here.
    """
    options = module.params
    pairs = pki.shared_pairs(options["etcd_client"])
    texts: dict[str, str] = {}
    get = pki.Findings(fingerprints=options["fingerprints"])
    if not module.check_mode:
        if not (options["envelope"] and options["ca_hash"]):
            raise ValueError("envelope and ca_hash: found none, wanted what pki_export returned for this host.")
        private = receiver.take(RECEIVER_KEY)
        texts = sealing.unseal(options["envelope"], private, pki.purpose(options["host"], options["ca_hash"], pairs))
        get = check_received(pairs, texts, options["ca_hash"])
    contents = read_each(pki.paths(pairs))
    have = pki.judge(pairs, contents, datetime.datetime.now(datetime.timezone.utc))
    _refuse(pki.foreign(have, get))
    paths = differing(pairs, have.fingerprints, get.fingerprints)
    if not module.check_mode:
        for path in paths:
            write_atomic(path, texts[path].encode(), pki.mode(pairs, path))
    result: dict[str, object] = {"changed": bool(paths), "files": paths}
    if paths:
        result["diff"] = shown(pairs, paths, have.fingerprints, get.fingerprints)
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["requested", "present"], "default": "present"},
            "host": {"type": "str", "required": True},
            # Ciphertext, and too much of it for a log.
            "envelope": {"type": "str", "no_log": True},
            "ca_hash": {"type": "str"},
            "fingerprints": {"type": "dict", "default": {}},
            "etcd_client": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    if sealing.IMPORT_ERROR and not module.check_mode:
        module.fail_json(msg=sealing.MISSING, exception=sealing.IMPORT_ERROR)
    try:
        if module.params["state"] == "requested":
            module.exit_json(changed=False, public_key="" if module.check_mode else receiver.request(RECEIVER_KEY))
        with alone(module.check_mode):
            result = receive(module)
    except (KubeadmFailed, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
