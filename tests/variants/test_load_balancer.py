# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy beside the API servers, at a port of its own: it follows the members, and a reload cuts nobody off."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import KUBECONFIG, ROOT, STATE, Run, api, eventually, host, playbook, succeed

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import present_certificate, verified_context

pytestmark = pytest.mark.usefixtures("cluster")

BALANCERS = ("cp1", "cp2")
ENDPOINT = "https://10.210.0.21:8443"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
SHOW = """python3 -c "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock');
s.sendall(b'{}\\n'); print(s.makefile().read())" """
MEMBERS = {"cp1": "10.210.0.21", "cp2": "10.210.0.22"}


def asked(name: str, question: str) -> list[str]:
    """What the HAProxy of a host answers."""
    return host(name).check_output(SHOW.replace("{}", question)).splitlines()


def up(name: str) -> set[str]:
    """The back ends that the HAProxy of a host sends clients to."""
    lines = (line for line in asked(name, "show stat") if line.startswith("kube_apiserver,") and ",UP," in line)
    return {line.split(",")[1] for line in lines} - {"BACKEND"}


def worker(name: str) -> str:
    """The process that takes new connections."""
    return next(line for line in asked(name, "show info") if line.startswith("Pid:"))


def balance(inventory: Path, backends: dict[str, str], *argv: str, **more: Any) -> Run:
    variables = json.dumps({"load_balancer_backends": backends, **more})
    return playbook("-e", variables, *argv, inventory=inventory, book="tests/variants/balance.yml")


@pytest.mark.parametrize("name", BALANCERS)
def test_every_balancer_leads_to_every_control_plane(name: str) -> None:
    eventually(lambda: up(name) == set(BALANCERS), f"{name} finds both API servers ready")


def test_users_and_nodes_come_by_the_balancer() -> None:
    assert kubeconfig.parse(KUBECONFIG.read_text()).server == ENDPOINT
    for name in ("cp1", "cp2", "w1"):
        assert ENDPOINT in host(name).file("/etc/kubernetes/kubelet.conf").content_string


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests/unit/fixtures/haproxy").glob("*.cfg")), ids=lambda path: path.stem
)
def test_haproxy_accepts_what_is_rendered(path: Path) -> None:
    checked = host("cp1").run("printf %s %s > /tmp/case.cfg; haproxy -c -f /tmp/case.cfg", "%s", path.read_text())
    assert checked.rc == 0, checked.stderr


class Watch:
    """One connection through the balancer that waits for ConfigMaps."""

    def __init__(self) -> None:
        config = kubeconfig.parse(KUBECONFIG.read_text())
        context = verified_context(config.ca)
        present_certificate(context, config.certificate, config.key)
        self._connection = http.client.HTTPSConnection("10.210.0.21", 8443, timeout=60, context=context)
        since = api().get(CONFIG_MAPS)["metadata"]["resourceVersion"]
        self._connection.request("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion={since}")
        self._answer = self._connection.getresponse()

    def next(self) -> str:
        """The name of the next one that comes."""
        return json.loads(self._answer.readline())["object"]["metadata"]["name"]

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def clients() -> Iterator[list[str]]:
    """New clients without end; what became of each that failed."""
    failures: list[str] = []
    over = threading.Event()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def come() -> None:
        while not over.is_set():
            try:
                urllib.request.urlopen(f"{ENDPOINT}/readyz", timeout=20, context=context).read()
            except OSError as error:
                failures.append(str(error))
            over.wait(0.02)

    threads = [threading.Thread(target=come) for _number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        over.set()
        for thread in threads:
            thread.join()


def announce(name: str) -> str:
    api().create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
    return name


@pytest.fixture
def watch() -> Iterator[Watch]:
    names = ("before", "during", "after")
    watch = Watch()
    yield watch
    watch.close()
    for name in names:
        api().delete(f"{CONFIG_MAPS}/{name}")


@pytest.mark.on_demand
def test_connections_survive_a_change_of_back_ends_and_no_client_is_refused(inventory: Path, watch: Watch) -> None:
    """The new back end is as a control plane is before it has joined: its host is up, and refuses."""
    addresses = api().get("/api/v1/nodes/w1")["status"]["addresses"]
    joining = next(one["address"] for one in addresses if one["type"] == "InternalIP")
    old = worker("cp1")
    assert announce("before") == watch.next()
    with clients() as failures:
        run = succeed(balance(inventory, {**MEMBERS, "cp3": joining}))
        assert run.changed == {"cp1": 1, "cp2": 1}
        assert worker("cp1") != old
        assert announce("during") == watch.next()
        succeed(balance(inventory, MEMBERS))
    assert failures == []
    assert announce("after") == watch.next()
    assert succeed(balance(inventory, MEMBERS)).changed == {"cp1": 0, "cp2": 0}


@pytest.mark.on_demand
def test_process_that_could_not_take_its_file_up_is_told_and_made_to(inventory: Path) -> None:
    """Its file is right and newer than nothing, the unit was reloaded, and somebody listens: yet it is the old one."""
    node = host("cp2")
    node.check_output("systemd-run --unit=squatter python3 -m http.server 8444")
    eventually(lambda: node.socket("tcp://0.0.0.0:8444").is_listening, "somebody has the port")
    old = worker("cp2")
    run = balance(inventory, MEMBERS, "--limit", "cp2", cluster_load_balancer_port=8444)
    try:
        assert run.code != 0
        assert "runs something else than its files say" in run.output
        assert "cannot bind socket" in run.output
        assert worker("cp2") == old
    finally:
        node.check_output("systemctl stop squatter")
    try:
        checked = balance(inventory, MEMBERS, "--limit", "cp2", "--check", cluster_load_balancer_port=8444)
        assert succeed(checked).changed == {"cp2": 1}
        again = balance(inventory, MEMBERS, "--limit", "cp2", cluster_load_balancer_port=8444)
        assert succeed(again).changed == {"cp2": 1}
        assert worker("cp2") != old
    finally:
        succeed(balance(inventory, MEMBERS))


@pytest.mark.on_demand
def test_ipv6_alone_and_with_ipv4(inventory: Path) -> None:
    """The kernel's own loopback is all of IPv6 that the lab has; HAProxy listens there beside IPv4."""
    succeed(balance(inventory, MEMBERS, "--limit", "cp2", cluster_load_balancer_bind_address="::"))
    try:
        for address in ("[::1]", "127.0.0.1"):
            found = host("cp2").check_output(f"curl --silent --insecure https://{address}:8443/readyz")
            assert found == "ok"
    finally:
        succeed(balance(inventory, MEMBERS))


@pytest.mark.on_demand
def test_member_that_left_the_inventory_stays_a_back_end(inventory: Path, tmp_path: Path) -> None:
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    for group in hosts["all"]["children"].values():
        group["hosts"].pop("cp2", None)
    hosts["all"]["vars"]["ansible_ssh_common_args"] = f"-F {STATE / 'ssh_config'}"
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    for variables in ("group_vars", "host_vars"):
        (folder / variables).symlink_to(inventory / variables)
    (tmp_path / "network.manifest").symlink_to(inventory.parent / "network.manifest")
    run = succeed(playbook("--check", "-e", f"cluster_kubeconfig_path={KUBECONFIG}", inventory=folder))
    assert set(run.changed.values()) == {0}
    assert "Know: cluster: load balancers: found cp2 in the cluster" in run.output


@pytest.mark.on_demand
def test_endpoint_on_the_way_to_which_packets_are_lost_is_told_by_every_node(inventory: Path) -> None:
    """Nobody has this address of the lab's network."""
    run = playbook(
        "-e", "cluster_control_plane_endpoint=10.210.0.250:8443", inventory=inventory, book="playbooks/plan.yml"
    )
    assert succeed(run)
    assert "Know: cluster: control plane endpoint 10.210.0.250:8443" in run.output
    assert "seen from cp1, cp2, trixie1, w1" in run.output
