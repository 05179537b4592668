# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions of kubeadm, kubelet and kubectl go with a control plane, and the rule that says so.

Sources: Kubernetes' version skew policy (kubernetes.io/releases/version-skew-policy), and kubeadm's own (Creating a
cluster with kubeadm, "Version skew policy"; MinimumKubeletVersion and MinimumControlPlaneVersion in
cmd/kubeadm/app/constants of 1.20 and 1.36; the release notes of 1.29).
"""

from __future__ import annotations

from .versions import Version

# From this kubeadm on, kubelets that join may be three minor versions older than it, and one before.
_LENIENT_KUBEADM = 29
# From this control plane on, kubelets may be three minor versions older than it, and two before. (That a kubelet before
# 1.25 may be two older at most, as the policy says since, follows.)
_LENIENT_CONTROL_PLANE = 28


def kubeadm_rule(kubeadm: Version, control_plane: Version) -> str | None:
    """Why this kubeadm is not the one for that control plane; None where it is."""
    if kubeadm.minor == control_plane.minor:
        return None
    return (
        f"1.{control_plane.minor}.x: hosts are joined by the minor version of kubeadm that the cluster was made with "
        "(kubeadm's version skew policy)"
    )


def kubelet_rule(kubelet: Version, control_plane: Version, *, joins: bool = False) -> str | None:
    """Why this kubelet cannot be a node of that control plane; None where it can.

    Args:
        kubelet: its version.
        control_plane: of the API servers.
        joins: it is kubeadm of the control plane's minor version that is to make it a node.
    """
    if kubelet.minor > control_plane.minor:
        return f"at most 1.{control_plane.minor}.x: a kubelet is never newer than the API server (version skew policy)"
    oldest = oldest_kubelet(control_plane)
    if kubelet.minor < oldest:
        return (
            f"at least 1.{oldest}.x: a kubelet is at most {control_plane.minor - oldest} minor versions older than the "
            "API server (version skew policy)"
        )
    first = control_plane.minor - (3 if control_plane.minor >= _LENIENT_KUBEADM else 1)
    if joins and kubelet.minor < first:
        return (
            f"at least 1.{first}.x: kubeadm 1.{control_plane.minor} refuses older kubelets (its preflight check "
            "KubeletVersion)"
        )
    return None


def oldest_kubelet(control_plane: Version) -> int:
    """The minor version of the oldest kubelet that the API server's version skew policy allows."""
    return control_plane.minor - (3 if control_plane.minor >= _LENIENT_CONTROL_PLANE else 2)


def kubectl_rule(kubectl: Version, control_plane: Version) -> str | None:
    """Why this kubectl should not speak to that control plane; None where it may."""
    if abs(kubectl.minor - control_plane.minor) <= 1:
        return None
    return (
        f"1.{control_plane.minor - 1}.x to 1.{control_plane.minor + 1}.x: kubectl is within one minor version of the "
        "API server (version skew policy)"
    )
