# SPDX-License-Identifier: GPL-3.0-or-later
"""A node leaves the API and kubeadm's ClusterStatus, and what an attempt did before it failed is told."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import cluster_status, evidence
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import Document, RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kube_api import KubeApi
from ansible_collections.kubeadm.ha.plugins.modules import cluster_node

STATUS = "apiEndpoints:\n  cp1:\n    advertiseAddress: 192.0.2.21\n  cp10:\n    advertiseAddress: 192.0.2.30\n"


class Api:
    """Two control planes with names that begin alike."""

    def __init__(self, *, status: bool = True) -> None:
        self.objects: dict[str, Document] = {
            **{f"/api/v1/nodes/{name}": {"metadata": {"name": name}} for name in ("cp1", "cp10")},
            evidence.KUBEADM_CONFIG: {"data": {cluster_status.KEY: STATUS} if status else {}},
        }
        self.fails = False

    def find(self, path: str) -> Document | None:
        return copy.deepcopy(self.objects.get(path))

    def replace(self, path: str, document: Document) -> Document:
        self.objects[path] = document
        return document

    def delete(self, path: str) -> bool:
        if self.fails:
            raise RequestFailed("DELETE …: timed out")
        return self.objects.pop(path, None) is not None


def attempt(removal: cluster_node.Removal, api: Any, *, check_mode: bool = False) -> None:
    removal.attempt(cast(KubeApi, api), check_mode=check_mode)


@pytest.mark.parametrize("status", [True, False])
def test_one_node_goes_and_no_other(*, status: bool) -> None:
    api, foretold, removal, again = Api(status=status), *(cluster_node.Removal("cp1") for _time in range(3))
    attempt(foretold, api, check_mode=True)
    assert "/api/v1/nodes/cp1" in api.objects
    attempt(removal, api)
    assert removal.diffs == foretold.diffs
    assert removal.node["control_plane"] is False
    assert api.objects.keys() == {"/api/v1/nodes/cp10", evidence.KUBEADM_CONFIG}
    if status:
        assert "cp10:" in api.objects[evidence.KUBEADM_CONFIG]["data"][cluster_status.KEY]
        assert "cp1:" not in api.objects[evidence.KUBEADM_CONFIG]["data"][cluster_status.KEY]
    attempt(again, api)
    assert again.diffs == {}


def test_what_a_failed_attempt_has_done_is_told() -> None:
    api, removal = Api(), cluster_node.Removal("cp1")
    api.fails = True
    with pytest.raises(RequestFailed):
        attempt(removal, api)
    api.fails = False
    attempt(removal, api)
    assert len(removal.diffs) == 2
