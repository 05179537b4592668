# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker by dockershim, containerd 1.6 and 1.7, Debian 12 and 13 in one cluster: each node uses what was named."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from registry import ADDRESS, serving
from support import Run, api, eventually, host, node_is_ready, playbook

from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import authority

pytestmark = pytest.mark.usefixtures("cluster")

BOOK = str(Path(__file__).parent / "container_runtime.yml")
RUNTIMES = {
    "cp1": "docker://20.10.",
    "cp2": "containerd://1.6.",
    "w1": "containerd://1.6.",
    "trixie1": "containerd://1.7.",
}
SOCKETS = dict.fromkeys(RUNTIMES, "/run/containerd/containerd.sock") | {"cp1": "/var/run/dockershim.sock"}
# w1 has Kubernetes' programs in a folder of its own.
CRICTL = "env PATH=$PATH:/opt/bin crictl"
CONFIG = "/etc/containerd/config.toml"
CRICTL = "PATH=$PATH:/opt/bin crictl"  # w1 has its programs there
PODS = "/api/v1/namespaces/default/pods"


def keep_runtime(inventory: Path, name: str, *arguments: str, **variables: object) -> Run:
    extra = ("--extra-vars", json.dumps(variables))
    return playbook("--limit", name, *arguments, *extra, inventory=inventory, book=BOOK)


@pytest.mark.parametrize("name", RUNTIMES)
def test_node_runs_its_pods_in_the_runtime_that_was_named(name: str) -> None:
    node = api().get(f"/api/v1/nodes/{name}")
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith(RUNTIMES[name])
    assert node["metadata"]["annotations"]["kubeadm.alpha.kubernetes.io/cri-socket"] == SOCKETS[name]
    assert SOCKETS[name] in host(name).check_output("cat /etc/crictl.yaml")
    assert "kube-proxy" in host(name).check_output(f"{CRICTL} ps")


def test_second_runtime_of_a_host_is_left_without_pods() -> None:
    """Docker brings containerd, whose CRI would serve a kubelet as well."""
    both = host("cp1")
    assert both.service("containerd").is_running
    assert both.file("/run/containerd/containerd.sock").exists
    assert both.run("ctr --namespace k8s.io containers ls --quiet").stdout == ""
    assert "kube-apiserver" in both.check_output("docker ps --format '{{.Names}}'")


@pytest.mark.parametrize("name", RUNTIMES)
def test_runtime_and_kubelet_agree_on_the_cgroup_driver(name: str) -> None:
    assert "cgroupDriver: systemd" in host(name).check_output("cat /var/lib/kubelet/config.yaml")
    # The systemd driver names slices, cgroupfs folders.
    process = host(name).check_output("pgrep --oldest kube-proxy")
    assert "/kubepods.slice/" in host(name).check_output(f"cat /proc/{process}/cgroup")


@pytest.mark.parametrize("name", RUNTIMES)
def test_image_comes_from_the_mirror(name: str) -> None:
    """Each with a name of its own, so that no host has it already."""
    pull = "docker pull" if name == "cp1" else f"{CRICTL} pull"
    with serving(f"lab/{name}") as asked:
        host(name).check_output(f"{pull} docker.io/lab/{name}:1")
    assert any(path.startswith(f"/v2/lab/{name}/manifests/1") for path in asked)


@pytest.mark.parametrize(("server", "client"), [("cp1", "trixie1"), ("trixie1", "cp1")])
def test_pods_of_different_runtimes_reach_each_other(server: str, client: str) -> None:
    kube, name = api(), f"on-{server}"
    container = {
        "name": "main",
        "image": "k8s.gcr.io/pause:3.2",
        "command": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/bin"],
    }
    spec = {"nodeName": server, "terminationGracePeriodSeconds": 0, "containers": [container]}
    try:
        kube.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        eventually(lambda: "podIP" in kube.get(f"{PODS}/{name}")["status"], f"pod {name} has an address")
        address = kube.get(f"{PODS}/{name}")["status"]["podIP"]
        fetch = f"curl --silent --fail --max-time 5 --output /dev/null http://{address}:8080/busybox"
        eventually(lambda: host(client).run(fetch).rc == 0, f"{client} reads from {name}")
    finally:
        kube.delete(f"{PODS}/{name}")


def test_node_keeps_its_runtime(inventory: Path) -> None:
    run = playbook("--limit", "w1", "-e", "cluster_container_runtime=docker", inventory=inventory)
    assert run.code != 0
    assert "w1: container runtime: found the kubelet at /run/containerd/containerd.sock" in run.output
    assert "wanted /var/run/dockershim.sock" in run.output
    assert not host("w1").package("docker.io").is_installed


def test_crio_comes_from_a_repository_of_its_own_key(inventory: Path) -> None:
    """As far as check mode goes, with a package that the lab's repository has: nobody here has CRI-O.

    The other hosts know that repository already, as Kubernetes'.
    """
    repository = "http://10.210.0.1:8080/core:/stable:/v1.20/deb/"
    wanted = {
        "cluster_container_runtime": "crio",
        "cluster_crio_repository": repository,
        "container_runtime_packages": ["cri-tools"],
    }
    run = keep_runtime(inventory, "w1", "--check", "--diff", **wanted)
    assert f"+URIs: {repository}" in run.output, run.output
    assert f"The key is from {repository}Release.key" in run.output
    assert "wanted /var/run/crio/crio.sock. A node keeps its runtime" in " ".join(run.output.split())


def test_settings_that_the_runtime_cannot_serve_with_are_taken_back(inventory: Path) -> None:
    before = host("w1").file(CONFIG).content_string
    run = keep_runtime(inventory, "w1", cluster_containerd_settings={"disabled_plugins": ["io.containerd.grpc.v1.cri"]})
    assert run.code != 0
    assert "found a containerd without CRI" in run.output
    assert "Its files are as they were before." in run.output
    assert host("w1").file(CONFIG).content_string == before
    assert host("w1").run(f"{CRICTL} info").rc == 0
    assert node_is_ready("w1")


def test_mirrors_come_with_their_authority_and_go_when_they_are_not_wanted_any_more(
    inventory: Path, tmp_path: Path
) -> None:
    hosts = "/etc/containerd/certs.d/{}/hosts.toml"
    own = hosts.format("own.example.com")
    host("w1").check_output(f"mkdir -p $(dirname {own}); echo 'server = \"https://own.example.com\"' > {own}")
    since = host("w1").check_output("systemctl show containerd --property ActiveEnterTimestampMonotonic")
    ca = authority("mirror")
    ca.issue("mirror", address=ADDRESS[0]).write(tmp_path, "mirror")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "mirror.crt", tmp_path / "mirror.key")
    other = {"quay.io": [{"endpoint": f"https://{ADDRESS[0]}:{ADDRESS[1]}/proxy", "ca": ca.pem}]}

    def keep(mirrors: dict[str, list[Any]]) -> None:
        run = keep_runtime(inventory, "w1", cluster_registry_mirrors=mirrors)
        assert (run.code, run.changed) == (0, {"w1": 1}), run.output
        assert {name for name in ("quay.io", "docker.io") if host("w1").file(hosts.format(name)).exists} == set(mirrors)

    keep(other)
    with serving("proxy/lab/over-tls", tls) as asked:
        host("w1").check_output(f"{CRICTL} pull quay.io/lab/over-tls:1")
    assert any(path.startswith("/v2/proxy/lab/over-tls/manifests/1") for path in asked)
    keep({"docker.io": ["http://10.210.0.1:5050"]})
    assert host("w1").file(own).exists, "a person's own file stays"
    # These are read on each pull.
    assert host("w1").check_output("systemctl show containerd --property ActiveEnterTimestampMonotonic") == since
