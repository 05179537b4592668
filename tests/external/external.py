# SPDX-License-Identifier: GPL-3.0-or-later
"""The third cluster: its hosts, and how its etcd and its load balancers are, looked at from outside."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from kubelab.settings import HOSTS as LAB
from support import ROOT, STATE, Run, api, host, node_is_ready, playbook, rewritten, variables

CONTROL_PLANES = ("cp1", "cp2")
WORKERS = ("w1",)
NODES = (*CONTROL_PLANES, *WORKERS)


def _inventory() -> Path:
    """The lab's without what each run would look at for nothing: a second worker, and a third control plane, which no
    quorum needs where etcd is on hosts of its own."""
    folder = STATE / "external"
    folder.mkdir(parents=True, exist_ok=True)

    def drop(everything: dict[str, Any]) -> None:
        del everything["children"]["control_plane"]["hosts"]["cp3"]
        del everything["children"]["workers"]["hosts"]["w2"]

    return rewritten(folder, drop, ROOT / "inventories" / "lab_external_etcd")


INVENTORY = _inventory()
ENDPOINT = variables(INVENTORY)["cluster_control_plane_endpoint"]
VIRTUAL_IP = ENDPOINT.rpartition(":")[0]

ETCD = ("etcd1", "etcd2", "etcd3")
BALANCERS = ("lb1", "lb2")
HOSTS = (*ETCD, *NODES, *BALANCERS)

PKI = Path("/etc/kubernetes/pki")
# What each host holds below PKI, as kubeadm's guides to external etcd list it.
CLIENT_FILES = {"apiserver-etcd-client.crt", "apiserver-etcd-client.key", "etcd/ca.crt"}
MEMBER_FILES = CLIENT_FILES | {
    f"etcd/{name}.{kind}" for name in ("server", "peer", "healthcheck-client") for kind in ("crt", "key")
}
CONTROL_PLANE_FILES = CLIENT_FILES | {
    *("sa.key", "sa.pub"),
    *(
        f"{name}.{kind}"
        for name in ("ca", "apiserver", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client")
        for kind in ("crt", "key")
    ),
}

FIGURES: list[str] = []
"""What was measured, a line each, for the end of the session."""


def site(*arguments: str, inventory: Path = INVENTORY, **options: Any) -> Run:
    """A run of site.yml for these hosts."""
    return playbook(*arguments, inventory=inventory, **options)


def in_the_end(*arguments: str, **options: Any) -> Run:
    """A run, and again while it refuses because API servers hang, as they may once an etcd host has lost its power."""
    deadline = time.monotonic() + 180
    while True:
        run = site(*arguments, **options)
        hangs = run.code != 0 and "They hang, or are not ready" in " ".join(run.output.split())
        if not hangs or time.monotonic() > deadline:
            return run
        assert run.changes == set()


def url(name: str, port: int = 2379) -> str:
    return f"https://{LAB[name].address}:{port}"


def etcd(name: str, call: str, **body: Any) -> dict[str, Any]:
    """What the etcd of a host answers to a call of its JSON gateway; both prove who they are.

    Raises:
        AssertionError: it does not answer.
    """
    identity = (
        f"--cacert {PKI}/etcd/ca.crt --cert {PKI}/etcd/healthcheck-client.crt --key {PKI}/etcd/healthcheck-client.key"
    )
    told = json.dumps(body)
    answer = host(name).check_output(f"curl -sSf --max-time 5 {identity} -d '{told}' {url(name)}/v3/{call}")
    return dict(json.loads(answer))


def members(name: str) -> dict[str, dict[str, Any]]:
    """The members by name, as one of them knows them."""
    return {member["name"]: member for member in etcd(name, "cluster/member/list")["members"]}


def leader(names: tuple[str, ...] = ETCD) -> str:
    """The host whose etcd leads."""
    return next(
        name
        for name in names
        for status in [etcd(name, "maintenance/status")]
        if status["leader"] == status["header"]["member_id"]
    )


def lead(name: str) -> str:
    """The host itself, once its etcd leads."""
    if (former := leader()) != name:
        etcd(former, "maintenance/transfer-leadership", targetID=members(former)[name]["ID"])
    return name


def etcd_is_whole(names: tuple[str, ...] = ETCD) -> bool:
    """Whether these hosts, and no others, are one cluster of voters with one leader, and none has a complaint."""
    try:
        statuses = [etcd(name, "maintenance/status") for name in names]
        voters = {title for title, member in members(names[0]).items() if not member.get("isLearner")}
    except AssertionError:
        return False
    return (
        voters == set(names)
        and len({status["header"]["cluster_id"] for status in statuses}) == 1
        and len({status.get("leader") for status in statuses}) == 1
        and not any(status.get("errors") for status in statuses)
    )


def holders() -> list[str]:
    """The load balancers that have the virtual address."""
    return [name for name in BALANCERS if f" {VIRTUAL_IP}/" in host(name).check_output("ip -4 -oneline address show")]


def sees_every_api_server(name: str) -> bool:
    """Whether the HAProxy of a host sends clients to every control plane."""
    statistics = host(name).check_output(
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); "
        "s.sendall(b'show stat\\n'); print(s.makefile().read())\""
    )
    lines = (line.split(",") for line in statistics.splitlines())
    up = {fields[1] for fields in lines if fields[0] == "kube_apiserver" and "UP" in fields}
    return set(CONTROL_PLANES) <= up


def is_whole() -> bool:
    """Whether all of the cluster is as it should be."""
    try:
        return (
            etcd_is_whole()
            and len(holders()) == 1
            and all(sees_every_api_server(name) for name in BALANCERS)
            and all(node_is_ready(name) for name in NODES)
        )
    except AssertionError:
        return False


def etcd_servers(name: str) -> set[str]:
    """The etcd endpoints that the API server of a host uses, by its pod."""
    command = api().get(f"/api/v1/namespaces/kube-system/pods/kube-apiserver-{name}")["spec"]["containers"][0][
        "command"
    ]
    servers = next(word for word in command if word.startswith("--etcd-servers="))
    return set(servers.partition("=")[2].split(","))


def of_today(folder: Path) -> Path:
    """The inventory with the etcd hosts that are members by now."""
    now = dict.fromkeys(members("etcd3"))

    def keep(everything: dict[str, Any]) -> None:
        everything["children"]["etcd"]["hosts"] = now

    return rewritten(folder, keep, INVENTORY)


def pki_files(name: str) -> dict[str, str]:
    """All files below PKI with mode and owner."""
    found = host(name).check_output(f"find {PKI} -type f -printf '%P %m %u:%g\\n'")
    return dict(line.split(" ", 1) for line in found.splitlines())
