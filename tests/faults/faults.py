# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of faults share: inventories of some of the lab's hosts, and ways to do things to hosts."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support import ROOT, Run, answers, api, eventually, host, lab, node_is_ready, playbook, rewritten

# What the cluster is begun with.
FIRST = ("lb1", "cp1", "cp2", "w1")
CONTROL_PLANES = ("cp1", "cp2", "cp3")
# Hosts that are not fit to join, each for a reason of its own.
UNFIT = ("w4", "w5", "w6", "w7", "w8")
# The node name of each member, so that every one begins another's; w2's is its host name.
NODE_NAMES = {"cp1": "node1", "cp2": "node10", "cp3": "node100", "w1": "node11"}
GROUPS = {"lb": "load_balancers", "cp": "control_plane", "w": "workers"}
CALLBACKS = Path(__file__).parent / "callbacks"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
INTERPRETER = "/usr/local/bin/python3-elsewhen"


class Cluster:
    """The inventories that its runs are given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    def inventory(self, *hosts: str, said: Mapping[str, Mapping[str, Any]] | None = None, **groups: list[str]) -> Path:
        """An inventory of these hosts in this order, by the groups that their names tell.

        Args:
            hosts: their names.
            said: variables by host.
            groups: hosts that belong to other groups than their names tell.
        """
        elsewhere = {name: group for group, names in groups.items() for name in names}
        children: dict[str, dict[str, Any]] = {}
        for name in hosts:
            group = elsewhere.get(name) or GROUPS[name.rstrip("0123456789")]
            named = {"cluster_node_name": NODE_NAMES[name]} if name in NODE_NAMES else {}
            children.setdefault(group, {"hosts": {}})["hosts"][name] = {**named, **((said or {}).get(name) or {})}
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return rewritten(folder, lambda everything: everything.update(children=children))


def flat(run: Run) -> str:
    """Its output without line breaks and doubled quotes, which are the screen's."""
    return " ".join(run.output.replace("''", "'").split())


def module(name: str, where: str, inventory: Path, **options: Any) -> tuple[bool, dict[str, Any]]:
    """Run one module on a host; whether it succeeded, and what it returned."""
    done = subprocess.run(
        ["ansible", where, "-i", inventory, "-m", f"kubeadm.ha.{name}", "-a", json.dumps(options), "--one-line"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=False,
    )
    head, _arrow, result = done.stdout.partition("=> ")
    return "FAILED" not in head and done.returncode == 0, json.loads(result)


def hooked(task: str, command: str, **options: Any) -> Run:
    """A run of site.yml in the middle of which, when a task begins, something happens."""
    callbacks = f"{ROOT / 'tests' / 'shared' / 'callbacks'}:{CALLBACKS}"
    return playbook(
        *options.pop("argv", ()),
        env={
            "ANSIBLE_CALLBACK_PLUGINS": callbacks,
            "ANSIBLE_CALLBACKS_ENABLED": "kubeadm.ha.phases,record,hook",
            "KUBEADM_HA_HOOK_TASK": task,
            "KUBEADM_HA_HOOK": command,
        },
        **options,
    )


def credentials() -> set[str]:
    """Names of the Secrets that let hosts in."""
    return {
        secret["metadata"]["name"]
        for secret in api().get(SECRETS)["items"]
        if secret["type"] == "bootstrap.kubernetes.io/token" or secret["metadata"]["name"] == "kubeadm-certs"
    }


def shift_clock(name: str, seconds: int) -> dict[str, str]:
    """Have a host's Python, and all that it starts, read another time; the variables that say so.

    Hosts of the lab share one kernel, whose clock nobody can shift for one of them. tests/kernel sets a real one.
    """
    library = host(name).check_output("find /usr/lib -name libfaketime.so.1")
    script = f'#!/bin/sh\nLD_PRELOAD={library} FAKETIME={seconds:+d} exec /usr/bin/python3 "$@"\n'
    host(name).check_output(f"printf %%s %s > {INTERPRETER} && chmod 755 {INTERPRETER}", script)
    return {"ansible_python_interpreter": INTERPRETER}


def install_faketime(*names: str) -> None:
    """As a person would; from Debian."""
    command = "apt-get update -qq && apt-get install -y -qq libfaketime"
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: host(name).check_output(command), names))


@contextlib.contextmanager
def cut(name: str, *others: str) -> Iterator[None]:
    """Nothing passes between a host and others."""
    try:
        lab("cut", name, "--from", *others)
        yield
    finally:
        lab("heal", name, "--from", *others)


def etcd(name: str, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask a control plane's own etcd by its gateway."""
    pki = "/etc/kubernetes/pki/etcd"
    client = f"--cert {pki}/healthcheck-client.crt --key {pki}/healthcheck-client.key --cacert {pki}/ca.crt"
    url = f"https://127.0.0.1:2379/v3/{method}"
    said: dict[str, Any] = json.loads(
        host(name).check_output(f"curl --silent --fail --max-time 5 {client} --data %s {url}", json.dumps(body or {}))
    )
    return said


def voters(witness: str) -> set[str]:
    """Names of etcd's voters."""
    return {entry["name"] for entry in etcd(witness, "cluster/member/list")["members"] if not entry.get("isLearner")}


def authority(name: str) -> str:
    """Which cluster a host belongs to."""
    return str(host(name).check_output("sha256sum /etc/kubernetes/pki/ca.crt")).split()[0]


def is_well(name: str) -> bool:
    """Whether a control plane's own API server and etcd are ready."""
    return host(name).run("curl --silent --insecure https://127.0.0.1:6443/readyz").stdout == "ok"


def whole() -> bool:
    return answers() and all(map(is_well, CONTROL_PLANES)) and all(map(node_is_ready, NODE_NAMES.values()))


def wait_until_whole() -> None:
    eventually(whole, "the cluster is whole again")
