# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster over an etcd that somebody else runs, on hosts that the other tests leave alone.

Two members run on one host by hand, with certificates made by hand. The files that lead there are on one of the two
control planes, at paths of the user's own. When a member is added, the module api_server_etcd leads API servers to it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubelab.artifacts.parts import parts
from kubelab.cache import Cache
from kubelab.settings import HOSTS, cache_directory
from support import INVENTORY, STATE, Run, host, lab, playbook, succeed

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_servers, kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils.kube_api import KubeApi
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates

WITHOUT, WITH, ETCD = MACHINES = ("w7", "w8", "w9")
KUBECONFIG = STATE / "foreign.kubeconfig"
FILES = {
    "cluster_etcd_ca_file": "/etc/etcd-client/ca.crt",
    "cluster_etcd_certificate_file": "/etc/etcd-client/client.crt",
    "cluster_etcd_key_file": "/etc/etcd-client/client.key",
}
PORTS = {"a": (2379, 2380), "b": (12379, 12380)}
ADDRESS = HOSTS[ETCD].address
FIRST, SECOND = (f"https://{ADDRESS}:{client}" for client, _peer in PORTS.values())
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"


def put(name: str, path: str, content: str, mode: str = "644") -> None:
    host(name).check_output(f"install -D -m {mode} /dev/null {path} && printf %%s %s > {path}", content)


@pytest.fixture(scope="module")
def etcd(hosts: None) -> None:
    """Two processes that nobody of the inventory has started."""
    lab("up", *MACHINES)
    ca = certificates.authority("somebody's CA")
    server, client = ca.issue("etcd", address=ADDRESS), ca.issue("kube-apiserver-etcd-client")
    for name, content in (("ca.crt", ca.pem), ("server.crt", server.pem), ("server.key", server.key_pem)):
        put(ETCD, f"/etc/etcd/{name}", content, "600")
    for path, content in zip(FILES.values(), (ca.pem, client.pem, client.key_pem)):
        put(WITH, path, content, "600")
    program = Cache(cache_directory(), STATE / "logs").get(parts(STATE / "logs" / "build.log")) / "root/usr/bin/etcd"
    command = ["scp", "-q", "-F", str(STATE / "ssh_config"), str(program), f"{ETCD}:/usr/local/bin/etcd"]
    subprocess.run(command, check=True)
    cluster = ",".join(f"{name}=https://{ADDRESS}:{peer}" for name, (_client, peer) in PORTS.items())
    tls = "".join(
        f" --{prefix}cert-file=/etc/etcd/server.crt --{prefix}key-file=/etc/etcd/server.key"
        f" --{prefix}trusted-ca-file=/etc/etcd/ca.crt --{prefix}client-cert-auth"
        for prefix in ("", "peer-")
    )
    for name, (client_port, peer_port) in PORTS.items():
        urls = {
            "listen-client": client_port,
            "advertise-client": client_port,
            "listen-peer": peer_port,
            "initial-advertise-peer": peer_port,
        }
        addresses = "".join(f" --{what}-urls=https://{ADDRESS}:{port}" for what, port in urls.items())
        host(ETCD).check_output(
            f"systemd-run --unit=etcd-{name} --property=Restart=always"
            f" etcd --name={name} --data-dir=/var/lib/etcd/{name}"
            f" --initial-cluster={cluster}{addresses}{tls}"
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


def run(folder: Path, *argv: str, book: str = "site.yml", **changes: Any) -> Run:
    """A playbook for this cluster, with changes to its variables."""
    variables = yaml.safe_load((INVENTORY / "group_vars" / "all.yml").read_text())
    variables |= {
        "ansible_user": "root",
        "ansible_ssh_common_args": f"-F {STATE / 'ssh_config'}",
        "cluster_kubeconfig_path": str(KUBECONFIG),
        "cluster_control_plane_endpoint": f"{HOSTS[WITH].address}:6443",
        "cluster_etcd_topology": "external",
        "cluster_etcd_endpoints": [FIRST],
        **FILES,
        **changes,
    }
    inventory = {"all": {"vars": variables, "children": {"control_plane": {"hosts": dict.fromkeys((WITHOUT, WITH))}}}}
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump(inventory))
    return playbook(*argv, inventory=path, book=book)


@pytest.fixture(scope="module")
def built(etcd: None, folder: Path) -> Run:
    return succeed(run(folder, "--diff"))


def manifests() -> dict[str, str]:
    return {name: host(name).check_output(f"cat {MANIFEST}") for name in (WITHOUT, WITH)}


def test_what_would_not_work_is_refused_before_anything_changes(etcd: None, folder: Path) -> None:
    wrong = run(
        folder,
        book="playbooks/plan.yml",
        cluster_etcd_endpoints=[FIRST, f"https://{ETCD}:2379", f"https://{ADDRESS}:2390"],
        cluster_etcd_key_file=FILES["cluster_etcd_certificate_file"].replace("client", "other"),
    )
    output = " ".join(wrong.output.split())
    assert wrong.code != 0
    assert f"{WITH}: /etc/etcd-other/other.crt: found no file, wanted it beside the others." in output
    assert f"https://{ADDRESS}:2390: found Connection refused, from {WITHOUT}, {WITH}, wanted a connection." in output
    wrong = run(folder, book="playbooks/plan.yml", cluster_etcd_endpoints=[FIRST, f"https://{ETCD}:2379"])
    output = " ".join(wrong.output.split())
    assert wrong.code != 0
    assert f"https://{ETCD}:2379: found a server certificate for {ADDRESS}, wanted one for {ETCD}." in output


def test_cluster_stands_on_it(built: Run) -> None:
    assert f"{WITH} initialise the cluster" in " ".join(built.output.split())
    assert "PRIVATE KEY" not in built.output
    api = KubeApi(kubeconfig.parse(KUBECONFIG.read_text()))
    nodes = {node["metadata"]["name"]: node["status"]["conditions"] for node in api.get("/api/v1/nodes")["items"]}
    assert nodes.keys() == {WITHOUT, WITH}
    assert all({"type": "Ready", "status": "True"}.items() <= conditions[-1].items() for conditions in nodes.values())
    for name in (WITHOUT, WITH):
        assert etcd_servers.of_manifest(manifests()[name]) == [FIRST]
        assert not host(name).file("/etc/kubernetes/manifests/etcd.yaml").exists
        assert host(name).file(FILES["cluster_etcd_key_file"]).mode == 0o600


def test_api_servers_follow_a_member_that_is_added(built: Run, folder: Path) -> None:
    before = manifests()
    followed = succeed(run(folder, "--diff", cluster_etcd_endpoints=[SECOND, FIRST]))
    task = "Use the endpoints of today"
    assert followed.changes == {(WITHOUT, task), (WITH, task)}
    for name, text in manifests().items():
        assert text == before[name].replace(f"--etcd-servers={FIRST}", f"--etcd-servers={SECOND},{FIRST}")
        running = host(name).check_output("pgrep -a kube-apiserver")
        assert running.count("\n") == 0
        assert f"--etcd-servers={SECOND},{FIRST} " in running
    api = KubeApi(kubeconfig.parse(KUBECONFIG.read_text()))
    kept = api.get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")["data"]["ClusterConfiguration"]
    assert etcd_servers.of_configuration(kept) == [SECOND, FIRST]


def test_second_run_changes_nothing(built: Run, folder: Path) -> None:
    again = succeed(run(folder, cluster_etcd_endpoints=[FIRST, SECOND]))
    assert again.changes == set()


@pytest.fixture(scope="module", autouse=True)
def gone() -> Iterator[None]:
    """Leave no kubeconfig behind."""
    yield
    KUBECONFIG.unlink(missing_ok=True)
