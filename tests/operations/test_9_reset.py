# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster is taken off its hosts, and nothing else: refused first, then struck, then done. It leaves bare hosts.

What is tried here are the modules kubeadm_reset and reset_plan, by the playbook that calls them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from support import (
    CONTROL_PLANES,
    HOSTS,
    INVENTORY,
    KUBECONFIG,
    NODES,
    ROOT,
    STATE,
    WORKERS,
    Run,
    answers,
    api,
    eventually,
    host,
    node_is_ready,
    playbook,
    succeed,
)
from traffic import PODS, pod

from ansible_collections.kubeadm.ha.plugins.module_utils import identity, kubeconfig, x509

BOOK = "playbooks/reset.yml"
VARIANTS = ("iptables-legacy", "iptables-nft")
# Rules of somebody else's, some of which look like a cluster's to whoever reads too little of them.
FOREIGN_RULES = (
    "-t filter -A INPUT -p tcp -m tcp --dport 22 -m comment --comment 'ssh, as in \"KUBE-SERVICES\"' -j ACCEPT",
    "-t filter -A THEIRS -s 192.0.2.0/24 -j DROP",
    "-t filter -A FORWARD -j THEIRS",
    "-t nat -A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE",
    "-t nat -A PREROUTING -p tcp -m tcp --dport 8443 -j REDIRECT --to-ports 9443",
)
PODMAN = "/etc/cni/net.d/87-podman-bridge.conflist"
THEIR_CONFIG, OUR_CONFIG = "/var/mail/.kube/config", "/root/.kube/config"
PLUGIN = "/opt/cni/bin/bridge"
# A network whose plugin lets no pod go while there is no API server, as those do that keep its address in the API.
CLINGING = f"""#!/bin/sh
if [ "$CNI_COMMAND" = DEL ]; then
    echo '{{"cniVersion": "0.4.0", "code": 11, "msg": "no API server"}}'
    exit 1
fi
exec {PLUGIN}.real "$@"
"""


@pytest.fixture(scope="module")
def cluster_id(cluster: None) -> str:
    config = kubeconfig.parse(KUBECONFIG.read_text())
    return identity.cluster_id(x509.parse(config.ca).public_key_hash)


@dataclass
class Before:
    """What hosts had before, by host: rules that are nobody's cluster's, and an SSH session that goes on."""

    rules: dict[str, dict[str, list[str]]]
    sessions: dict[str, subprocess.Popen[str]]


def foreign_rules(name: str) -> dict[str, list[str]]:
    """Rules by variant and table, without those of a cluster."""
    found = {}
    for variant in VARIANTS:
        lines = host(name).check_output(f"{variant}-save").splitlines()
        table = ""
        for line in lines:
            table = line if line.startswith("*") else table
            ours = any(word in line for word in ("KUBE-", "CNI-", "-s 10.244.0.0/16 ! -d"))
            if line.startswith("-A") and (not ours or "ssh, as in" in line):
                found.setdefault(f"{variant} {table}", []).append(line)
    return found


def furnish(name: str) -> None:
    """Make a host one that is not the cluster's alone."""
    lines = ["set -e"]
    for variant in VARIANTS:
        lines += [f"{variant} -N THEIRS", *(f"{variant} {rule}" for rule in FOREIGN_RULES)]
    lines += [
        f"""echo '{{"name": "podman", "plugins": [{{"type": "bridge", "bridge": "cni-podman0"}}]}}' > {PODMAN}""",
        # A volume that no pod's end will unmount.
        "mkdir -p /var/lib/kubelet/volume",
        "mount -t tmpfs tmpfs /var/lib/kubelet/volume",
        "touch /var/lib/kubelet/volume/data",
    ]
    if name in CONTROL_PLANES:
        lines += [f"install -D -m 600 /etc/kubernetes/admin.conf {path}" for path in (OUR_CONFIG, THEIR_CONFIG)]
        lines.append(f"printf '%s\\n' '- cluster:' '    server: https://192.0.2.1' >> {THEIR_CONFIG}")
    host(name).check_output("\n".join(lines))


@pytest.fixture(scope="module")
def before(cluster: None) -> Iterator[Before]:
    """Hosts that are not the cluster's alone, and pods of the cluster's."""
    with ThreadPoolExecutor() as hosts:
        list(hosts.map(furnish, NODES))
    for name in WORKERS:
        api().create(PODS, pod(f"on-{name}", name, ["sleep", "infinity"]))
    for name in WORKERS:
        eventually(lambda name=name: api().get(f"{PODS}/on-{name}")["status"]["phase"] == "Running", f"a pod on {name}")
    host("w2").check_output(f"mv {PLUGIN} {PLUGIN}.real && cat > {PLUGIN} <<'END'\n{CLINGING}END")
    host("w2").check_output(f"chmod 755 {PLUGIN}")
    argv = ["ssh", "-F", str(STATE / "ssh_config"), "-o", "ControlPath=none"]
    sessions = {
        name: subprocess.Popen([*argv, name, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in HOSTS
    }
    with ThreadPoolExecutor() as hosts:
        yield Before(dict(zip(NODES, hosts.map(foreign_rules, NODES))), sessions)
    host("w2").check_output(f"mv {PLUGIN}.real {PLUGIN}")
    for session in sessions.values():
        session.kill()
        session.wait()


def reset(*argv: str) -> Run:
    return playbook(*argv, book=BOOK, log=STATE / "logs" / "operations-reset.log")


def test_reset_that_nobody_confirmed_is_refused_with_the_id(cluster_id: str) -> None:
    run = reset()
    assert run.code != 0
    assert "Nothing was changed." in run.output
    assert f"reset_confirm: found nothing, wanted {cluster_id} ({', '.join(sorted(NODES))})" in run.output
    assert f"-e reset_confirm={cluster_id}" in run.output
    assert set(run.changed.values()) == {0}


def test_part_of_a_living_cluster_is_refused_and_so_is_another_clusters_id(cluster_id: str) -> None:
    run = reset("-e", "reset_confirm=0123456789ab", "--limit", "w1:cp2:lb1")
    assert run.code != 0
    for name in ("cp2", "w1"):
        assert f"{name}: cluster: found {cluster_id}, wanted 0123456789ab, which reset_confirm says" in run.output
        assert f"{name}: node: found one of cluster {cluster_id}, which lives on with cp1, cp3, w2" in run.output
        assert f"Run remove_node.yml with -e remove_node_name={name} first" in run.output
    assert "lb1: load balancer: found one of cluster" in run.output
    assert set(run.changed.values()) == {0}


@pytest.fixture(scope="module")
def foretold(cluster_id: str, before: Before) -> Run:
    return succeed(reset("-e", f"reset_confirm={cluster_id}", "--check", "--diff"))


def test_check_mode_changes_nothing_and_shows_no_secret(foretold: Run) -> None:
    assert all(count == 1 for count in foretold.changed.values())
    assert "PRIVATE KEY" not in foretold.output
    assert "client-key-data" not in foretold.output
    assert f"stays: {THEIR_CONFIG}: it leads to other clusters as well" in foretold.output
    assert answers()
    assert all(node_is_ready(name) for name in NODES)


@pytest.fixture(scope="module")
def done(cluster_id: str, foretold: Run) -> Run:
    """The reset, begun on a cluster without an API server, killed on its way, and run again."""
    with ThreadPoolExecutor() as hosts:
        aside = "mv /etc/kubernetes/manifests/kube-apiserver.yaml /root/"
        list(hosts.map(lambda name: host(name).check_output(aside), CONTROL_PLANES))
    strike(cluster_id, seconds=3)
    return succeed(reset("-e", f"reset_confirm={cluster_id}"))


def strike(cluster_id: str, seconds: float) -> None:
    """Kill a reset so long after it began to remove, on the controller and on every host."""
    log = STATE / "logs" / "operations-reset-struck.log"
    with log.open("w") as stream:
        run = subprocess.Popen(
            ["ansible-playbook", BOOK, "-i", str(INVENTORY), "-e", f"reset_confirm={cluster_id}"],
            cwd=ROOT,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "PYTHONUNBUFFERED": "1",
                "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1",  # which lets a task be named when it begins
            },
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        while "Take the cluster off the host" not in log.read_text() and run.poll() is None:
            time.sleep(0.05)
        time.sleep(seconds)
        assert run.poll() is None, log.read_text()
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    # Module and kubeadm hold the lock; nobody else does.
    holds = "ls -l $one/fd 2>/dev/null | grep -q kubeadm-ha.lock"
    with ThreadPoolExecutor() as hosts:
        end = f"for one in /proc/[0-9]*; do {holds} && kill -KILL ${{one#/proc/}}; done"
        list(hosts.map(lambda name: host(name).run(end), NODES))


def test_run_after_the_kill_sums_up_what_it_removed(done: Run) -> None:
    """From how many hosts depends on how far the killed one had come; what is left on any is looked for below."""
    assert "Removed of cluster " in done.output


@pytest.mark.parametrize("name", NODES)
def test_nothing_of_the_cluster_is_left(done: Run, name: str) -> None:
    node = host(name)
    places = "/etc/kubernetes /var/lib/kubelet /var/lib/etcd /opt/kubeadm-ha"
    assert node.run(f"find {places} -mindepth 1").stdout == ""
    assert node.run("grep -l kubepods /proc/[0-9]*/cgroup").stdout == ""
    assert node.check_output("crictl --runtime-endpoint unix:///run/containerd/containerd.sock pods --quiet") == ""
    assert "/var/lib/kubelet/" not in node.file("/proc/self/mountinfo").content_string
    for variant in VARIANTS:
        for family in (variant, variant.replace("iptables", "ip6tables")):
            saved = node.check_output(f"{family}-save").replace('as in \\"KUBE-SERVICES', "")
            assert not any(word in saved for word in ("KUBE-", "CNI-", "10.244.0.0/16")), saved
    assert not {"cni0", "kube-ipvs0"} & {*node.check_output("ls /sys/class/net").split()}
    assert "10.244." not in node.check_output("ip route")
    assert node.check_output("ls /etc/cni/net.d").split() == [PODMAN.rsplit("/", maxsplit=1)[-1]]
    assert not node.file(OUR_CONFIG).exists
    assert not node.service("kubelet").is_running
    assert not node.file("/etc/systemd/system/bridge-network.service").exists


@pytest.mark.parametrize("name", NODES)
def test_what_is_not_the_clusters_stays(done: Run, before: Before, name: str) -> None:
    assert foreign_rules(name) == before.rules[name]
    assert sum(map(len, before.rules[name].values())) >= len(FOREIGN_RULES) * len(VARIANTS)
    assert host(name).service("containerd").is_running
    assert host(name).file(PODMAN).exists
    assert host(name).file("/var/lib/etcd").is_directory
    assert host(name).run("kubeadm version").rc == 0
    if name in CONTROL_PLANES:
        assert "https://192.0.2.1" in host(name).file(THEIR_CONFIG).content_string


@pytest.mark.parametrize("name", HOSTS)
def test_ssh_session_goes_on(done: Run, before: Before, name: str) -> None:
    session = before.sessions[name]
    assert session.stdin and session.stdout
    session.stdin.write("still here\n")
    session.stdin.flush()
    assert session.stdout.readline() == "still here\n"


@pytest.mark.parametrize("name", ["lb1", "lb2"])
def test_load_balancer_balances_no_more(done: Run, name: str) -> None:
    assert not host(name).service("haproxy").is_running
    assert not host(name).service("haproxy").is_enabled
    assert not host(name).file("/etc/haproxy/haproxy.cfg").exists


def test_second_reset_changes_nothing(done: Run, cluster_id: str) -> None:
    again = succeed(reset("-e", f"reset_confirm={cluster_id}"))
    assert set(again.changed.values()) == {0}


def test_hosts_are_fit_for_a_new_cluster(done: Run) -> None:
    plan = succeed(playbook(book="playbooks/plan.yml"))
    assert "Refused:" not in plan.output
    assert "initialise" in plan.output
