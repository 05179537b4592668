# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster over an etcd that somebody else runs, on hosts that the other tests leave alone.

Two members run on one host by hand, with certificates made by hand. The files that lead there are at paths of the
user's own. When a member is added, the module api_server_etcd leads the API server to it.
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

pytestmark = pytest.mark.on_demand

CONTROL_PLANE, ETCD = MACHINES = ("w8", "w9")
KUBECONFIG = STATE / "foreign.kubeconfig"
FILES = {
    "cluster_etcd_ca_file": "/etc/etcd-client/ca.crt",
    "cluster_etcd_certificate_file": "/etc/etcd-client/client.crt",
    "cluster_etcd_key_file": "/etc/etcd-client/client.key",
}
PORTS = {"a": (2379, 2380), "b": (12379, 12380)}
ADDRESS = HOSTS[ETCD].address
FIRST, SECOND = (f"https://{ADDRESS}:{client}" for client, _peer in PORTS.values())


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
        put(CONTROL_PLANE, path, content, "600")
    program = Cache(cache_directory(), STATE / "logs").get(parts(STATE / "logs" / "build.log")) / "root/usr/bin/etcd"
    command = ["scp", "-q", "-F", str(STATE / "ssh_config"), str(program), f"{ETCD}:/usr/local/bin/etcd"]
    subprocess.run(command, check=True)
    cluster = ",".join(f"{name}=https://{ADDRESS}:{peer}" for name, (_client, peer) in PORTS.items())
    tls = "".join(
        f" --{prefix}cert-file=/etc/etcd/server.crt --{prefix}key-file=/etc/etcd/server.key"
        f" --{prefix}trusted-ca-file=/etc/etcd/ca.crt --{prefix}client-cert-auth"
        for prefix in ("", "peer-")
    )
    # The first is ready when the second is, for which the command waits.
    for name, wait in (("a", "--no-block"), ("b", "")):
        client_port, peer_port = PORTS[name]
        urls = {
            "listen-client": client_port,
            "advertise-client": client_port,
            "listen-peer": peer_port,
            "initial-advertise-peer": peer_port,
        }
        addresses = "".join(f" --{what}-urls=https://{ADDRESS}:{port}" for what, port in urls.items())
        host(ETCD).check_output(
            f"systemd-run {wait} --unit=etcd-{name} --service-type=notify --property=Restart=always"
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
        "cluster_control_plane_endpoint": f"{HOSTS[CONTROL_PLANE].address}:6443",
        "cluster_etcd_topology": "external",
        "cluster_etcd_endpoints": [FIRST],
        **FILES,
        **changes,
    }
    inventory = {"all": {"vars": variables, "children": {"control_plane": {"hosts": {CONTROL_PLANE: {}}}}}}
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump(inventory))
    return playbook(*argv, inventory=path, book=book)


@pytest.fixture(scope="module")
def built(etcd: None, folder: Path) -> Run:
    return succeed(run(folder, "--diff"))


def manifest() -> str:
    return host(CONTROL_PLANE).check_output("cat /etc/kubernetes/manifests/kube-apiserver.yaml")


def api() -> KubeApi:
    return KubeApi(kubeconfig.parse(KUBECONFIG.read_text()))


def test_what_would_not_work_is_refused_before_anything_changes(etcd: None, folder: Path) -> None:
    by_name, nowhere = f"https://{ETCD}:2379", f"https://{ADDRESS}:2390"
    wrong = run(folder, book="playbooks/plan.yml", cluster_etcd_endpoints=[FIRST, by_name, nowhere])
    output = " ".join(wrong.output.split())
    assert wrong.code != 0
    for text in (
        f"{CONTROL_PLANE}: etcd endpoint {by_name}: found a server certificate for {ADDRESS}, wanted one for {ETCD}.",
        f"{CONTROL_PLANE}: etcd endpoint {nowhere}: found Connection refused, wanted a connection.",
    ):
        assert text in output, wrong.output
    assert wrong.changes == set()


def test_cluster_stands_on_it(built: Run) -> None:
    assert "PRIVATE KEY" not in built.output
    conditions = api().get(f"/api/v1/nodes/{CONTROL_PLANE}")["status"]["conditions"]
    assert [entry["status"] for entry in conditions if entry["type"] == "Ready"] == ["True"]
    assert etcd_servers.of_manifest(manifest()) == [FIRST]
    assert not host(CONTROL_PLANE).file("/etc/kubernetes/manifests/etcd.yaml").exists
    assert not host(CONTROL_PLANE).file("/etc/kubernetes/pki/etcd").exists


def test_api_server_follows_a_member_that_is_added_and_nothing_else_changes(built: Run, folder: Path) -> None:
    before = manifest()
    followed = succeed(run(folder, "--diff", cluster_etcd_endpoints=[SECOND, FIRST]))
    assert followed.changes == {(CONTROL_PLANE, "Use the endpoints of today")}
    assert manifest() == before.replace(f"--etcd-servers={FIRST}", f"--etcd-servers={SECOND},{FIRST}")
    running = host(CONTROL_PLANE).check_output("pgrep -a kube-apiserver").splitlines()
    assert len(running) == 1
    assert f"--etcd-servers={SECOND},{FIRST} " in running[0]
    kept = api().get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")["data"]["ClusterConfiguration"]
    assert etcd_servers.of_configuration(kept) == [SECOND, FIRST]
    # The order of endpoints means nothing.
    again = succeed(run(folder, book="playbooks/plan.yml", cluster_etcd_endpoints=[FIRST, SECOND]))
    assert "nothing to join" in again.output
    assert "follow etcd's members" not in again.output


@pytest.fixture(scope="module", autouse=True)
def gone() -> Iterator[None]:
    """Leave no kubeconfig behind."""
    yield
    KUBECONFIG.unlink(missing_ok=True)
