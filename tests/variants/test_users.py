# SPDX-License-Identifier: GPL-3.0-or-later
"""A user may do what is listed for her, by the real API, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import STATE, api, playbook, succeed

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kube_api import KubeApi

pytestmark = pytest.mark.usefixtures("cluster")

JANE = STATE / "jane.kubeconfig"
PODS = "/api/v1/namespaces/shop/pods"


def as_user(path: Path) -> KubeApi:
    return KubeApi(kubeconfig.parse(path.read_text()), 5.0)


def refused(path: Path, target: str, method: str = "GET", body: dict[str, object] | None = None) -> bool:
    """Whether the API lets the user in, and says no."""
    try:
        as_user(path).request(method, target, body)
    except RequestFailed as error:
        assert error.status == 403, error
        return True
    return False


def test_user_sees_her_namespace_and_nothing_else() -> None:
    assert JANE.stat().st_mode & 0o777 == 0o600
    assert as_user(JANE).get(PODS)["items"] == []
    assert refused(JANE, "/api/v1/namespaces/default/pods")
    assert refused(JANE, "/api/v1/nodes")
    assert refused(JANE, "/api/v1/namespaces/shop/secrets")
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    assert refused(JANE, "/api/v1/namespaces/shop/configmaps", "POST", config_map)
    who = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    assert not refused(JANE, who, "POST", {"spec": {"namespace": "shop"}})


def test_user_s_groups_have_the_rights_that_others_bind_to_them() -> None:
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    api().create(
        bindings,
        {
            "metadata": {"name": "developers"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:node-problem-detector",
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "developers"}],
        },
    )
    try:
        assert not refused(JANE, "/api/v1/nodes/w1")
    finally:
        api().delete(f"{bindings}/developers")


@pytest.mark.on_demand
def test_user_who_is_listed_no_more_loses_her_bindings_and_a_changed_one_gets_hers(
    inventory: Path, tmp_path: Path
) -> None:
    joe = {"name": "joe@example.com", "path": str(tmp_path / "joe"), "bindings": [{"cluster_role": "view"}]}
    others = ("-e", json.dumps({"cluster_users": [joe]}), "--limit", "cp1")
    before = JANE.read_text()
    foretold = succeed(playbook(*others, "--check", "--diff", inventory=inventory))
    assert "-user jane: view in namespace shop" in foretold.output
    assert "+user joe@example.com: view in the whole cluster" in foretold.output
    assert not (tmp_path / "joe").exists()
    assert not refused(JANE, PODS)
    run = succeed(playbook(*others, inventory=inventory))
    assert "jane is not in the list of users any more" in run.output
    assert "PRIVATE KEY" not in run.output
    assert foretold.changed == run.changed == {"cp1": 1}
    assert refused(JANE, PODS)
    assert JANE.read_text() == before
    assert not refused(tmp_path / "joe", "/api/v1/namespaces/default/pods")
    assert refused(tmp_path / "joe", "/api/v1/nodes")
    assert set(succeed(playbook(*others, inventory=inventory)).changed.values()) == {0}
    assert set(succeed(playbook("--limit", "cp1", inventory=inventory)).changed.values()) == {1}
    assert not refused(JANE, PODS)
    assert JANE.read_text() == before


def test_role_that_does_not_exist_is_refused(inventory: Path) -> None:
    jane = {"name": "jane", "groups": ["developers"], "bindings": [{"cluster_role": "veiw", "namespace": "shop"}]}
    run = playbook("-e", json.dumps({"cluster_users": [jane]}), "--limit", "cp1", "--check", inventory=inventory)
    assert run.code != 0
    assert "ClusterRole veiw: found none" in run.output
