# SPDX-License-Identifier: GPL-3.0-or-later
"""Which manifests a pod network has, and what they must agree with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import pod_network, subnets, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem

PODS = subnets.parse("10.200.0.0/16")
DUAL = subnets.parse("10.200.0.0/16,fd00:1::/48")
SUM = f"sha256:{'0' * 64}"


def thing(kind: str, name: str = "x", version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def flannel(network: str = "10.244.0.0/16", **more: Any) -> dict[str, Any]:
    """Flannel's ConfigMap, as far as it says the network."""
    settings = {"Network": network, "Backend": {"Type": "vxlan"}, **more}
    return thing("ConfigMap", data={"net-conf.json": json.dumps(settings), "cni-conf.json": "{}"})


def workload(kind: str = "DaemonSet", volumes: Any = (), **env: str) -> dict[str, Any]:
    """A workload with Calico's container and these variables."""
    variables = [{"name": name, "value": value} for name, value in env.items()]
    containers = [{"name": "calico-node", "image": "x", "env": variables}, {"name": "other", "image": "y"}]
    pod = {"containers": containers, "volumes": list(volumes)}
    return thing(kind, version="apps/v1", spec={"template": {"spec": pod}})


def prepare(
    *documents: Any, network: str = "manifest", pods: Any = PODS, bin_dir: str = "/opt/cni/bin"
) -> tuple[list[dict[str, Any]], list[Problem]]:
    return pod_network.prepare(network, [("a.yml", documents)], pods, bin_dir)


def choice(network: str | None, manifests: Any = (), pods: str = "10.244.0.0/16", **more: Any) -> list[Problem]:
    variables = {"cluster_network": network, "cluster_network_manifests": manifests, "cluster_pod_subnet": pods}
    return pod_network.check_choice({**variables, "cluster_kubernetes_version": "1.33.1", **more})


# The choice.


@pytest.mark.parametrize("minor", range(versions.OLDEST_MINOR, versions.NEWEST_MINOR + 1))
def test_sources_of_flannel_and_calico_are_upstreams_with_a_checksum(minor: int) -> None:
    found = pod_network.sources("flannel", [], f"1.{minor}.0")
    found += pod_network.sources("calico", [], f"1.{minor}.0")
    assert len(found) == (1 if minor < 22 else 2)
    for source in found:
        assert source.is_url
        assert source.checksum
        assert choice("manifest", [{"source": source.place, "checksum": source.checksum}]) == []


def test_sources_of_the_user_come_first() -> None:
    found = pod_network.sources("calico", ["a.yml", {"source": "https://x/b.yml", "checksum": SUM}], "1.33.1")
    assert found == [pod_network.Source("a.yml"), pod_network.Source("https://x/b.yml", SUM)]


@pytest.mark.parametrize("network", pod_network.NETWORKS)
def test_check_choice_of_each_network_is_fine_with_what_it_needs(network: str) -> None:
    assert choice(network, ["a.yml"] if network in ("cilium", "manifest") else []) == []


@pytest.mark.parametrize(("network", "words"), [("cilium", "helm template"), ("manifest", "none of its own")])
def test_check_choice_without_a_manifest_that_it_needs_is_refused(network: str, words: str) -> None:
    (problem,) = choice(network)
    assert problem.subject == "cluster_network_manifests"
    assert words in problem.wanted


def test_check_choice_of_calico_for_a_version_without_a_release_is_refused() -> None:
    (problem,) = choice("calico", cluster_kubernetes_version="1.20.2")
    assert "1.20.2" in problem.wanted
    assert choice("calico", ["a.yml"], cluster_kubernetes_version="1.20.2") == []


@pytest.mark.parametrize("network", ["bridge", "none", None])
def test_check_choice_with_manifests_that_nothing_reads_is_refused(network: str | None) -> None:
    (problem,) = choice(network, ["a.yml"])
    assert problem.subject == "cluster_network_manifests"


@pytest.mark.parametrize("manifests", [[1], [{}], [{"checksum": SUM}], [{"source": "a.yml", "sha256": SUM}], [""]])
def test_check_choice_with_malformed_manifests_is_refused(manifests: Any) -> None:
    (problem,) = choice("manifest", manifests)
    assert problem.subject == "cluster_network_manifests"


@pytest.mark.parametrize("checksum", ["0" * 64, "sha256:" + "0" * 63, "sha256:" + "A" * 64, "md5:" + "0" * 32])
def test_check_choice_with_a_malformed_checksum_is_refused(checksum: str) -> None:
    (problem,) = choice("manifest", [{"source": "a.yml", "checksum": checksum}])
    assert (problem.subject, problem.found) == ("checksum of a.yml", checksum)


@pytest.mark.parametrize("network", ["bridge", "calico", "flannel"])
@pytest.mark.parametrize("pods", ["fd00:1::/48", "10.244.0.0/16,fd00:1::/48"])
def test_check_choice_that_lays_out_ipv4_alone_is_refused_for_others(network: str, pods: str) -> None:
    (problem,) = choice(network, pods=pods)
    assert problem.subject == "cluster_pod_subnet"
    assert choice("manifest", ["a.yml"], pods=pods) == []


@pytest.mark.parametrize(("network", "refused"), [("bridge", True), ("flannel", True), ("calico", False)])
def test_check_choice_that_reads_the_nodes_networks_wants_them_allocated(network: str, refused: bool) -> None:
    arguments = {"controllerManager": {"extraArgs": {"allocate-node-cidrs": "false"}}}
    assert bool(choice(network, cluster_configuration=arguments)) is refused


# The manifests.


def test_prepare_flannel_has_the_pod_subnet_and_its_own_other_settings() -> None:
    (found,), problems = prepare(flannel(EnableNFTables=False), network="flannel")
    assert problems == []
    settings = json.loads(found["data"]["net-conf.json"])
    assert settings == {"Network": "10.200.0.0/16", "EnableNFTables": False, "Backend": {"Type": "vxlan"}}


def test_prepare_flannel_that_says_the_pod_subnet_already_is_left_as_it_is() -> None:
    document = flannel("10.200.0.0/16")
    assert prepare(document, network="flannel") == ([document], [])


@pytest.mark.parametrize("env", [{}, {"CALICO_IPV4POOL_CIDR": "192.168.0.0/16"}])
def test_prepare_calico_has_the_pod_subnet_once(env: dict[str, str]) -> None:
    (found,), problems = prepare(workload(OTHER="1", **env), network="calico")
    assert problems == []
    assert found["spec"]["template"]["spec"]["containers"][0]["env"] == [
        {"name": "OTHER", "value": "1"},
        {"name": "CALICO_IPV4POOL_CIDR", "value": "10.200.0.0/16"},
    ]


@pytest.mark.parametrize("network", ["flannel", "calico"])
def test_prepare_a_manifest_without_a_place_for_the_subnet_is_refused(network: str) -> None:
    _objects, (problem,) = prepare(thing("Namespace"), thing("ConfigMap", "y", data={"a": "b"}), network=network)
    assert problem.subject == f"manifest of {network}"


def test_prepare_does_not_touch_what_was_read() -> None:
    document = flannel()
    before = json.dumps(document)
    prepare(document, network="flannel")
    assert json.dumps(document) == before


def pool(cidr: str, version: str = "crd.projectcalico.org/v1") -> dict[str, Any]:
    return thing("IPPool", version=version, spec={"cidr": cidr})


def installation(cidr: str) -> dict[str, Any]:
    spec = {"calicoNetwork": {"ipPools": [{"cidr": cidr}]}}
    return thing("Installation", version="operator.tigera.io/v1", spec=spec)


def cilium(cidr: str) -> dict[str, Any]:
    return thing("ConfigMap", "cilium-config", data={"cluster-pool-ipv4-cidr": cidr, "ipam": "cluster-pool"})


SAYING = [flannel, pool, installation, cilium, lambda cidr: workload(CALICO_IPV4POOL_CIDR=cidr)]


@pytest.mark.parametrize("document", SAYING, ids=["flannel", "pool", "installation", "cilium", "calico"])
def test_prepare_a_users_manifest_with_another_network_is_refused_by_object_and_field(document: Any) -> None:
    assert prepare(document("10.200.0.0/16")) == ([document("10.200.0.0/16")], [])
    _objects, (problem,) = prepare(document("10.0.0.0/8"))
    assert "in a.yml" in problem.subject
    assert problem.found.endswith(": 10.0.0.0/8")
    assert "10.200.0.0/16" in problem.wanted
    assert prepare(document("x/y"))[1]


def test_prepare_pools_may_be_a_part_of_the_subnet_and_flannels_network_may_not() -> None:
    assert prepare(pool("10.200.64.0/18"))[1] == []
    assert prepare(flannel("10.200.64.0/18"))[1]


def test_prepare_dual_stack_names_both() -> None:
    both = cilium("10.200.0.0/16")
    both["data"]["cluster-pool-ipv6-cidr"] = "fd00:1::/64"
    assert prepare(both, pods=DUAL)[1] == []
    assert len(prepare(both, pods=PODS)[1]) == 1


def test_prepare_plugins_where_no_runtime_looks_are_refused() -> None:
    volumes = [{"name": "cni", "hostPath": {"path": "/opt/cni/bin/"}}, {"name": "lib", "hostPath": {"path": "/lib"}}]
    assert prepare(workload(volumes=volumes))[1] == []
    _objects, (problem,) = prepare(workload(volumes=volumes), bin_dir="/usr/lib/cni")
    assert (problem.subject, problem.found) == ("cluster_cni_bin_dir", "/usr/lib/cni")


def test_prepare_opens_lists_and_leaves_out_what_is_empty() -> None:
    nested = {"apiVersion": "v1", "kind": "List", "items": [thing("Namespace", "a"), thing("Secret", "b")]}
    objects, problems = prepare(None, nested, thing("Service", "c"))
    assert ([document["metadata"]["name"] for document in objects], problems) == (["a", "b", "c"], [])


@pytest.mark.parametrize("document", ["text", 1, [], {}, {"apiVersion": "v1", "kind": "Pod"}, thing("Pod", name=None)])  # type: ignore[arg-type]
def test_prepare_what_is_no_object_is_refused_with_its_place(document: Any) -> None:
    objects, (problem,) = prepare(thing("Namespace"), document)
    assert (problem.subject, len(objects)) == ("a.yml", 1)
    assert problem.found.startswith("document 2: ")


def test_prepare_an_object_said_twice_is_refused_with_both_places() -> None:
    read = [("a.yml", [thing("Namespace")]), ("b.yml", [thing("Namespace")])]
    _objects, (problem,) = pod_network.prepare("manifest", read, PODS, None)
    assert (problem.subject, problem.found) == ("b.yml", "Namespace x, also in a.yml")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


# Objects in whose places for networks, containers and volumes something else may stand.
_PODS = st.fixed_dictionaries({"containers": st.lists(st.dictionaries(st.just("env"), _VALUES)), "volumes": _VALUES})
_SPECS = st.one_of(
    _VALUES,
    st.fixed_dictionaries({"template": st.fixed_dictionaries({"spec": _PODS | _VALUES}) | _VALUES}),
    st.fixed_dictionaries({"calicoNetwork": st.fixed_dictionaries({"ipPools": _VALUES}) | _VALUES, "cidr": _VALUES}),
)
_OBJECTS = st.builds(
    thing,
    st.sampled_from(["ConfigMap", "DaemonSet", "Job", "IPPool", "Installation", "List"]),
    st.text(max_size=8),
    st.sampled_from(["v1", "crd.projectcalico.org/v1", "operator.tigera.io/v1"]),
    spec=_SPECS,
    data=_VALUES | st.fixed_dictionaries({"net-conf.json": st.builds(json.dumps, _VALUES)}),
    items=_VALUES,
)


@given(st.lists(_OBJECTS | _VALUES, max_size=4), st.sampled_from(pod_network.FROM_MANIFESTS))
def test_prepare_of_any_documents_is_an_answer(documents: list[Any], network: str) -> None:
    objects, problems = prepare(*documents, network=network)
    assert all(map(pod_network.name, objects))
    assert all(str(problem) for problem in problems)


# The record.


def kept(network: str, *objects: dict[str, Any]) -> dict[str, Any]:
    data = pod_network.record(network, objects)["data"]
    return {"network": data["network"], "objects": data["objects"].splitlines()}


def test_check_record_of_the_same_network_and_objects_is_fine() -> None:
    names = [pod_network.name(thing("Namespace"))]
    assert pod_network.check_record("manifest", names, kept("manifest", thing("Namespace"))) == ([], [])
    assert pod_network.check_record("manifest", names, {}) == ([], [])


@pytest.mark.parametrize("network", [name for name in pod_network.NETWORKS if name not in ("calico", "none")])
def test_check_record_of_another_network_is_refused(network: str) -> None:
    (problem,), known = pod_network.check_record(network, [], kept("calico"))
    assert (problem.found, problem.wanted, known) == ("calico in the cluster", network, [])
    assert "Set it to calico" in problem.action


def test_check_record_where_none_is_wanted_now_is_only_said() -> None:
    refused, (problem,) = pod_network.check_record("none", [], kept("calico"))
    assert refused == []
    assert problem.found == "calico in the cluster"


def test_check_record_names_what_manifests_no_longer_bring() -> None:
    old = kept("manifest", thing("Namespace"), thing("DaemonSet", "d", "apps/v1"))
    refused, (problem,) = pod_network.check_record("manifest", ["Namespace x"], old)
    assert (refused, problem.found) == ([], "DaemonSet.apps d")


# What a host has of other networks.


@pytest.mark.parametrize(
    ("network", "found", "refused", "known"),
    [
        ("bridge", ["10-bridge.conflist", "87-podman.conflist"], 0, 1),
        ("bridge", ["10-bridge.conflist"], 0, 0),
        ("bridge", ["05-cilium.conflist", "10-bridge.conflist"], 1, 0),
        ("flannel", ["10-bridge.conflist"], 1, 0),
        ("flannel", ["10-flannel.conflist"], 0, 1),
        ("flannel", [], 0, 0),
    ],
)
def test_check_configurations_refuses_what_would_be_taken_first(
    network: str, found: list[str], refused: int, known: int
) -> None:
    assert tuple(map(len, pod_network.check_configurations("w1", network, found))) == (refused, known)
