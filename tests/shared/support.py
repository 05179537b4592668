# SPDX-License-Identifier: GPL-3.0-or-later
"""What the end-to-end tests hold in their hands: the lab, playbook runs, and the cluster's API as its user sees it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import testinfra
import yaml
from canary import Canary

from ansible_collections.kubeadm.ha.plugins.module_utils import identity, kubeconfig, x509
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kube_api import KubeApi

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".lab"
INVENTORY = ROOT / "inventories" / "lab"
KUBECONFIG = STATE / "kubeconfig"

CANARY = Canary(STATE)
"""What all runs of this session show, kept to be searched for secrets."""

CONTROL_PLANES = ("cp1", "cp2", "cp3")
WORKERS = ("w1", "w2")
NODES = (*CONTROL_PLANES, *WORKERS)
HOSTS = (*NODES, "lb1", "lb2")

# Names of hosts, and of those that a task was delegated to, as ansible-playbook shows a result.
_RESULT = re.compile(r"^[a-z]+: \[(\S+?)(?: -> ([^\s(\]]+)\S*)?\]", re.MULTILINE)
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def lab(*argv: str) -> str:
    """Run the lab's own command and return what it printed."""
    done = subprocess.run([ROOT / "tests/lab/lab", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"lab {' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout


@functools.cache
def host(name: str) -> testinfra.host.Host:
    """A lab host, looked at from outside by testinfra."""
    return testinfra.get_host(f"ssh://{name}", ssh_config=str(STATE / "ssh_config"))


@dataclass(frozen=True)
class Run:
    """One finished run of ansible-playbook.

    Attributes:
        code: its exit code.
        output: all that it printed.
        told: what each task said of itself; see callbacks/record.py.
    """

    code: int
    output: str
    told: list[dict[str, Any]]

    @property
    def changed(self) -> dict[str, int]:
        """How many tasks changed something, by host."""
        return {name: int(changed) for name, _ok, changed, _unreachable, _failed in _RECAP.findall(self.output)}

    @property
    def changes(self) -> set[tuple[str, str]]:
        """What changed something: the hosts where it ran, whoever had it run there, and names of tasks."""
        return {(line["on"], line["task"]) for line in self.told if line["changed"]}

    @property
    def subjects(self) -> set[tuple[str, str]]:
        """What was changed, by the diffs: hosts, and files, settings, objects and commands."""
        return {(line["on"], subject) for line in self.told if line["changed"] for subject in line["subjects"]}

    @property
    def failures(self) -> list[str]:
        """What failed, by the results: hosts, names of tasks, and reasons."""
        failed = (line for line in self.told if line["outcome"] != "ok")
        return [f"{line['on']}: {line['task']}: {line['result'].get('msg')}" for line in failed]

    @property
    def contacted(self) -> set[str]:
        """Hosts that a task ran on, or tried to."""
        return {delegate or name for name, delegate in _RESULT.findall(self.output)}


def playbook(
    *argv: str,
    inventory: Path = INVENTORY,
    book: str = "site.yml",
    env: dict[str, str] | None = None,
    log: Path = STATE / "logs" / "e2e-playbook.log",
    shows_secrets: bool = False,
) -> Run:
    """Run a playbook from the clone, keep its output, and what the canary is to search.

    Args:
        argv: further arguments of ansible-playbook.
        inventory: what it is run for.
        book: the playbook's path below the clone, or its name.
        env: further variables of the environment.
        log: where the output goes.
        shows_secrets: whether the test has it show secrets on purpose, so that nothing of it is kept to be searched.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        record = stack.enter_context(tempfile.NamedTemporaryFile("r", prefix="record-", dir=log.parent))
        environment = {
            **ansible_environment(),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "kubeadm.ha.phases,record",
            "KUBEADM_HA_RECORD": record.name,  # of this run alone: suites run side by side
            **({} if shows_secrets else CANARY.environment()),
            **(env or {}),
        }
        if not shows_secrets:
            stack.enter_context(CANARY.watching())
        done = subprocess.run(
            ["ansible-playbook", book, "-i", inventory, *argv],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,  # a run that hangs fails here, and not with CI
        )
        told = record.read()
    log.write_text(done.stdout)
    if not shows_secrets:
        CANARY.keep(book, argv, done.returncode, done.stdout, told)
    return Run(done.returncode, done.stdout, [json.loads(line) for line in told.splitlines()])


def ansible_environment() -> dict[str, str]:
    """What Ansible needs to run from the clone, in words without colours."""
    return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}


@dataclass(frozen=True)
class Foretold:
    """A run in check mode, and the nodes' files before it."""

    run: Run
    files: dict[str, dict[str, str]]


def listing(name: str) -> dict[str, str]:
    """Files of a host that a build is about, by path, each with its size and the time of its last change."""
    found = host(name).check_output("find /etc /opt /usr/local /var/lib/kubelet -type f -printf '%p %T@ %s\\n'")
    return dict(line.split(" ", 1) for line in found.splitlines())


def succeed(run: Run) -> Run:
    """The run itself, once it is known to have succeeded."""
    assert run.code == 0, "\n".join([run.output[-6000:], *run.failures])
    return run


def shuffled(folder: Path, inventory: Path = INVENTORY) -> Path:
    """An inventory of the lab's with every group, and the hosts of every group, in reverse order."""

    def reverse(everything: dict[str, Any]) -> None:
        groups = everything["children"]
        everything["children"] = {
            name: {"hosts": dict(reversed(list(groups[name]["hosts"].items())))} for name in reversed(list(groups))
        }

    return rewritten(folder, reverse, inventory)


def extended(folder: Path, inventory: Path = INVENTORY, **more: list[str]) -> Path:
    """An inventory of the lab's with more hosts in some groups."""

    def extend(everything: dict[str, Any]) -> None:
        for group, names in more.items():
            everything["children"][group]["hosts"].update(dict.fromkeys(names))

    return rewritten(folder, extend, inventory)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object], inventory: Path = INVENTORY) -> Path:
    """An inventory of the lab's elsewhere, with its variables and a change to its group ``all``, whose word is last."""
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    change(hosts["all"])
    hosts["all"]["vars"]["ansible_ssh_common_args"] = f"-F {STATE / 'ssh_config'}"
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False))
    (folder / "group_vars").mkdir(exist_ok=True)
    said = {name: value for name, value in hosts["all"]["vars"].items() if name.startswith("cluster_")}
    known = {**variables(inventory), "cluster_kubeconfig_path": str(KUBECONFIG), **said}
    (folder / "group_vars" / "all.yml").write_text(yaml.safe_dump(known))
    return folder


def variables(inventory: Path) -> dict[str, Any]:
    """What an inventory says of all its hosts, in one file or in several."""
    folder = inventory / "group_vars"
    files = [folder / "all.yml"] if (folder / "all.yml").exists() else sorted((folder / "all").glob("*.yml"))
    return {name: value for path in files for name, value in yaml.safe_load(path.read_text()).items()}


def api(timeout: float = 5.0) -> KubeApi:
    """The cluster by the kubeconfig that the build left on the controller."""
    return KubeApi(kubeconfig.parse(KUBECONFIG.read_text()), timeout)


def cluster_id() -> str:
    """The id of the cluster that the kubeconfig leads to."""
    return identity.cluster_id(x509.parse(kubeconfig.parse(KUBECONFIG.read_text()).ca).public_key_hash)


def lose_member(name: str, data: str = "/var/lib/etcd/member") -> None:
    """Take a member's data and its manifest away. With the manifest alone it would vote again, and know nothing."""
    manifest = "/etc/kubernetes/manifests/etcd.yaml"
    host(name).check_output(f"rm {manifest} && pkill -KILL -x etcd && rm -rf {data}")


def answers() -> bool:
    """Whether the API answers through the load balancer, with a read that needs etcd's quorum."""
    try:
        api().get("/api/v1/namespaces/default")
        return True
    except RequestFailed:
        return False


def node_is_ready(name: str) -> bool:
    status = api().get(f"/api/v1/nodes/{name}")["status"]
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in status["conditions"])


def lease_holder(component: str) -> str:
    """The host whose instance of a control plane component leads."""
    lease = api().get(f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{component}")
    return lease["spec"]["holderIdentity"].split("_")[0]


def eventually(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Wait for a condition. The limit only ends a wait that has failed; how long it took is never judged."""
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except RequestFailed as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:.0f} s: {what} ({last})")
