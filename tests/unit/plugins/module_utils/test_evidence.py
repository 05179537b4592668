# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host shows, read from its files and from the Node objects of its API server."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    evidence,
    kubeconfig,
    pki,
    plan,
    pod_network,
    subnets,
    versions,
    x509,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import https_server
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import BORN, Identity, authority

VERSION = versions.parse("1.20.2")


@pytest.mark.parametrize(
    ("endpoint", "parts"),
    [
        ("192.0.2.10:6443", ("192.0.2.10", 6443)),
        ("lb.example.com:443", ("lb.example.com", 443)),
        ("[2001:db8::1]:6443", ("2001:db8::1", 6443)),
    ],
)
def test_split_endpoint_gives_host_and_port(endpoint: str, parts: tuple[str, int]) -> None:
    assert evidence.split_endpoint(endpoint) == parts


@pytest.mark.parametrize(
    "endpoint", ["", "lb", "lb:", ":6443", "lb:0", "lb:65536", "lb:-1", "lb:x", "::1:6443", "[]:1"]
)
def test_split_endpoint_of_another_form_is_a_value_error(endpoint: str) -> None:
    with pytest.raises(ValueError, match="host:port|brackets"):
        evidence.split_endpoint(endpoint)


@given(st.text())
def test_split_endpoint_of_any_text_is_two_parts_or_a_value_error(text: str) -> None:
    try:
        host, port = evidence.split_endpoint(text)
    except ValueError:
        return
    assert host
    assert 0 < port < 65536


def node(labels: dict[str, str] | None = None, ready: str | None = "True", **status: Any) -> dict[str, Any]:
    """A Node object as the API server returns it."""
    conditions = [{"type": "MemoryPressure", "status": "False"}]
    conditions += [{"type": "Ready", "status": ready}] if ready else []
    return {
        "metadata": {"name": "cp1", "labels": labels or {}},
        "spec": {"podCIDR": "10.244.0.0/24"},
        "status": {
            "addresses": [{"type": "Hostname", "address": "cp1"}, {"type": "InternalIP", "address": "192.0.2.11"}],
            "conditions": conditions,
            "nodeInfo": {"kubeletVersion": "v1.20.2"},
            **status,
        },
    }


@pytest.mark.parametrize(("ready", "expected"), [("True", True), ("False", False), ("Unknown", False), (None, False)])
def test_describe_node_is_ready_only_where_it_says_so(ready: str | None, expected: bool) -> None:
    assert evidence.describe_node(node(ready=ready))["ready"] is expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("node-role.kubernetes.io/control-plane", True),
        ("node-role.kubernetes.io/master", True),
        ("node-role.kubernetes.io/worker", False),
    ],
)
def test_describe_node_knows_a_control_plane_by_either_label(label: str, expected: bool) -> None:
    assert evidence.describe_node(node({label: ""}))["control_plane"] is expected


def test_describe_node_tells_address_version_and_network() -> None:
    found = evidence.describe_node(node())
    assert (found["address"], found["kubelet"], found["pod_cidr"]) == ("192.0.2.11", "v1.20.2", "10.244.0.0/24")


def test_describe_node_that_has_not_reported_yet_is_described() -> None:
    assert evidence.describe_node({"metadata": {"name": "cp1"}}) == {
        "ready": False,
        "control_plane": False,
        "address": None,
        "kubelet": None,
        "pod_cidr": None,
    }


class Api:
    """An API that holds these objects."""

    def __init__(self, *paths: str) -> None:
        self._paths = paths

    def find(self, path: str) -> dict[str, Any] | None:
        return {"kind": "ConfigMap"} if path in self._paths else None


@pytest.mark.parametrize(("version", "name"), [("1.20.2", "kubelet-config-1.20"), ("1.33.4", "kubelet-config")])
def test_lasting_phases_are_those_that_left_their_objects(version: str, name: str) -> None:
    maps = "/api/v1/namespaces/kube-system/configmaps"
    api = Api(f"{maps}/kubeadm-config", f"{maps}/{name}", "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy")
    assert evidence.lasting_phases(api, versions.parse(version)) == [  # type: ignore[arg-type]
        "upload-config/kubeadm",
        "upload-config/kubelet",
        "addon/kube-proxy",
    ]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose files of kubeadm's would lie in a folder of the test."""
    moved = {name: str(tmp_path / name.strip("/").replace("/", "_")) for name in evidence._TRACES}
    monkeypatch.setattr(evidence, "_TRACES", tuple(moved.values()))
    monkeypatch.setattr(evidence.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(evidence, "CA", moved[evidence.CA])
    pairs = [pki.Pair(moved[pair.public], moved[str(pair.private)], pair.authority) for pair in pki.ALL]
    monkeypatch.setattr(pki, "ALL", pairs)
    monkeypatch.setattr(evidence, "KUBELET_CONF", moved[evidence.KUBELET_CONF])
    return tmp_path


def collect(endpoint: str) -> dict[str, Any]:
    return evidence.collect(endpoint=endpoint, version=VERSION, timeout=2)


def silent_endpoint() -> str:
    return https_server.unused_url().removeprefix("https://")


@pytest.mark.usefixtures("bare")
def test_collect_of_a_bare_host_is_an_observation_that_shows_nothing() -> None:
    found = collect(silent_endpoint())
    look = plan.Observation.from_result({"node_name": "cp1", **found})
    assert look == plan.Observation("cp1", "127.0.0.1", found["package_manager"], endpoint_addresses=("127.0.0.1",))


def test_collect_shows_the_authority_by_its_discovery_hash(bare: Path, ca: Identity) -> None:
    Path(evidence.CA).write_text(ca.pem, encoding="ascii")
    found = collect(silent_endpoint())
    assert found["ca"].startswith("sha256:")
    assert found["traces"] == [evidence.CA]
    assert found["problems"] == []


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nMIIB"])
@pytest.mark.usefixtures("bare")
def test_collect_of_a_cut_authority_is_a_problem_and_no_absence(content: str) -> None:
    Path(evidence.CA).write_text(content, encoding="ascii")
    found = collect(silent_endpoint())
    assert found["ca"] is None
    assert [problem[0] for problem in found["problems"]] == [evidence.CA]
    assert found["traces"] == [evidence.CA]


def moved(bare: Path, path: str) -> Path:
    return bare / path.strip("/").replace("/", "_")


def write_pair(bare: Path, pair: pki.Pair, identity: Identity, key: Identity | None = None) -> None:
    moved(bare, pair.public).write_text(identity.pem, encoding="ascii")
    moved(bare, str(pair.private)).write_text((key or identity).key_pem, encoding="ascii")


def test_collect_of_whole_certificates_tells_their_public_keys_and_no_problem(bare: Path, ca: Identity) -> None:
    write_pair(bare, pki.CLUSTER_CA, ca)
    write_pair(bare, pki.LEAVES[0], ca.issue("kube-apiserver"))
    found = collect(silent_endpoint())
    assert found["problems"] == []
    assert len(found["public_keys"]) == 4
    assert len(set(found["public_keys"].values())) == 2
    assert "PRIVATE" not in str(found)


def test_collect_tells_of_every_file_that_is_wrong_with_what_to_do(bare: Path, ca: Identity) -> None:
    ended = authority(not_after=BORN + datetime.timedelta(days=1))
    write_pair(bare, pki.CLUSTER_CA, ca, key=authority())
    write_pair(bare, pki.FRONT_PROXY_CA, ended)
    moved(bare, pki.LEAVES[0].public).write_text(ca.pem[:200], encoding="ascii")
    moved(bare, str(pki.LEAVES[0].private)).mkdir()
    os.symlink("/nowhere", moved(bare, pki.SERVICE_ACCOUNTS.public))
    found = {subject: (what, action) for subject, what, _wanted, action in collect(silent_endpoint())["problems"]}
    expected = {
        str(pki.CLUSTER_CA.private): "does not belong to",
        pki.FRONT_PROXY_CA.public: "ended on 2026-01-03",
        pki.LEAVES[0].public: "no whole PEM certificate",
        str(pki.LEAVES[0].private): "Is a directory",
        pki.SERVICE_ACCOUNTS.public: "a link to nothing",
    }
    assert set(found) == {str(moved(bare, path)) for path in expected}
    for path, words in expected.items():
        what, action = found[str(moved(bare, path))]
        assert words in what
        assert action.endswith(".")


def test_collect_looks_again_at_a_file_that_is_being_written(
    bare: Path, monkeypatch: pytest.MonkeyPatch, ca: Identity
) -> None:
    Path(evidence.CA).write_text("", encoding="ascii")
    monkeypatch.setattr(evidence.time, "sleep", lambda _seconds: Path(evidence.CA).write_text(ca.pem, encoding="ascii"))
    found = collect(silent_endpoint())
    assert found["problems"] == []
    assert found["ca"]


def test_collect_of_a_kubelet_whose_key_is_another_ones_names_its_file(
    bare: Path, monkeypatch: pytest.MonkeyPatch, ca: Identity
) -> None:
    path = bare / "kubelet.pem"
    monkeypatch.setattr(evidence.kube_api, "KUBELET_CERTIFICATE", str(path))
    leaf = ca.issue("system:node:cp1")
    path.write_text(leaf.pem + leaf.key_pem, encoding="ascii")
    assert collect(silent_endpoint())["problems"] == []
    path.write_text(leaf.pem + ca.key_pem, encoding="ascii")
    ((subject, *_rest),) = collect(silent_endpoint())["problems"]
    assert subject == str(path)


@pytest.mark.usefixtures("bare")
def test_collect_of_a_kubelet_with_a_signed_certificate_has_run() -> None:
    Path(evidence.KUBELET_CONF).write_text("client-certificate-data: x\n", encoding="ascii")
    assert not collect(silent_endpoint())["has_run"]
    text = "client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem\n"
    Path(evidence.KUBELET_CONF).write_text(text, encoding="ascii")
    assert collect(silent_endpoint())["has_run"]


@pytest.mark.usefixtures("bare")
def test_collect_knows_the_cluster_of_a_kubelet_without_the_authoritys_own_file(ca: Identity) -> None:
    config = kubeconfig.Kubeconfig("https://192.0.2.1:6443", ca.pem)
    text = kubeconfig.render(cluster="other", user="system:node:w1", config=config)
    Path(evidence.KUBELET_CONF).write_text(text, encoding="ascii")
    assert collect(silent_endpoint())["ca"] == x509.parse(ca.pem).public_key_hash
    Path(evidence.KUBELET_CONF).write_text(text[:40], encoding="ascii")
    assert collect(silent_endpoint())["ca"] is None


@pytest.mark.parametrize(
    ("name", "node"), [("system:node:cp1", "cp1"), ("kubernetes-admin", None), (None, None)], ids=str
)
def test_identity_is_the_node_that_the_kubelets_certificate_speaks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca: Identity, name: str | None, node: str | None
) -> None:
    monkeypatch.setattr(evidence.kube_api, "KUBELET_CERTIFICATE", str(tmp_path / "kubelet.pem"))
    assert evidence.identity() is None
    (tmp_path / "kubelet.pem").write_text(ca.issue(name).pem, encoding="ascii")
    assert evidence.identity() == node


@pytest.mark.usefixtures("bare")
def test_collect_dangling_link_is_a_trace_too() -> None:
    os.symlink("/nowhere", evidence.KUBELET_CONF)
    assert collect(silent_endpoint())["traces"] == [evidence.KUBELET_CONF]


@pytest.mark.usefixtures("bare")
def test_collect_endpoint_that_answers_is_shown(ca: Identity, tmp_path: Path) -> None:
    with https_server.serve(lambda _request: (403, {"kind": "Status"}), ca, tmp_path) as running:
        found = collect(running.url.removeprefix("https://"))
    assert found["endpoint"] == {"answers": True, "ca": None, "error": None}


@pytest.mark.parametrize("endpoint", ["no-such-host.invalid:6443", "lb..example.com:6443"])
@pytest.mark.usefixtures("bare")
def test_collect_of_an_endpoint_that_is_no_address_yet_is_silence_with_a_reason(endpoint: str) -> None:
    found = collect(endpoint)["endpoint"]
    assert (found["answers"], found["ca"]) == (False, None)
    assert found["error"]


@pytest.mark.usefixtures("bare")
def test_collect_endpoint_that_refuses_has_been_reached() -> None:
    assert collect(silent_endpoint())["endpoint"] == {"answers": False, "ca": None, "error": None}


@pytest.mark.usefixtures("bare")
def test_collect_endpoint_that_closes_what_it_takes_has_been_reached() -> None:
    """As a load balancer does that has no back end yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close_all() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=close_all, daemon=True).start()
        found = collect(f"127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
    assert found["endpoint"] == {"answers": False, "ca": None, "error": None}


@pytest.mark.usefixtures("bare")
def test_collect_endpoint_that_loses_packets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object, **_options: object) -> None:
        raise socket.timeout("timed out")

    monkeypatch.setattr(socket, "create_connection", never)
    assert collect("192.0.2.10:6443")["endpoint"]["error"] == "no answer within 2 s"


def test_etcd_state_without_certificates_is_no_answer_and_no_members(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise RequestFailed("connection refused")

    monkeypatch.setattr(evidence.etcd, "local_context", lambda: None)
    monkeypatch.setattr(evidence.etcd, "call", refuse)
    silent = {"answers": False, "members": [], "cluster_id": "", "leader": False, "keys": None}
    assert evidence.etcd_state(1) == {**silent, "error": "connection refused"}


MANIFEST = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - etcd
    - --data-dir=/srv/etcd
    - --initial-cluster=etcd1=https://10.0.0.1:2380,etcd2=https://10.0.0.2:2380
    - --initial-cluster-state=new
"""


def test_etcd_files_tell_of_a_member_while_it_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ETCD_MANIFEST", "SERVICE_MANAGER"):
        monkeypatch.setattr(evidence, name, str(tmp_path / name))
    monkeypatch.setattr(evidence.pki, "ETCD_IN_THE_MAKING", str(tmp_path / "making"))
    searched = ("began_alone", "without_log", "log_cut", "service_manager", "ca_in_the_making")
    assert evidence.etcd_files(str(tmp_path)) == {"flags": {}, "data": None, **dict.fromkeys(searched, False)}
    (tmp_path / "ETCD_MANIFEST").write_text(MANIFEST.replace("/srv/etcd", str(tmp_path)), encoding="utf-8")
    (tmp_path / "SERVICE_MANAGER").touch()
    (tmp_path / "making").mkdir()
    (tmp_path / "member" / "wal").mkdir(parents=True)
    found = evidence.etcd_files("/elsewhere")  # its manifest knows better
    assert found["flags"] == {
        "data-dir": str(tmp_path),
        "initial-cluster": "etcd1=https://10.0.0.1:2380,etcd2=https://10.0.0.2:2380",
        "initial-cluster-state": "new",
    }
    assert found["data"] == {"cluster_id": "", "member_id": "", "formed": False, "initial_cluster": ""}
    assert (found["service_manager"], found["ca_in_the_making"]) == (True, True)


def test_etcd_files_are_searched_for_other_members_only_where_etcd_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence.etcd_data, "began_alone", lambda folder: folder == str(tmp_path))
    assert evidence.etcd_files(str(tmp_path), silent=True)["began_alone"]
    assert not evidence.etcd_files(str(tmp_path))["began_alone"]


def test_etcd_files_know_a_backend_without_a_log(tmp_path: Path) -> None:
    """What an etcd leaves that finds its data gone, and cannot join the others with nothing."""
    (tmp_path / "member" / "snap").mkdir(parents=True)
    assert evidence.etcd_files(str(tmp_path), silent=True)["without_log"]
    assert not evidence.etcd_files(str(tmp_path))["without_log"]
    (tmp_path / "member" / "wal").mkdir()
    assert evidence.etcd_files(str(tmp_path), silent=True)["without_log"]
    (tmp_path / "member" / "wal" / "0000000000000000-0000000000000000.wal").touch()
    assert not evidence.etcd_files(str(tmp_path), silent=True)["without_log"]


def test_log_is_cut_by_etcd_s_own_last_word(tmp_path: Path) -> None:
    panic = "panic: tocommit(851) is out of range [lastIndex(12)]. Was the raft log corrupted, truncated, or lost?"
    folder = tmp_path / "kube-system_etcd-cp3_7044" / "etcd"
    folder.mkdir(parents=True)
    assert not evidence.says_that_its_log_is_cut(str(tmp_path))
    for number, said in enumerate((f"{panic}\n", "a start\n")):
        (folder / f"{number}.log").write_text(f"{'x' * 100_000}\n{said}", encoding="utf-8")
        os.utime(folder / f"{number}.log", (number, number))
    assert evidence.says_that_its_log_is_cut(str(tmp_path))
    (folder / "2.log").write_text("one more start\n", encoding="utf-8")
    assert not evidence.says_that_its_log_is_cut(str(tmp_path))


def test_back_ends_are_the_addresses_of_haproxy_s_servers() -> None:
    configuration = """
backend api_servers
    default-server check check-ssl verify none
    server cp1 10.0.0.1:6443
    server cp2 [fd00::2]:6443 disabled
    # server cp9 10.0.0.9:6443
"""
    assert evidence.back_ends(configuration) == ["10.0.0.1", "fd00::2"]
    assert evidence.back_ends("") == []


def test_traces_are_of_the_folder_where_etcd_keeps_its_data(tmp_path: Path) -> None:
    (tmp_path / "member").mkdir()
    assert f"{tmp_path}/member" in evidence.traces(str(tmp_path))
    assert f"{tmp_path}/member" not in evidence.traces()


class FakeApi:
    """Objects by path."""

    def __init__(self, **data: Any) -> None:
        self._objects = {
            evidence.KUBEADM_CONFIG: data.get("kubeadm"),
            pod_network.RECORD: data.get("record"),
        }

    def find(self, path: str) -> dict[str, Any] | None:
        found = self._objects[path]
        return None if found is None else {"data": found}


CONFIGURATION = """\
apiServer:
  extraArgs:
    podSubnet: a value that is none
etcd:
  local: {}
networking:
  dnsDomain: cluster.local
  podSubnet: 10.244.0.0/16,fd00:1::/48
  serviceSubnet: "10.96.0.0/12"
"""


EXTERNAL = """\
apiServer:
  extraArgs:
    endpoints: none
etcd:
  external:
    caFile: /etc/kubernetes/pki/etcd/ca.crt
    certFile: /etc/kubernetes/pki/apiserver-etcd-client.crt
    endpoints:
    - https://10.0.0.1:2379
    - "https://[fd00::2]:2379"
    keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key
networking:
  dnsDomain: cluster.local
"""


def test_cluster_configuration_is_what_kubeadm_keeps_in_the_cluster() -> None:
    for kubeadm, kept in ((None, ""), ({}, ""), ({"ClusterConfiguration": CONFIGURATION}, CONFIGURATION)):
        assert evidence.cluster_configuration(FakeApi(kubeadm=kubeadm)) == kept  # type: ignore[arg-type]


def test_cluster_subnets_are_those_that_kubeadm_wrote_down() -> None:
    assert evidence.cluster_subnets(CONFIGURATION) == {
        subnets.PODS: "10.244.0.0/16,fd00:1::/48",
        subnets.SERVICES: "10.96.0.0/12",
    }
    assert evidence.cluster_subnets("networking: {}\n") == evidence.cluster_subnets("") == {}


def test_cluster_etcd_is_where_kubeadm_wrote_that_it_is() -> None:
    assert evidence.cluster_etcd(CONFIGURATION.replace("local: {}", "local:\n    dataDir: /var/lib/etcd")) == {
        "topology": "stacked",
        "endpoints": [],
        "files": {},
    }
    assert evidence.cluster_etcd(EXTERNAL) == {
        "topology": "external",
        "endpoints": ["https://10.0.0.1:2379", "https://[fd00::2]:2379"],
        "files": {
            "caFile": "/etc/kubernetes/pki/etcd/ca.crt",
            "certFile": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "keyFile": "/etc/kubernetes/pki/apiserver-etcd-client.key",
        },
    }
    assert evidence.cluster_etcd("networking: {}\n") == evidence.cluster_etcd("") == {}


def test_cluster_network_is_the_one_on_record() -> None:
    kept = pod_network.record("flannel", [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "net"}}])
    found = evidence.cluster_network(FakeApi(record=kept["data"]))  # type: ignore[arg-type]
    assert found == {"network": "flannel", "objects": ["Namespace net"]}
    assert pod_network.check_record("flannel", ["Namespace net"], found) == ([], [])
    for record in (None, {}):
        assert evidence.cluster_network(FakeApi(record=record)) == {}  # type: ignore[arg-type]
