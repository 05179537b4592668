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
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import api_tables

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


# Golden documents.

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


# Random descriptions of fields that all APIs have, made from the APIs' own tables.

texts = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=8)
argument_names = st.text("abc-", min_size=1, max_size=4)
argument_values = texts | st.integers() | st.booleans()
argument_mappings = st.dictionaries(argument_names, argument_values, max_size=3)
argument_lists = argument_mappings.map(lambda found: [{"name": key, "value": found[key]} for key in found])
ARGUMENTS = frozenset(("extraArgs", "kubeletExtraArgs"))
MOVED = frozenset((("apiServer", "timeoutForControlPlane"), ("discovery", "timeout")))


def common_values(path: Path, schemas: list[api_tables.Schema]) -> st.SearchStrategy[Any]:
    """Values that every one of these schemas of one field allows, arguments in either of their forms."""
    if path and path[-1] in ARGUMENTS:
        return argument_mappings | argument_lists
    first = schemas[0]
    if "properties" in first:
        names = set.intersection(*(set(schema["properties"]) for schema in schemas)) - {"apiVersion", "kind"}
        inner = {
            name: common_values(
                (*path, name),
                [_resolved(api, schema["properties"][name]) for api, schema in zip(KUBEADMS, schemas)],
            )
            for name in sorted(names)
            if (*path, name) not in MOVED
        }
        return st.fixed_dictionaries({}, optional=inner)
    if first["type"] == "object":
        return st.dictionaries(texts, st.booleans() if first["additionalProperties"]["type"] == "boolean" else texts)
    if first["type"] == "array":
        elements = [_resolved(api, schema["items"]) for api, schema in zip(KUBEADMS, schemas)]
        return st.lists(common_values((*path, "[]"), elements), max_size=2)
    return {"string": texts, "integer": st.integers(0, 65535), "boolean": st.booleans()}[first["type"]]


def _resolved(api: str, schema: api_tables.Schema) -> api_tables.Schema:
    return api_tables.resolved(api_tables.table(f"kubeadm.k8s.io/{api}"), schema)


def common(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    tables = {api: api_tables.table(f"kubeadm.k8s.io/{api}") for api in KUBEADMS}
    return common_values((), [_resolved(api, tables[api]["kinds"][kind]) for api in KUBEADMS])


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
        assert problem.subject == ".".join(path)
        assert "v1beta4" in problem.wanted


# Fields that an API lacks, by the APIs' own tables.


def lacking() -> list[tuple[str, Path, str]]:
    """Every field of v1beta4 that an older API lacks, with a kubeadm that speaks it; the outermost field alone."""
    found = []
    for kind, (api, kubeadms) in itertools.product(COMMAND_OF, KUBEADMS.items()):
        newest = api_tables.fields("kubeadm.k8s.io/v1beta4", kind)
        missing = newest.keys() - api_tables.fields(f"kubeadm.k8s.io/{api}", kind).keys()
        outermost = [path for path in missing if not any(path[:length] in missing for length in range(1, len(path)))]
        found += [(kind, path, kubeadm) for path in sorted(outermost) for kubeadm in kubeadms]
    return found


SAMPLES: dict[str, Any] = {"string": "x", "boolean": True, "integer": 1, "array": ["x"], "object": {"x": "y"}}


def sample_of(kind: str, path: Path) -> Any:
    schema = api_tables.fields("kubeadm.k8s.io/v1beta4", kind)[path]
    return {"upgradeManifests": "9m"} if path == ("timeouts",) else SAMPLES[schema["type"]]


@pytest.mark.parametrize(("kind", "path", "kubeadm"), lacking(), ids=str)
def test_render_field_that_the_api_lacks_is_refused_by_name(kind: str, path: Path, kubeadm: str) -> None:
    with pytest.raises(Refusal) as refused:
        render(kind, nested(path, sample_of(kind, path)), kubeadm)
    (problem,) = refused.value.problems
    assert problem.subject == f"{kind} field {'.'.join(path)}"
    assert f"kubeadm {kubeadm}" in problem.found
    assert problem.action


@pytest.mark.parametrize("kind", COMMAND_OF)
def test_render_passes_every_field_of_v1beta4_through(kind: str) -> None:
    found = api_tables.fields("kubeadm.k8s.io/v1beta4", kind)
    for path, schema in found.items():
        if "properties" not in schema and path[-1] not in ARGUMENTS | {"criSocket"}:
            value = SAMPLES[schema["type"]]
            assert inside(render(kind, nested(path, value), "1.36.0"), path) == value


def test_render_tells_all_missing_fields_of_a_document_at_once() -> None:
    node = {"dryRun": True, "skipPhases": ["addon"], "nodeRegistration": {"imagePullPolicy": "Never"}}
    with pytest.raises(Refusal) as refused:
        kubeadm_config.render_join(Description(node=node), versions.parse("1.20.2"))
    assert {problem.subject.rsplit(" ", 1)[-1] for problem in refused.value.problems} == {
        "dryRun",
        "skipPhases",
        "nodeRegistration.imagePullPolicy",
    }


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
    with pytest.raises(Refusal, match=f"{kind} field timeouts"):
        render(kind, {"timeouts": timeouts}, "1.30.14")


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
    options = {"cluster": {"a": 1}, "node": {"b": 2}, "kubelet": {"c": 3}, "kube_proxy": {"d": 4}, "version": "1.20.2"}
    found = Description.from_options(options)
    assert (found.cluster, found.node, found.kubelet, found.kube_proxy) == ({"a": 1}, {"b": 2}, {"c": 3}, {"d": 4})
