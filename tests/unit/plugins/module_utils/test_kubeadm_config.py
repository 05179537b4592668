# SPDX-License-Identifier: GPL-3.0-or-later
"""One description says the same to every kubeadm, in words that its API has, or is refused by the field's name."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeadm_config, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm_config import Description
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import api_tables, configurations
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.configurations import known_to, neutral, read, texts

Path = tuple[str, ...]
# By API, a kubeadm that speaks it, the oldest and newest of them included.
KUBEADMS = {
    "v1beta2": ("1.20.2", "1.21.14"),
    "v1beta3": ("1.22.0", "1.25.3", "1.30.14"),
    "v1beta4": ("1.31.0", "1.33.4", "1.36.0"),
}
EACH_KUBEADM = [(api, version) for api, found in KUBEADMS.items() for version in found]
FAR_APART = [versions.parse(version) for version in ("1.20.2", "1.25.3", "1.33.4")]
COMMAND_OF = {"ClusterConfiguration": "init", "InitConfiguration": "init", "JoinConfiguration": "join"}


def render(kind: str, body: dict[str, Any], kubeadm: str) -> dict[str, Any]:
    """The document of this kind, of a description with this body alone."""
    version = versions.parse(kubeadm)
    description = Description(**{"cluster" if kind == "ClusterConfiguration" else "node": body})
    documents = (
        kubeadm_config.render_init(description, version)
        if COMMAND_OF[kind] == "init"
        else kubeadm_config.render_join(description, version)
    )
    (document,) = [document for document in documents if document["kind"] == kind]
    return document


def nested(path: Path, value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return value


def inside(document: Any, path: Path) -> Any:
    for name in path:
        document = document.get(name, {}) if isinstance(document, dict) else {}
    return document


# Golden documents of every field.

# By API, the kubeadm that reads the golden file: for v1beta4 the newest, which has every field.
GOLDEN = {"v1beta2": "1.20.2", "v1beta3": "1.30.14", "v1beta4": "1.36.0"}
EVERYTHING = configurations.golden("description")


def everything(api: str) -> dict[str, dict[str, Any]]:
    """The description of every field, as far as the newest kubeadm of an API has them, by kind or by what it is."""
    kubeadm = versions.parse(GOLDEN[api])
    kinds = {"etcd of its own": "ClusterConfiguration", "discovery by a file": "JoinConfiguration"}
    wanted = {case: known_to(kinds.get(case, case), body, kubeadm.minor) for case, body in EVERYTHING.items()}
    if api != "v1beta4":
        del wanted["ResetConfiguration"], wanted["UpgradeConfiguration"]
    if api == "v1beta3":
        # An algorithm as a gate, before it had a field.
        assert wanted["ClusterConfiguration"]["featureGates"] == {"PublicKeysECDSA": True}
    return wanted


def render_everything(api: str) -> dict[str, list[dict[str, Any]]]:
    """What everything becomes, by the command that reads it."""
    wanted, kubeadm = everything(api), versions.parse(GOLDEN[api])
    init = Description(cluster=wanted["ClusterConfiguration"], node=wanted["InitConfiguration"])
    found = {
        "init": kubeadm_config.render_init(init, kubeadm),
        "join": kubeadm_config.render_join(Description(node=wanted["JoinConfiguration"]), kubeadm),
        "init with etcd of its own": kubeadm_config.render_init(
            Description(cluster=wanted["etcd of its own"]), kubeadm
        ),
        "join by a file": kubeadm_config.render_join(Description(node=wanted["discovery by a file"]), kubeadm),
    }
    for kind in ("ResetConfiguration", "UpgradeConfiguration"):
        if kind in wanted:
            command = kind.removesuffix("Configuration").lower()
            found[command] = kubeadm_config.render_command(kind, wanted[kind], kubeadm)
    return found


@pytest.mark.parametrize("api", GOLDEN)
def test_render_everything_is_the_golden_file(api: str) -> None:
    assert render_everything(api) == configurations.golden(api)


@pytest.mark.parametrize("api", GOLDEN)
def test_golden_file_has_every_field_of_the_api_and_is_valid(api: str) -> None:
    documents = [document for found in configurations.golden(api).values() for document in found]
    said: dict[str, set[str]] = {}
    for document in documents:
        api_tables.validate(document)
        # What a map holds has no name of its own in the API.
        found = {
            path.replace(".extraArgs.", ".extraArgs{}").replace("Args.", "Args{}")
            for path in configurations.paths(document)
        }
        said.setdefault(document["kind"], set()).update(path.split("{}")[0] for path in found)
    for kind in {document["kind"] for document in documents}:
        fields = {path.split("{}")[0] for path in api_tables.leaves(f"kubeadm.k8s.io/{api}", kind)}
        missing = {path for path in fields if path not in said[kind]} - {"featureGates"}
        assert {path for path in missing if not path.endswith(tuple(configurations.NEVER_TAKEN.values()))} == set()


@pytest.mark.parametrize("api", GOLDEN)
def test_everything_reads_back_with_its_meaning(api: str) -> None:
    wanted, found = everything(api), render_everything(api)
    back = {**read(found["init"]), **read(found["join"])}
    for kind in COMMAND_OF:
        body = {key: value for key, value in wanted[kind].items() if key not in _BY_ARGUMENT.get(api, ())}
        assert back[kind] == neutral(body)


_BY_ARGUMENT = {"v1beta2": ("skipPhases", "patches")}


def test_everything_of_v1beta4_keeps_its_meaning_in_v1beta3() -> None:
    """What an older API can say of it, it says."""
    older = versions.parse(GOLDEN["v1beta3"])
    newer = read(render_everything("v1beta4")["init"])
    description = Description(
        cluster=known_to("ClusterConfiguration", newer["ClusterConfiguration"], older.minor),
        node=known_to("InitConfiguration", newer["InitConfiguration"], older.minor),
    )
    assert kubeadm_config.render_init(description, older) == configurations.golden("v1beta3")["init"]


@pytest.mark.parametrize("kubeadm", ["1.20.2", "1.30.14"])
@pytest.mark.parametrize("kind", ["ResetConfiguration", "UpgradeConfiguration"])
def test_render_command_that_older_kubeadms_take_no_configuration_for_is_refused(kind: str, kubeadm: str) -> None:
    with pytest.raises(Refusal, match=f"{kind}: found kubeadm {kubeadm}, wanted kubeadm 1.31"):
        kubeadm_config.render_command(kind, {}, versions.parse(kubeadm))


# An ordinary description.

INIT = Description(
    cluster={
        "kubernetesVersion": "v1.20.2",
        "controlPlaneEndpoint": "192.0.2.10:6443",
        "networking": {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12"},
        "apiServer": {"extraArgs": {"profiling": False, "v": 2}, "certSANs": ["lb.example.com"]},
        "etcd": {"local": {"extraArgs": [{"name": "heartbeat-interval", "value": 250}]}},
    },
    node={
        "localAPIEndpoint": {"advertiseAddress": "192.0.2.11", "bindPort": 6443},
        "nodeRegistration": {
            "name": "cp1",
            "criSocket": "/run/containerd/containerd.sock",
            "kubeletExtraArgs": {"node-ip": "192.0.2.11"},
        },
        "timeouts": {"controlPlaneComponentHealthCheck": "6m0s"},
    },
    kubelet={"cgroupDriver": "systemd", "failSwapOn": False},
    kube_proxy={"mode": "ipvs"},
)
JOIN = Description(
    node={
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": "192.0.2.10:6443",
                "token": "abcdef.0123456789abcdef",
                "caCertHashes": ["sha256:" + "a" * 64],
            }
        },
        "controlPlane": {"certificateKey": "0" * 64, "localAPIEndpoint": {"advertiseAddress": "192.0.2.12"}},
        "nodeRegistration": {
            "name": "cp2",
            "criSocket": "unix:///run/containerd/containerd.sock",
            "kubeletExtraArgs": [{"name": "node-labels", "value": "zone=a"}],
            "taints": [],
        },
        "timeouts": {"discovery": "10m0s"},
    }
)
KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "cgroupDriver": "systemd",
    "failSwapOn": False,
}
KUBE_PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "mode": "ipvs",
}


def older_init(api: str, socket: str) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": f"kubeadm.k8s.io/{api}",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": "192.0.2.11", "bindPort": 6443},
            "nodeRegistration": {
                "name": "cp1",
                "criSocket": socket,
                "kubeletExtraArgs": {"node-ip": "192.0.2.11"},
            },
        },
        {
            "apiVersion": f"kubeadm.k8s.io/{api}",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": "v1.20.2",
            "controlPlaneEndpoint": "192.0.2.10:6443",
            "networking": {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12"},
            "apiServer": {
                "extraArgs": {"profiling": "false", "v": "2"},
                "certSANs": ["lb.example.com"],
                "timeoutForControlPlane": "6m0s",
            },
            "etcd": {"local": {"extraArgs": {"heartbeat-interval": "250"}}},
        },
        KUBELET,
        KUBE_PROXY,
    ]


GOLDEN_INIT = {
    "1.20.2": older_init("v1beta2", "/run/containerd/containerd.sock"),
    "1.25.3": older_init("v1beta3", "unix:///run/containerd/containerd.sock"),
    "1.33.4": [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": "192.0.2.11", "bindPort": 6443},
            "nodeRegistration": {
                "name": "cp1",
                "criSocket": "unix:///run/containerd/containerd.sock",
                "kubeletExtraArgs": [{"name": "node-ip", "value": "192.0.2.11"}],
            },
            "timeouts": {"controlPlaneComponentHealthCheck": "6m0s"},
        },
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": "v1.20.2",
            "controlPlaneEndpoint": "192.0.2.10:6443",
            "networking": {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12"},
            "apiServer": {
                "extraArgs": [{"name": "profiling", "value": "false"}, {"name": "v", "value": "2"}],
                "certSANs": ["lb.example.com"],
            },
            "etcd": {"local": {"extraArgs": [{"name": "heartbeat-interval", "value": "250"}]}},
        },
        KUBELET,
        KUBE_PROXY,
    ],
}


def golden_join(kubeadm: str) -> dict[str, Any]:
    discovery = {
        "bootstrapToken": {
            "apiServerEndpoint": "192.0.2.10:6443",
            "token": "abcdef.0123456789abcdef",
            "caCertHashes": ["sha256:" + "a" * 64],
        }
    }
    registration: dict[str, Any] = {
        "name": "cp2",
        "criSocket": "unix:///run/containerd/containerd.sock",
        "kubeletExtraArgs": {"node-labels": "zone=a"},
        "taints": [],
    }
    body: dict[str, Any] = {
        "kind": "JoinConfiguration",
        "controlPlane": {"certificateKey": "0" * 64, "localAPIEndpoint": {"advertiseAddress": "192.0.2.12"}},
    }
    if kubeadm == "1.33.4":
        registration["kubeletExtraArgs"] = [{"name": "node-labels", "value": "zone=a"}]
        api, body["timeouts"] = "v1beta4", {"discovery": "10m0s"}
    else:
        api, discovery["timeout"] = "v1beta3", "10m0s"  # type: ignore[assignment]
    if kubeadm == "1.20.2":
        api, registration["criSocket"] = "v1beta2", "/run/containerd/containerd.sock"
    return {**body, "apiVersion": f"kubeadm.k8s.io/{api}", "discovery": discovery, "nodeRegistration": registration}


@pytest.mark.parametrize("kubeadm", GOLDEN_INIT)
def test_render_init_says_the_same_in_the_words_of_each_kubeadm(kubeadm: str) -> None:
    documents = kubeadm_config.render_init(INIT, versions.parse(kubeadm))
    assert documents == GOLDEN_INIT[kubeadm]
    for document in documents:
        api_tables.validate(document)


@pytest.mark.parametrize("kubeadm", ["1.20.2", "1.25.3", "1.33.4"])
def test_render_join_says_the_same_in_the_words_of_each_kubeadm(kubeadm: str) -> None:
    documents = kubeadm_config.render_join(JOIN, versions.parse(kubeadm))
    assert documents == [golden_join(kubeadm)]
    api_tables.validate(documents[0])


@pytest.mark.parametrize(("api", "kubeadm"), EACH_KUBEADM)
def test_render_uses_the_api_that_kubeadm_reads(api: str, kubeadm: str) -> None:
    version = versions.parse(kubeadm)
    documents = kubeadm_config.render_init(Description(), version) + kubeadm_config.render_join(Description(), version)
    assert {document["apiVersion"] for document in documents} == {f"kubeadm.k8s.io/{api}"}
    assert [document["kind"] for document in documents] == [
        "InitConfiguration",
        "ClusterConfiguration",
        "JoinConfiguration",
    ]


# Random descriptions of fields that all these kubeadms have.

MINORS = [version.minor for version in FAR_APART]


def common(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    return configurations.objects(kind, MINORS[-1], MINORS[0])


inits = st.builds(Description, cluster=common("ClusterConfiguration"), node=common("InitConfiguration"))
joins = st.builds(Description, node=common("JoinConfiguration"))


@settings(max_examples=50)
@given(inits, joins)
def test_render_description_of_common_fields_is_valid_everywhere(init: Description, join: Description) -> None:
    for kubeadm in FAR_APART:
        for document in kubeadm_config.render_init(init, kubeadm) + kubeadm_config.render_join(join, kubeadm):
            api_tables.validate(document)


@settings(max_examples=50)
@given(inits, joins)
def test_render_description_reads_back_the_same_from_everywhere(init: Description, join: Description) -> None:
    for kubeadm in FAR_APART:
        back = {**read(kubeadm_config.render_init(init, kubeadm)), **read(kubeadm_config.render_join(join, kubeadm))}
        for kind, body in (
            ("ClusterConfiguration", init.cluster),
            ("InitConfiguration", init.node),
            ("JoinConfiguration", join.node),
        ):
            by_argument = _BY_ARGUMENT["v1beta2"] if kubeadm.minor < 22 else ()
            assert back[kind] == neutral({key: value for key, value in body.items() if key not in by_argument})


@given(*[configurations.anything] * 4, st.sampled_from(FAR_APART))
def test_render_of_anything_renders_or_refuses(
    cluster: Any, node: Any, kubelet: Any, kube_proxy: Any, kubeadm: versions.Version
) -> None:
    description = Description(cluster=cluster, node=node, kubelet=kubelet, kube_proxy=kube_proxy)
    for render_ in (kubeadm_config.render_init, kubeadm_config.render_join):
        try:
            documents = render_(description, kubeadm)
        except Refusal as refusal:
            assert all(problem.subject and problem.found and problem.wanted for problem in refusal.problems)
            continue
        for document in documents:
            if document["kind"] in COMMAND_OF:
                api_tables.validate(document)


@settings(max_examples=50)
@given(inits, joins)
def test_render_never_changes_what_it_was_given(init: Description, join: Description) -> None:
    before = copy.deepcopy((init, join))
    for kubeadm in FAR_APART:
        kubeadm_config.render_init(init, kubeadm)
        kubeadm_config.render_join(join, kubeadm)
    assert (init, join) == before


@pytest.mark.parametrize(("api", "kubeadm"), EACH_KUBEADM)
def test_render_of_moved_timeouts_never_changes_what_it_was_given(api: str, kubeadm: str) -> None:
    before = copy.deepcopy((INIT, JOIN))
    kubeadm_config.render_init(INIT, versions.parse(kubeadm))
    kubeadm_config.render_join(JOIN, versions.parse(kubeadm))
    assert before == (INIT, JOIN)


# Arguments.

ARGUMENT_FIELDS = [
    ("ClusterConfiguration", ("apiServer", "extraArgs")),
    ("ClusterConfiguration", ("controllerManager", "extraArgs")),
    ("ClusterConfiguration", ("scheduler", "extraArgs")),
    ("ClusterConfiguration", ("etcd", "local", "extraArgs")),
    ("InitConfiguration", ("nodeRegistration", "kubeletExtraArgs")),
    ("JoinConfiguration", ("nodeRegistration", "kubeletExtraArgs")),
]
EACH_ARGUMENT_FIELD = pytest.mark.parametrize(("kind", "path"), ARGUMENT_FIELDS, ids=str)


@EACH_ARGUMENT_FIELD
def test_render_arguments_as_mapping_and_as_list_are_the_same(kind: str, path: Path) -> None:
    mapping = {"a": "x", "b": True, "c": False, "d": 7}
    as_list = [{"name": name, "value": value} for name, value in mapping.items()]
    for kubeadm in ("1.20.2", "1.25.3", "1.33.4"):
        one, other = (render(kind, nested(path, given_), kubeadm) for given_ in (mapping, as_list))
        assert one == other
        found = inside(one, path)
        expected = {"a": "x", "b": "true", "c": "false", "d": "7"}
        assert (found if isinstance(found, dict) else {item["name"]: item["value"] for item in found}) == expected


def test_render_arguments_keep_their_order_where_order_means_something() -> None:
    arguments = [{"name": "z", "value": "1"}, {"name": "a", "value": "2"}]
    document = render("ClusterConfiguration", {"apiServer": {"extraArgs": arguments}}, "1.33.4")
    assert document["apiServer"]["extraArgs"] == arguments


@EACH_ARGUMENT_FIELD
def test_render_repeated_argument_is_for_v1beta4_alone(kind: str, path: Path) -> None:
    arguments = [{"name": "service-account-issuer", "value": "a"}, {"name": "service-account-issuer", "value": "b"}]
    assert inside(render(kind, nested(path, arguments), "1.33.4"), path) == arguments
    for kubeadm in ("1.20.2", "1.30.14"):
        with pytest.raises(Refusal) as refused:
            render(kind, nested(path, arguments), kubeadm)
        (problem,) = refused.value.problems
        assert problem.subject == ".".join((kind, *path))
        assert "v1beta4" in problem.wanted


# Fields that an API lacks, by the APIs' own tables.


def lacking() -> list[tuple[str, Path, str]]:
    """Every field of v1beta4 that an older API lacks, with a kubeadm that speaks it; the outermost field alone."""
    found = []
    for kind, (api, kubeadms) in itertools.product(COMMAND_OF, KUBEADMS.items()):
        newest = api_tables.fields("kubeadm.k8s.io/v1beta4", kind)
        missing = newest.keys() - api_tables.fields(f"kubeadm.k8s.io/{api}", kind).keys()
        outermost = [path for path in missing if not any(path[:length] in missing for length in range(1, len(path)))]
        outermost = [path for path in outermost if path[0] not in _BY_ARGUMENT.get(api, ())]
        found += [(kind, path, kubeadm) for path in sorted(outermost) for kubeadm in kubeadms]
    return found


def sample_of(kind: str, path: Path) -> Any:
    """What the golden description says in this place."""
    if path == ("timeouts",):
        return {"upgradeManifests": "9m"}
    found = inside(EVERYTHING[kind], path)
    return found if found != {} else inside(EVERYTHING["etcd of its own"], path)


@pytest.mark.parametrize(("kind", "path", "kubeadm"), lacking(), ids=str)
def test_render_field_that_the_api_lacks_is_refused_by_name(kind: str, path: Path, kubeadm: str) -> None:
    required = {"endpoints": ["https://192.0.2.21:2379"]} if path[:2] == ("etcd", "external") else {}
    with pytest.raises(Refusal) as refused:
        render(kind, nested(path[:-1], {**required, path[-1]: sample_of(kind, path)}), kubeadm)
    (problem,) = refused.value.problems
    assert problem.subject.startswith(".".join((kind, *path)))
    assert f"Kubernetes {kubeadm}" in problem.wanted
    assert problem.action


def test_arguments_are_what_v1beta2_has_no_field_for() -> None:
    node = {"patches": {"directory": "/etc/kubernetes/patches"}, "skipPhases": ["addon/coredns"]}
    for kubeadm in ("1.20.2", "1.21.14"):
        version = versions.parse(kubeadm)
        assert kubeadm_config.arguments(node, version) == ["--experimental-patches=/etc/kubernetes/patches"]
    assert kubeadm_config.arguments(node, versions.parse("1.22.0")) == []
    assert kubeadm_config.arguments({}, versions.parse("1.20.2")) == []


def test_render_tells_all_missing_fields_of_all_documents_at_once() -> None:
    node = {"dryRun": True, "nodeRegistration": {"imagePullPolicy": "Never"}}
    with pytest.raises(Refusal) as refused:
        kubeadm_config.render_init(Description(cluster={"proxy": {}}, node=node), versions.parse("1.20.2"))
    assert {problem.subject for problem in refused.value.problems} == {
        "InitConfiguration.dryRun",
        "InitConfiguration.nodeRegistration.imagePullPolicy",
        "ClusterConfiguration.proxy",
    }


# What the neutral description may leave open.


def test_render_field_without_a_value_is_left_out_and_an_empty_list_is_not() -> None:
    """To kubeadm no taints mean its own, and an empty list means none at all."""
    for taints, expected in ((None, {}), ([], {"taints": []})):
        for kubeadm in ("1.20.2", "1.36.0"):
            document = render("JoinConfiguration", {"nodeRegistration": {"taints": taints}}, kubeadm)
            assert document["nodeRegistration"] == expected


# Timeouts.


@pytest.mark.parametrize("kubeadm", ["1.20.2", "1.21.14", "1.22.0", "1.30.14"])
def test_render_init_timeout_moves_to_where_older_kubeadms_read_it(kubeadm: str) -> None:
    node = {"timeouts": {"controlPlaneComponentHealthCheck": "7m"}}
    cluster = {"apiServer": {"certSANs": ["a"]}}
    init, found = kubeadm_config.render_init(Description(cluster=cluster, node=node), versions.parse(kubeadm))
    assert "timeouts" not in init
    assert found["apiServer"] == {"certSANs": ["a"], "timeoutForControlPlane": "7m"}


@pytest.mark.parametrize("kubeadm", ["1.20.2", "1.30.14"])
def test_render_join_timeout_moves_to_where_older_kubeadms_read_it(kubeadm: str) -> None:
    document = render("JoinConfiguration", {"timeouts": {"discovery": "7m"}}, kubeadm)
    assert document["discovery"] == {"timeout": "7m"}
    assert "timeouts" not in document


@pytest.mark.parametrize("kind", ["InitConfiguration", "JoinConfiguration"])
def test_render_timeouts_without_an_older_place_are_refused(kind: str) -> None:
    timeouts = {"controlPlaneComponentHealthCheck": "1m", "discovery": "2m", "kubeletHealthCheck": "3m"}
    with pytest.raises(Refusal) as refused:
        render(kind, {"timeouts": timeouts}, "1.30.14")
    elsewhere = "controlPlaneComponentHealthCheck" if kind == "InitConfiguration" else "discovery"
    expected = {f"{kind}.timeouts.{name}" for name in timeouts.keys() - {elsewhere}}
    assert {problem.subject for problem in refused.value.problems} == expected


@pytest.mark.parametrize("kind", ["InitConfiguration", "JoinConfiguration"])
def test_render_timeouts_stay_in_v1beta4(kind: str) -> None:
    timeouts = {"controlPlaneComponentHealthCheck": "1m", "discovery": "2m", "kubeletHealthCheck": "3m"}
    assert render(kind, {"timeouts": timeouts}, "1.31.0")["timeouts"] == timeouts


# The container runtime's socket.


@pytest.mark.parametrize("kind", ["InitConfiguration", "JoinConfiguration"])
@pytest.mark.parametrize("socket", ["/run/crio/crio.sock", "unix:///run/crio/crio.sock"])
@pytest.mark.parametrize(
    ("kubeadm", "expected"),
    [
        ("1.20.2", "/run/crio/crio.sock"),
        ("1.23.17", "/run/crio/crio.sock"),
        ("1.24.0", "unix:///run/crio/crio.sock"),
        ("1.36.0", "unix:///run/crio/crio.sock"),
    ],
)
def test_render_cri_socket_has_its_scheme_from_24_on(kind: str, socket: str, kubeadm: str, expected: str) -> None:
    document = render(kind, {"nodeRegistration": {"criSocket": socket}}, kubeadm)
    assert document["nodeRegistration"]["criSocket"] == expected


# As text.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-400, 400).map(lambda quarters: quarters / 4) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(texts, json_values, max_size=3), min_size=1, max_size=3))
def test_dump_reads_back_as_the_same_yaml_documents(documents: list[dict[str, Any]]) -> None:
    assert list(yaml.safe_load_all(kubeadm_config.dump(documents))) == documents


def test_dump_of_text_beyond_16_bits_reads_back_as_the_same_yaml() -> None:
    """YAML knows no surrogate pairs: Go's reader refuses the two escapes that JSON writes for one such character."""
    documents = [{"description": "🛟"}]
    assert list(yaml.safe_load_all(kubeadm_config.dump(documents))) == documents


def test_dump_of_what_was_rendered_reads_back() -> None:
    documents = kubeadm_config.render_init(INIT, versions.parse("1.33.4"))
    assert list(yaml.safe_load_all(kubeadm_config.dump(documents))) == documents


def test_description_repr_keeps_the_nodes_secrets() -> None:
    assert "0123456789abcdef" not in repr(JOIN)
    assert "0" * 64 not in repr(JOIN)


def test_description_from_options_takes_the_module_options() -> None:
    options = {
        "cluster": {"clusterName": "a"},
        "node": {"skipPhases": ["b"]},
        "kubelet": {"maxPods": 3},
        "kube_proxy": {"mode": "ipvs"},
        "version": "1.20.2",
    }
    found = Description.from_options(options)
    assert [found.cluster, found.node, found.kubelet, found.kube_proxy] == list(options.values())[:4]


def test_description_from_options_that_no_kubeadm_could_be_told_are_refused() -> None:
    options: dict[str, Any] = {"cluster": {}, "node": {"nodeRegistration": []}, "kubelet": {}, "kube_proxy": {}}
    with pytest.raises(Refusal, match="JoinConfiguration.nodeRegistration: found a list"):
        Description.from_options(options, "JoinConfiguration")


def test_secrets_are_every_token_and_key() -> None:
    found = kubeadm_config.secrets(render_everything("v1beta4")["join"])
    assert {"abcdef.0123456789abcdef", "0123456789abcdef", "00112233445566778899aabbccddeeff" * 2} == set(found)
