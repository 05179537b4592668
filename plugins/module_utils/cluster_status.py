# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's ClusterStatus: the API servers by node, which kubeadm before 1.22 keeps beside the ClusterConfiguration.

Pure. ``kubeadm reset`` takes its own node out; of a host that is lost somebody else has to. Source: kubeadm's
apis/kubeadm/v1beta2 (types.go) and util/config/cluster.go of 1.20.
"""

from __future__ import annotations

import re

KEY = "ClusterStatus"


def without(text: str, node: str) -> str:
    """The ClusterStatus without one node; as it is where it does not have the node.

    Args:
        text: as kubeadm writes it: a key a line, two spaces a level.
        node: its name, in full.
    """
    entry = re.compile(rf"^  [\"']?{re.escape(node)}[\"']?:[ \t]*\n(?:    .*\n?)*", re.MULTILINE)
    section = re.search(r"^apiEndpoints:[ \t]*\n(?:[ \t]+.*\n?)*", text, re.MULTILINE)
    if section is None:
        return text
    kept = entry.sub("", section[0])
    return text[: section.start()] + kept + text[section.end() :]
