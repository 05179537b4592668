#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot_key
short_description: Hand the key of an encrypted snapshot to a host, sealed
version_added: 0.1.0
description:
  - Opens, on the controller, the key of a snapshot with the private key that it was sealed to, and seals it for the
    host that is to open the file. Neither of the two is ever shown, and neither travels in clear; the private key does
    not travel at all.
  - Makes sure that the file's header is what was written with that key. Changes nothing.
  - Runs on the controller alone.
requirements:
  - cryptography on the controller
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
  path:
    description: The encrypted snapshot, on the controller.
    type: path
    required: true
  private_key:
    description: Path of the private key on the controller, X25519 or RSA in PEM, as C(openssl genpkey) writes it.
    type: path
    required: true
  passphrase:
    description: The passphrase of the private key, where that is encrypted.
    type: str
    default: ""
  receiver:
    description: The public key that M(kubeadm.ha.cluster_snapshot_open) returned. Where empty, nothing is sealed.
    type: str
    default: ""
  cluster_id:
    description: The id of the cluster that the snapshot must be of.
    type: str
    default: ""
seealso:
  - module: kubeadm.ha.cluster_snapshot_open
"""

EXAMPLES = r"""
- name: Hand the key of the snapshot to the host that restores it
  kubeadm.ha.snapshot_key:
    path: /srv/snapshots/kubernetes-0123456789ab-20261120T200000Z.snapshot
    private_key: /root/snapshot.key
    receiver: "{{ request.public_key }}"
  register: key
"""

RETURN = r"""
envelope:
  description: The key, which that host alone can open. Empty without O(receiver).
  returned: success
  type: str
header:
  description: What the snapshot says of itself, now vouched for by its key.
  returned: success
  type: dict
"""
