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
  - Asks the server itself, by a dry run, whether that changes anything.
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
    required: true
"""

EXAMPLES = r"""
- name: Keep a namespace
  kubeadm.ha.kubernetes_objects:
    objects:
      - apiVersion: v1
        kind: Namespace
        metadata:
          name: monitoring
"""

RETURN = r"""
changed_objects:
  description: Kind and name of the objects that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
"""

import json

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import kube_api
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import Document, RequestFailed

APPLY = "fieldManager=kubeadm.ha&force=true"
# Written by the server at every turn, so no part of what an object is.
BOOKKEEPING = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


class Objects:
    """Objects of one cluster by their kinds' paths, which the server is asked for once a group."""

    def __init__(self, api: kube_api.KubeApi) -> None:
        self._api = api
        self._resources: dict[str, list[Document]] = {}

    def path(self, wanted: Document) -> str:
        """Where an object lives.

        Raises:
            RequestFailed: the server has no such kind.
        """
        group = wanted["apiVersion"]
        root = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        if group not in self._resources:
            self._resources[group] = self._api.get(root)["resources"]
        for resource in self._resources[group]:
            if resource["kind"] == wanted["kind"] and "/" not in resource["name"]:
                namespace = f"/namespaces/{wanted['metadata'].get('namespace', 'default')}"
                place = f"{namespace if resource['namespaced'] else ''}/{resource['name']}"
                return f"{root}{place}/{wanted['metadata']['name']}"
        raise RequestFailed(f"{group} {wanted['kind']}: found no such kind on the server, wanted one that it knows")

    def apply(self, wanted: Document, *, dry_run: bool) -> tuple[Document | None, Document]:
        """The object as it was, None where there was none, and as it is or would be."""
        path = self.path(wanted)
        query = f"{APPLY}&dryRun=All" if dry_run else APPLY
        before = self._api.find(path)
        after = self._api.request("PATCH", f"{path}?{query}", wanted, "application/apply-patch+yaml")
        return before, after


def essence(found: Document | None) -> str:
    """An object as text without the server's bookkeeping; empty for none."""
    if found is None:
        return ""
    metadata = {key: value for key, value in found["metadata"].items() if key not in BOOKKEEPING}
    return json.dumps({**found, "metadata": metadata}, indent=2, sort_keys=True) + "\n"


def name(found: Document) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


def difference(before: Document | None, after: Document) -> dict[str, str]:
    """In the form that Ansible's diff mode shows."""
    return {
        "before_header": name(after),
        "after_header": name(after),
        "before": essence(before),
        "after": essence(after),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={"objects": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    changed, diffs = [], []
    try:
        if module.check_mode and not kube_api.has_admin():
            # The cluster would be begun by now, and holds none of these.
            wanted = module.params["objects"]
            module.exit_json(
                changed=True,
                changed_objects=[name(each) for each in wanted],
                diff=[difference(None, each) for each in wanted],
            )
        cluster = Objects(kube_api.local_admin())
        for wanted in module.params["objects"]:
            before, after = cluster.apply(wanted, dry_run=True)
            if essence(before) == essence(after):
                continue
            changed.append(name(wanted))
            diffs.append(difference(before, after))
            if not module.check_mode:
                cluster.apply(wanted, dry_run=False)
    except RequestFailed as error:
        module.fail_json(msg=str(error), changed_objects=changed)
    module.exit_json(changed=bool(changed), changed_objects=changed, diff=diffs)


if __name__ == "__main__":
    main()
