# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: sandbox_image
short_description: The pause image that a Kubernetes version expects
version_added: 0.1.0
description:
  - The image that the container runtime holds a pod's namespaces with, as the kubeadm of that version names it.
positional: _input
options:
  _input:
    description: A Kubernetes version.
    type: str
    required: true
  repository:
    description: The image repository, where it is not the version's own.
    type: str
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ '1.20.2' | kubeadm.ha.sandbox_image }}"
"""

RETURN = r"""
_value:
  description: Repository, name and tag.
  type: str
  sample: k8s.gcr.io/pause:3.2
"""

from collections.abc import Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.kubeadm.ha.plugins.module_utils import versions


def sandbox_image(version: str, repository: str | None = None) -> str:
    """See DOCUMENTATION."""
    try:
        return versions.sandbox_image(versions.parse(version), repository)
    except ValueError as error:
        raise AnsibleFilterError(f"sandbox_image: {error}") from error


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"sandbox_image": sandbox_image}
