# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By what a cluster is told from another, also when none of its API servers answers: its CA, which every node has."""

from __future__ import annotations

_SCHEME = "sha256:"
_DIGITS = 12


def cluster_id(ca: str | None) -> str:
    """A cluster's id, short enough to be typed: the first twelve digits of its discovery hash.

    Args:
        ca: public key hash of the cluster's CA, ``sha256:…``.

    Returns:
        The digits, in lower case; nothing where there is no CA.
    """
    return (ca or "").removeprefix(_SCHEME)[:_DIGITS]
