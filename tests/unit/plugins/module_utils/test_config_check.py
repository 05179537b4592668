# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be told is refused with its place, what was found, what was wanted, and the nearest right word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import config_check, config_fields, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import configurations

KINDS = sorted(config_fields.KINDS)
TOKEN = "abcdef.0123456789abcdef"


def check(kind: str, body: Any, version: str | None = "1.20.2") -> list[Problem]:
    return config_check.check(kind, body, versions.parse(version) if version else None)


def only(kind: str, body: Any, version: str | None = "1.20.2") -> Problem:
    (problem,) = check(kind, body, version)
    return problem


@pytest.mark.parametrize(
    ("kind", "body", "place", "action"),
    [
        ("ClusterConfiguration", {"apiserver": {}}, "apiserver", "Did you mean apiServer?"),
        ("ClusterConfiguration", {"apiServer": {"certSans": []}}, "apiServer.certSans", "Did you mean certSANs?"),
        ("ClusterConfiguration", {"certSANs": []}, "certSANs", "Did you mean apiServer.certSANs?"),
        ("ClusterConfiguration", {"maxPods": 1}, "maxPods", "Did you mean maxPods of KubeletConfiguration?"),
        ("KubeletConfiguration", {"max_pods": 1}, "max_pods", "Did you mean maxPods?"),
        ("KubeletConfiguration", {"mode": "ipvs"}, "mode", "Did you mean authorization.mode?"),
        ("KubeProxyConfiguration", {"conntrack": {"maxCore": 0}}, "conntrack.maxCore", "Did you mean maxPerCore?"),
        (
            "ClusterConfiguration",
            {"apiServer": {"timeoutForControlPlane": "5m"}},
            "apiServer.timeoutForControlPlane",
            "Say it by timeouts.controlPlaneComponentHealthCheck of InitConfiguration.",
        ),
        (
            "JoinConfiguration",
            {"discovery": {"timeout": "5m"}},
            "discovery.timeout",
            "Say it by timeouts.discovery.",
        ),
        ("InitConfiguration", {"nonsense": 1}, "nonsense", "Remove it, or correct its name."),
    ],
)
def test_check_unknown_field_is_refused_with_what_was_meant(kind: str, body: Any, place: str, action: str) -> None:
    problem = only(kind, body)
    assert (problem.subject, problem.found, problem.action) == (f"{kind}.{place}", "an unknown field", action)


@pytest.mark.parametrize(
    ("kind", "body", "place", "found", "wanted"),
    [
        ("ClusterConfiguration", None, "", "nothing", "a mapping of fields"),
        ("ClusterConfiguration", {"apiServer": [1]}, ".apiServer", "a list", "a mapping of fields"),
        ("ClusterConfiguration", {"etcd": {"local": {"imageTag": 3.4}}}, ".etcd.local.imageTag", "3.4", "text"),
        ("ClusterConfiguration", {"featureGates": {"A": "yes"}}, ".featureGates.A", "'yes'", "true or false"),
        ("ClusterConfiguration", {"featureGates": {"A": None}}, ".featureGates.A", "nothing", "true or false"),
        ("ClusterConfiguration", {"apiServer": {"certSANs": "a"}}, ".apiServer.certSANs", "'a'", "a list"),
        ("ClusterConfiguration", {"apiServer": {"certSANs": [None]}}, ".apiServer.certSANs[0]", "nothing", "an IP"),
        ("KubeletConfiguration", {"maxPods": "200"}, ".maxPods", "'200'", "a whole number"),
        ("KubeletConfiguration", {"maxPods": True}, ".maxPods", "true", "a whole number"),
        ("KubeletConfiguration", {"syncFrequency": "5"}, ".syncFrequency", "'5'", "a duration such as 5m0s"),
        ("KubeletConfiguration", {"syncFrequency": 5}, ".syncFrequency", "5", "a duration such as 5m0s"),
        (
            "KubeletConfiguration",
            {"evictionHard": {"memory.available": 1}},
            ".evictionHard.memory.available",
            "1",
            "text",
        ),
    ],
)
def test_check_wrong_type_is_refused_with_both(kind: str, body: Any, place: str, found: str, wanted: str) -> None:
    problem = only(kind, body)
    assert (problem.subject, problem.found) == (f"{kind}{place}", found)
    assert problem.wanted.startswith(wanted)


def cluster(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("certificatesDir", "pki"),
        ("etcd.local.dataDir", "etcd"),
        ("etcd.local.serverCertSANs", ["UPPER.example.com"]),
        ("apiServer.certSANs", ["10.0.0.0/8"]),
        ("apiServer.extraVolumes", [{"name": "a", "hostPath": "a", "mountPath": "/a"}]),
        ("apiServer.extraVolumes", [{"name": "a", "hostPath": "/a", "mountPath": "/a", "pathType": "Folder"}]),
        ("apiServer.extraVolumes", [{"name": "a", "hostPath": "/a"}]),
        ("apiServer.extraVolumes", [{"name": "a", "hostPath": "/a", "mountPath": "/a"}] * 2),
        ("etcd", {"local": {}, "external": {"endpoints": ["http://192.0.2.1:2379"]}}),
        ("etcd.external", {}),
        ("etcd.external", {"endpoints": []}),
        ("etcd.external.endpoints", ["192.0.2.1:2379"]),
        ("etcd.external", {"endpoints": ["http://192.0.2.1:2379"], "caFile": "/ca.crt"}),
        ("etcd.external", {"endpoints": ["https://192.0.2.1:2379"], "caFile": "/ca.crt", "certFile": "/a.crt"}),
        ("etcd.external", {"endpoints": ["https://192.0.2.1:2379"], "certFile": "/a.crt", "keyFile": "/a.key"}),
        ("etcd.external", {"endpoints": ["https://192.0.2.1:2379"], "caFile": "ca.crt"}),
        ("dns.type", "Unbound"),
        ("networking.dnsDomain", "Cluster.local"),
        ("apiVersion", "kubeadm.k8s.io/v1beta2"),
        ("kind", "InitConfiguration"),
    ],
)
def test_check_value_that_kubeadm_does_not_take_is_refused(path: str, value: Any) -> None:
    problem = only("ClusterConfiguration", cluster(path, value))
    assert problem.subject.startswith(f"ClusterConfiguration.{path}")
    assert problem.action


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("etcd.external", {"endpoints": ["http://192.0.2.1:2379", "http://[2001:db8::1]:2379/"]}),
        ("etcd.external", {"endpoints": ["https://192.0.2.1:2379"], "caFile": "/ca.crt"}),
        ("etcd.external", {"endpoints": ["https://a:1"], "caFile": "/a", "certFile": "/b", "keyFile": "/c"}),
        ("apiServer.certSANs", ["192.0.2.1", "2001:db8::1", "lb", "*.example.com"]),
        ("featureGates", {"PublicKeysECDSA": True, "SomethingOfTheNextRelease": True}),
        ("apiVersion", "kubeadm.k8s.io/v1beta4"),
        ("kind", "ClusterConfiguration"),
        ("apiServer.extraArgs", None),
        ("clusterName", None),
        ("etcd", None),
    ],
)
def test_check_value_that_kubeadm_takes_is_fine(path: str, value: Any) -> None:
    assert check("ClusterConfiguration", cluster(path, value)) == []


@pytest.mark.parametrize(
    "node",
    [
        {"name": "CP1"},
        {"name": "cp_1"},
        {"name": "a" * 254},
        {"taints": [{"key": "a", "effect": "NoScheduling"}]},
        {"taints": [{"effect": "NoSchedule"}]},
        {"criSocket": "containerd.sock"},
        {"ignorePreflightErrors": ["all"]},
        {"kubeletExtraArgs": {"--v": "2"}},
        {"kubeletExtraArgs": {"v 2": ""}},
        {"kubeletExtraArgs": {"v": None}},
        {"kubeletExtraArgs": {"v": ["2"]}},
        {"kubeletExtraArgs": ["v=2"]},
        {"kubeletExtraArgs": [{"value": "2"}]},
        {"kubeletExtraArgs": [{"name": "v"}]},
        {"kubeletExtraArgs": [{"name": "v", "value": None}]},
        {"kubeletExtraArgs": [{"name": "v", "value": "2", "valu": ""}]},
        {"kubeletExtraArgs": "--v=2"},
    ],
)
@pytest.mark.parametrize("kind", ["InitConfiguration", "JoinConfiguration"])
def test_check_registration_that_kubeadm_does_not_take_is_refused(kind: str, node: dict[str, Any]) -> None:
    problem = only(kind, {"nodeRegistration": node})
    assert problem.subject.startswith(f"{kind}.nodeRegistration.{next(iter(node))}")


def test_check_all_preflight_errors_may_be_ignored_from_28_on() -> None:
    node = {"nodeRegistration": {"ignorePreflightErrors": ["all"]}}
    assert check("InitConfiguration", node, "1.28.0") == []
    assert len(check("InitConfiguration", node, "1.27.9")) == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("InitConfiguration", {"bootstrapTokens": [{"token": "abcdef.0123"}]}),
        ("InitConfiguration", {"certificateKey": "c0ffee"}),
        ("JoinConfiguration", {"discovery": {"tlsBootstrapToken": "TOKEN.secret"}}),
    ],
)
def test_check_malformed_secret_is_refused_and_not_repeated(kind: str, body: Any) -> None:
    problem = only(kind, body)
    assert problem.found == "another text"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("InitConfiguration", {"bootstrapTokens": [{"expires": "2030-01-31T12:00:00Z"}]}),
        ("InitConfiguration", {"bootstrapTokens": [{"groups": ["system:nodes"]}]}),
        ("InitConfiguration", {"bootstrapTokens": [{"usages": ["sign"]}]}),
        ("InitConfiguration", {"localAPIEndpoint": {"advertiseAddress": "cp1"}}),
        ("InitConfiguration", {"localAPIEndpoint": {"bindPort": 70000}}),
        ("InitConfiguration", {"patches": {}}),
        ("InitConfiguration", {"patches": {"directory": "patches"}}),
        (
            "JoinConfiguration",
            {
                "discovery": {
                    "bootstrapToken": {"apiServerEndpoint": "lb:6443"},
                    "file": {"kubeConfigPath": "/a"},
                }
            },
        ),
        ("JoinConfiguration", {"discovery": {"bootstrapToken": {"token": TOKEN}}}),
        (
            "JoinConfiguration",
            {"discovery": {"bootstrapToken": {"apiServerEndpoint": "lb:6443", "caCertHashes": ["sha256:c0"]}}},
        ),
        ("JoinConfiguration", {"discovery": {"bootstrapToken": {"apiServerEndpoint": "lb"}}}),
        ("JoinConfiguration", {"discovery": {"file": {"kubeConfigPath": "file"}}}),
    ],
)
def test_check_value_of_a_command_that_kubeadm_does_not_take_is_refused(kind: str, body: Any) -> None:
    assert only(kind, body)


# By version.


@pytest.mark.parametrize(
    ("kind", "body", "until", "since"),
    [
        ("ClusterConfiguration", {"useHyperKubeImage": True}, "1.21.14", None),
        ("ClusterConfiguration", {"dns": {"type": "CoreDNS"}}, "1.21.14", None),
        ("ClusterConfiguration", {"dns": {"type": "kube-dns"}}, "1.20.15", None),
        ("ClusterConfiguration", {"encryptionAlgorithm": "ECDSA-P256"}, None, "1.31.0"),
        ("ClusterConfiguration", {"encryptionAlgorithm": "ECDSA-P384"}, None, "1.34.0"),
        ("ClusterConfiguration", {"proxy": {"disabled": True}}, None, "1.31.0"),
        ("ClusterConfiguration", {"featureGates": {"IPv6DualStack": True}}, "1.23.17", None),
        ("ClusterConfiguration", {"featureGates": {"NodeLocalCRISocket": True}}, None, "1.32.0"),
        ("ClusterConfiguration", {"featureGates": {"EtcdLearnerMode": True}}, "1.32.9", "1.27.0"),
        ("InitConfiguration", {"nodeRegistration": {"imagePullPolicy": "Never"}}, None, "1.22.0"),
        ("InitConfiguration", {"dryRun": True}, None, "1.31.0"),
        ("JoinConfiguration", {"nodeRegistration": {"kubeletExtraArgs": {"network-plugin": "cni"}}}, "1.23.17", None),
        (
            "JoinConfiguration",
            {"nodeRegistration": {"kubeletExtraArgs": {"container-runtime": "remote"}}},
            "1.26.9",
            None,
        ),
        (
            "JoinConfiguration",
            {"nodeRegistration": {"kubeletExtraArgs": [{"name": "pod-infra-container-image", "value": "p"}]}},
            "1.34.9",
            None,
        ),
        ("KubeProxyConfiguration", {"mode": "nftables"}, None, "1.29.0"),
        ("KubeProxyConfiguration", {"mode": "userspace"}, "1.25.16", None),
        ("UpgradeConfiguration", {"plan": {"etcdUpgrade": True}}, None, "1.33.0"),
    ],
)
def test_check_what_came_or_went_is_known_by_its_versions_alone(
    kind: str, body: Any, until: str | None, since: str | None
) -> None:
    for version in filter(None, (until, since)):
        assert check(kind, body, version) == []
    if until:
        minor = versions.parse(until).minor
        assert len(check(kind, body, f"1.{minor + 1}.0")) == 1
    if since:
        minor = versions.parse(since).minor
        problem = only(kind, body, f"1.{minor - 1}.0")
        assert f"1.{minor - 1}.0" in problem.wanted
    assert check(kind, body, None) == []


def test_check_removed_kubelet_flag_is_refused_with_the_version_that_removed_it() -> None:
    node = {"nodeRegistration": {"kubeletExtraArgs": {"pod-infra-container-image": "registry.k8s.io/pause:3.10"}}}
    problem = only("InitConfiguration", node, "1.35.2")
    assert problem.action == "Remove it: Kubernetes 1.35 removed it, and the kubelet would not start."


@pytest.mark.parametrize(("version", "count"), [("1.28.0", 0), ("1.29.0", 1), ("1.32.0", 1), (None, 0)])
def test_check_voters_that_never_learned_are_refused_where_kubeadm_would_make_them(
    version: str | None, count: int
) -> None:
    assert len(check("ClusterConfiguration", {"featureGates": {"EtcdLearnerMode": False}}, version)) == count


def test_check_misspelt_feature_gate_is_refused_with_the_right_one() -> None:
    problem = only("ClusterConfiguration", {"featureGates": {"PublicKeyECDSA": True}})
    assert problem.action == "Did you mean PublicKeysECDSA?"


# Everything.


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_check_what_the_table_knows_is_fine(kind: str, data: st.DataObject) -> None:
    minor = data.draw(st.integers(31 if kind in ("ResetConfiguration", "UpgradeConfiguration") else 20, 36))
    body = data.draw(configurations.objects(kind, minor))
    assert check(kind, body, f"1.{minor}.0") == []


@pytest.mark.parametrize("kind", KINDS)
@given(configurations.anything, st.sampled_from([None, "1.20.2", "1.25.3", "1.36.0"]))
def test_check_of_anything_only_finds_problems(kind: str, body: Any, version: str | None) -> None:
    for problem in check(kind, body, version):
        assert problem.subject.startswith(kind)
        assert problem.found
        assert problem.wanted
        assert problem.action


@given(st.text(min_size=1))
def test_check_any_word_that_is_no_field_is_refused(word: str) -> None:
    if word not in {*config_fields.fields("ClusterConfiguration"), "apiVersion", "kind"}:
        assert only("ClusterConfiguration", {word: None}).found == "an unknown field"


def test_check_tells_all_problems_at_once_under_the_name_that_it_was_given() -> None:
    body = {"a": 1, "apiServer": {"b": 2, "certSANs": [3, 4]}, "etcd": []}
    problems = config_check.check("ClusterConfiguration", body, None, "cluster_configuration", "cp1")
    assert {problem.subject for problem in problems} == {
        "cluster_configuration.a",
        "cluster_configuration.apiServer.b",
        "cluster_configuration.apiServer.certSANs[0]",
        "cluster_configuration.apiServer.certSANs[1]",
        "cluster_configuration.etcd",
    }
    assert {problem.host for problem in problems} == {"cp1"}
