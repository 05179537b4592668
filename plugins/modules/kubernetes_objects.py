#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_objects
short_description: Keep objects in the cluster as they are written
version_added: 0.1.0
description:
  - Applies objects through this control plane's own API server, server-side, so that what other managers set on the
    same objects stays.
  - Asks the server itself, by a dry run, whether that changes anything. An object's C(status) is the cluster's to say,
    and is neither sent nor compared.
  - Namespaces come first, then definitions of custom resources, which are waited for until the server serves them. What
    the server refuses is told at the end, all of it.
  - An object that is no longer among O(objects) stays in the cluster.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  objects:
    description: The objects, each with C(apiVersion), C(kind) and C(metadata).
    type: list
    elements: dict
    default: []
  packed_objects:
    description:
      - More objects, as base64 of a JSON list. So they are one value, which is neither logged nor shown; manifests are
        large, and may hold secrets.
    type: str
"""

EXAMPLES = r"""
- name: Keep a namespace
  kubeadm.ha.kubernetes_objects:
    objects:
      - apiVersion: v1
        kind: Namespace
        metadata:
          name: monitoring

- name: Keep what a manifest brings
  kubeadm.ha.kubernetes_objects:
    packed_objects: >-
      {{ lookup('ansible.builtin.file', 'monitoring.yml') | from_yaml_all | list | to_json | b64encode }}
"""

RETURN = r"""
changed_objects:
  description: Kind and name of the objects that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
"""

import base64
import json

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import kube_api, kube_objects
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "objects": {"type": "list", "elements": "dict", "default": []},
            "packed_objects": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    packed = module.params["packed_objects"]
    try:
        wanted = module.params["objects"] + (json.loads(base64.b64decode(packed)) if packed else [])
    except ValueError:
        module.fail_json(msg="packed_objects: found something else, wanted base64 of a JSON list.")
    if module.check_mode and not kube_api.has_admin():
        # The cluster would be begun by now, and holds none of these.
        module.exit_json(
            changed=True,
            changed_objects=[kube_objects.title(each) for each in wanted],
            diff=[kube_objects.difference(None, each) for each in wanted],
        )
    try:
        cluster = kube_objects.Objects(kube_api.local_admin(), wanted, check_mode=module.check_mode)
        cluster.keep()
    except RequestFailed as error:
        module.fail_json(msg=str(error))
    if cluster.refused:
        module.fail_json(msg="\n".join(cluster.refused), changed=bool(cluster.changed), changed_objects=cluster.changed)
    module.exit_json(changed=bool(cluster.changed), changed_objects=cluster.changed, diff=cluster.diffs)


if __name__ == "__main__":
    main()
