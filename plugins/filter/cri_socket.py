# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: cri_socket
short_description: Where kubeadm and the kubelet reach a container runtime
version_added: 0.1.0
description:
  - The socket of the runtime that is wanted, in the form that the Kubernetes version takes. Given to kubeadm always, so
    that it never has to guess on a host with more than one runtime.
positional: _input, version
options:
  _input:
    description: The runtime.
    type: str
    required: true
    choices: [containerd, crio, docker]
  version:
    description: The Kubernetes version.
    type: str
    required: true
  socket:
    description: The socket, where it is not the runtime's own; with or without C(unix://).
    type: str
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ 'containerd' | kubeadm.ha.cri_socket('1.34.0') }}"
"""

RETURN = r"""
_value:
  description: A bare path before Kubernetes 1.24, and one with C(unix://) from there on.
  type: str
  sample: unix:///run/containerd/containerd.sock
"""

from collections.abc import Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.kubeadm.ha.plugins.module_utils import container_runtimes, versions


def cri_socket(runtime: str, version: str, socket: str | None = None) -> str:
    """See DOCUMENTATION."""
    try:
        return container_runtimes.cri_socket(runtime, versions.parse(version), socket)
    except ValueError as error:
        raise AnsibleFilterError(f"cri_socket: {error}") from error


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"cri_socket": cri_socket}
