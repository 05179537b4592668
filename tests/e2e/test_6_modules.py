# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module by itself, against real hosts and a real cluster.

Each is called in check mode, for real and once more: check mode says what the run then does, the second time changes
nothing, it returns what it documents and shows no secret. And each is called wrongly, and says what is wrong. All calls
are tasks of one play, whose results are what the tests look at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support import ROOT, Run, extended, host, lab, playbook, succeed

BARE, NODE, CONTROL_PLANE = "w4", "w1", "cp1"
HOSTS = (BARE, CONTROL_PLANE, NODE)
MIRROR = "http://10.210.0.1:8080"
ENDPOINT = "10.210.0.11:6443"
CHECK, RUN, AGAIN = "check", "run", "again"

# What Ansible adds to a result that names a path: of the file that is there.
OF_A_PATH = {"gid", "group", "mode", "owner", "size", "state", "uid"}
# Modules that return the rest of what they document where a whole operation is done, and the tests that look at it.
IN_PARTS = {
    "cluster_plan": "test_plan_returns_what_it_documents",
    "cluster_snapshot_info": "tests/operations/test_3_snapshot.py, of an encrypted one",
    "removal_plan": "tests/operations/test_1_scale.py, of a removal",
}
SECRET = re.compile(r"PRIVATE KEY|\b[a-z0-9]{6}\.[a-z0-9]{16}\b|\b[0-9a-f]{64}\b")
# What Ansible itself puts into a result.
FRAMEWORKS = {
    "ansible_facts",
    "changed",
    "deprecations",
    "diff",
    "exception",
    "failed",
    "invocation",
    "msg",
    "warnings",
}


@dataclass(frozen=True)
class Call:
    """One way to call a module.

    Attributes:
        module: its name.
        on: the host.
        args: its arguments.
        name: tells it from other calls of the same module.
        changes: what the first real call says of itself; the second must say False, unless ``again``.
        again: that the second real call changes something, too.
        refused: texts that its message holds, subject, found, wanted and what to do; empty if it is to succeed.
    """

    module: str
    on: str
    args: Mapping[str, Any]
    name: str = ""
    changes: bool = True
    again: bool = False
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.module} {self.name or ('refused' if self.refused else '')}".strip()

    def register(self, when: str) -> str:
        return "tried_" + re.sub(r"\W", "_", f"{self}_{when}")

    def task(self, when: str) -> dict[str, Any]:
        return {
            "name": f"{self}, {when}",
            f"kubeadm.ha.{self.module}": dict(self.args),
            "check_mode": when == CHECK,
            "diff": True,
            "ignore_errors": True,  # a refusal is a result
            "register": self.register(when),
            "when": f"inventory_hostname == '{self.on}'",
        }


def binary(**options: str) -> dict[str, Any]:
    return {
        "binaries": [
            {
                "url": f"{MIRROR}/release/v1.20.2/bin/linux/amd64/kubeadm",
                "dest": "/usr/local/bin/kubeadm",
                "version": "v1.20.2",
                "version_command": ["version", "-o", "short"],
                **options,
            }
        ]
    }


def held(**options: Any) -> dict[str, Any]:
    url = f"{MIRROR}/core:/stable:/v1.20/deb/"
    packages = {"kubectl": "1.20.2-*", "cri-tools": "*"}
    return {"name": "kubernetes", "url": url, "key": f"{url}Release.key", "packages": packages, **options}


def objects(kind: str) -> dict[str, Any]:
    metadata = {"name": "tried", "namespace": "default"}
    return {"objects": [{"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": {"key": "value"}}]}


def signing_request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


DESCRIPTION = {"cluster": {"kubernetesVersion": "v1.20.2", "controlPlaneEndpoint": ENDPOINT}}
MISSPELT = {"cluster": {"controlPlaneEndpoin": ENDPOINT}}
NEAREST = (
    "cluster: ClusterConfiguration.controlPlaneEndpoin: found an unknown field, wanted one of ",
    "Did you mean controlPlaneEndpoint?",
)
TOO_NEW = {"cluster": {"encryptionAlgorithm": "RSA-4096"}}
LATER = (
    "cluster: ClusterConfiguration.encryptionAlgorithm: found a field that begins with 1.31,",
    "wanted one that Kubernetes 1.20.2 knows. Remove the field",
)
LOOK = {"endpoint": ENDPOINT, "version": "1.20.2"}
RUNTIME = {
    "kubernetes_version": "1.20.2",
    "sandbox_image": "k8s.gcr.io/pause:3.2",
    "cri_settings": {"restrict_oom_score_adj": True},
}
NODE_NAME = {"endpoint": ENDPOINT, "version": "1.20.2", "node_name": NODE}
ETCD_HOST = {"version": "1.20.2", "node_name": NODE, "address": "192.0.2.21"}
GHOST = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ghost"}}
VARIABLES = {
    "cluster_kubernetes_version": "1.20.2",
    "cluster_control_plane_endpoint": ENDPOINT,
    "cluster_pod_subnet": "10.244.0.0/16",
    "cluster_service_subnet": "10.96.0.0/12",
}
GROUPS = {"control_plane": [CONTROL_PLANE], "workers": [NODE], "load_balancers": [], "scope": [CONTROL_PLANE, NODE]}
JANE = {"user": "jane", "cluster_role": "view", "namespace": "tried"}
CREDENTIALS = Call("join_credentials", CONTROL_PLANE, {"control_plane": True}, again=True)
NO_CRYPTOGRAPHY = ("cryptography: found none for /usr/bin/python3", "Install python3-cryptography")
NO_ADMIN = ("/etc/kubernetes/admin.conf: found none on this host, wanted one. Run this on a control plane.",)

# In the order in which they are called on each host.
CALLS = [
    Call("node_info", BARE, LOOK, name="bare", changes=False),
    Call("kubeadm_config", BARE, DESCRIPTION, name="without kubeadm", refused=("kubeadm: found none", "Install it")),
    Call(
        "verified_binaries",
        BARE,
        binary(sha256="0" * 64),
        name="of another checksum",
        refused=("/kubeadm: found sha256 ", f"wanted {'0' * 64}.", "Check the mirror"),
    ),
    Call(
        "verified_binaries",
        BARE,
        binary(url=f"{MIRROR}/release/v1.20.2/bin/linux/amd64/kubeadn"),
        name="that the mirror lacks",
        refused=("/kubeadn.sha256: found ", "wanted a file. Check the URL"),
    ),
    Call("verified_binaries", BARE, binary()),
    Call(
        "held_packages",
        BARE,
        held(key="file:///usr/share/keyrings/debian-archive-bookworm-stable.gpg"),
        name="of another key",
        refused=(
            "/v1.20/deb/: found no index that its key verifies, wanted one. Check the URL and the key",
            "NO_PUBKEY",
        ),
    ),
    Call("held_packages", BARE, held()),
    Call(
        "held_packages",
        BARE,
        held(name="again"),
        name="of a repository that is known",
        refused=("/etc/apt/sources.list.d/kubernetes.sources: found ", ".list.d/again.sources alone. Remove it there."),
    ),
    Call(
        "held_packages",
        BARE,
        held(packages={"kubectl": "1.19.0-*"}),
        name="that it lacks",
        refused=("kubectl: found 1.20.2-1.1, wanted 1.19.0-*. See what ",),
    ),
    Call(
        "node_settings",
        BARE,
        {
            "swap": False,
            "modules": {"br_netfilter": "/proc/sys/net/bridge"},
            "sysctls": {"net.ipv4.conf.all.log_martians": 1, "net.bridge.bridge-nf-call-iptables": 1},
            "iptables": "legacy",
            "selinux": "permissive",
            "hosts": {"registry.example.com": "192.0.2.80"},
        },
    ),
    Call(
        "node_settings",
        BARE,
        {"modules": {"nowhere_to_be_found": "/nowhere"}, "sysctls": {"net.ipv4.ip_forwad": 1}},
        refused=(
            "kernel module nowhere_to_be_found: found neither it nor /nowhere, wanted one",
            "Install the kernel's",
            "sysctl net.ipv4.ip_forwad: found no /proc/sys/net/ipv4/ip_forwad, wanted 1",
        ),
    ),
    Call(
        "service_config",
        BARE,
        {
            "name": "systemd-journald.service",
            "files": [
                {"path": "/etc/systemd/journald.conf.d/50-size.conf", "content": "[Journal]\nSystemMaxUse=64M\n"}
            ],
            "started": True,
        },
    ),
    Call(
        "service_config",
        BARE,
        {
            "name": "systemd-journald.service",
            "files": [
                {
                    "path": "/etc/systemd/journald.conf.d/51-refused.conf",
                    "content": "wrong\n",
                    "validate": ["grep", "right", "%s"],
                }
            ],
        },
        refused=("/etc/systemd/journald.conf.d/51-refused.conf: refused by grep right /",),
    ),
    Call(
        "service_config",
        BARE,
        {
            "name": "systemd-journald.service",
            "secrets": {"/etc/systemd/journald.conf.d/52-secret.conf": f"# {'f' * 64}\n"},
            "runs_as": "systemd-journal",
        },
        name="with a secret",
    ),
    Call("virtual_ip_info", BARE, {"address": "10.210.0.11", "port": 6443}, changes=False),
    Call(
        "virtual_ip_info",
        BARE,
        {"address": "10.210.0.250", "port": 6443, "timeout_seconds": 1},
        refused=("10.210.0.250: found it on nobody, wanted it on just one of the hosts that may have it.",),
    ),
    Call("container_runtime", BARE, RUNTIME),
    Call(
        "container_runtime",
        BARE,
        {**RUNTIME, "name": "docker", "kubernetes_version": "1.24.0"},
        refused=("Kubernetes 1.24.0 has no dockershim any more",),
    ),
    Call(
        "container_runtime",
        BARE,
        {**RUNTIME, "registry_mirrors": {"docker.io": ["mirror.example.com"]}},
        name="mirrored from nowhere",
        refused=("cluster_registry_mirrors[docker.io]: found 'mirror.example.com', wanted http:// or https://",),
    ),
    Call("kubeadm_config", BARE, {**DESCRIPTION, "path": "/root/kubeadm.yaml"}),
    Call("kubeadm_config", BARE, MISSPELT, refused=NEAREST),
    Call("kubeadm_init", BARE, {"version": "1.20.2", **TOO_NEW}, refused=LATER),
    Call("kubernetes_objects", BARE, objects("ConfigMap"), name="without a cluster", refused=NO_ADMIN),
    Call("node_info", CONTROL_PLANE, LOOK, name="of a control plane", changes=False),
    Call(
        "node_info",
        CONTROL_PLANE,
        {**LOOK, "version": "latest"},
        refused=("'latest' is not a Kubernetes version of the form 1.x.y",),
    ),
    Call("cluster_plan", CONTROL_PLANE, {"variables": VARIABLES, **GROUPS}, changes=False),
    Call(
        "cluster_plan",
        CONTROL_PLANE,
        {"variables": {**VARIABLES, "cluster_network": "birdge"}, **GROUPS},
        refused=("cluster: cluster_network: found 'birdge', wanted one of ", "Did you mean bridge?"),
    ),
    Call("kubernetes_objects", CONTROL_PLANE, objects("ConfigMap")),
    Call(
        "kubernetes_objects",
        CONTROL_PLANE,
        objects("Nothing"),
        refused=("v1 Nothing: found no such kind on the server, wanted one",),
    ),
    Call(
        "cluster_health",
        CONTROL_PLANE,
        {"endpoint": ENDPOINT, "nodes": [CONTROL_PLANE, NODE], "members": [CONTROL_PLANE]},
        changes=False,
    ),
    Call(
        "cluster_health",
        CONTROL_PLANE,
        {"endpoint": "10.210.0.11:9", "nodes": ["nowhere"], "members": ["nobody"], "timeout_seconds": 1},
        refused=(
            "nowhere: node: found no such node, wanted Ready. See ",
            "nobody: etcd member: found not healthy, wanted a healthy voter. See ",
            "cluster: endpoint 10.210.0.11:9: found ",
        ),
    ),
    Call(
        "kubeadm_init",
        CONTROL_PLANE,
        {"version": "1.20.2", "skip_phases": ["addon/coredns"], "node": {"nodeRegistration": {"name": CONTROL_PLANE}}},
        changes=False,
    ),
    Call(
        "api_server_etcd",
        CONTROL_PLANE,
        {"endpoints": ["https://10.210.0.41:2379"]},
        name="of stacked etcd",
        refused=("no list below etcd.external.endpoints, wanted the form that kubeadm gives it.",),
    ),
    Call("etcd_member_info", CONTROL_PLANE, {}, changes=False),
    Call("etcd_member", CONTROL_PLANE, {"peer_urls": ["https://10.210.0.99:2380"]}, name="announced"),
    Call("etcd_member", CONTROL_PLANE, {"peer_urls": ["https://10.210.0.99:2380"], "state": "absent"}, name="absent"),
    Call(
        "etcd_member",
        CONTROL_PLANE,
        {"name": "nobody"},
        refused=("nobody: etcd member: found only ", ", wanted that one. Name its peer_urls to add it."),
    ),
    Call("etcd_snapshot", CONTROL_PLANE, {"dest": "/var/backups/kubeadm.ha/tried.db"}, again=True),
    Call(
        "etcd_snapshot",
        CONTROL_PLANE,
        {"dest": "/var/backups/kubeadm.ha/tried.db", "endpoints": ["https://127.0.0.1:1"]},
        refused=("etcd: found no member that reads with a quorum (POST https://127.0.0.1:1/v3/kv/range: ", "Bring "),
    ),
    CREDENTIALS,
    Call(
        "join_credentials",
        CONTROL_PLANE,
        {"state": "absent", "token_id": f"{{{{ {CREDENTIALS.register(RUN)}.token_id }}}}"},
        name="absent",
    ),
    Call(
        "join_credentials",
        CONTROL_PLANE,
        {"state": "absent", "token_id": f"{{{{ {CREDENTIALS.register(AGAIN)}.token_id }}}}"},
        name="absent, the second token",
    ),
    Call(
        "user_access",
        CONTROL_PLANE,
        {"requests": [{"user": "jane", "request": signing_request()}], "bind_administrators": True},
        again=True,
    ),
    Call("user_access", CONTROL_PLANE, {"bind": [JANE]}, name="bound"),
    Call(
        "user_access",
        CONTROL_PLANE,
        {"unbind": [{"name": "kubeadm.ha:jane:view", "namespace": "tried"}]},
        name="unbound",
    ),
    Call(
        "user_access",
        CONTROL_PLANE,
        {"requests": [{"user": "jane", "request": "not a request"}]},
        name="no request",
        refused=("CertificateSigningRequest", "spec.request"),
    ),
    Call(
        "container_runtime",
        NODE,
        {**RUNTIME, "name": "docker"},
        name="of a node",
        refused=(
            "container runtime: found the kubelet at /run/containerd/containerd.sock, wanted /var/run/dockershim.sock.",
            "A node keeps its runtime",
        ),
    ),
    Call(
        "user_access",
        CONTROL_PLANE,
        {"bind": [{**JANE, "cluster_role": "veiw"}]},
        name="no role",
        refused=("cluster: ClusterRole veiw: found none, wanted a role to bind users to. Make it first",),
    ),
    Call(
        "kubeconfigs",
        CONTROL_PLANE,
        {"path": "{{ playbook_dir }}/kubeconfig", "endpoint": ENDPOINT, "users": [{"name": "joe"}]},
    ),
    Call(
        "kubeconfigs",
        CONTROL_PLANE,
        {"path": "/tmp/one", "endpoint": ENDPOINT, "users": [{"name": "joe", "path": "/tmp/one"}]},
        refused=("path: found /tmp/one for the administrator and for a user, wanted one of its own for each. Change",),
    ),
    Call("node_labels", CONTROL_PLANE, {"nodes": [{"name": NODE, "labels": {"example.com/tried": ""}}]}),
    Call("node_labels", CONTROL_PLANE, {"nodes": [{"name": NODE}]}, name="as it was"),
    Call(
        "node_labels",
        CONTROL_PLANE,
        {"nodes": [{"name": "nowhere"}], "timeout_seconds": 1},
        refused=("nowhere: node: found no such node, wanted it registered. See the kubelet's journal on that host.",),
    ),
    # A node that no machine is.
    Call("kubernetes_objects", CONTROL_PLANE, {"objects": [GHOST]}, name="node"),
    Call("node_drain", CONTROL_PLANE, {"name": "ghost"}),
    Call("node_drain", NODE, {"name": "ghost"}, refused=NO_ADMIN),
    Call("cluster_node", CONTROL_PLANE, {"name": "ghost"}),
    Call("cluster_node", CONTROL_PLANE, {"name": "gho"}, changes=False, name="of a prefix"),
    Call("cluster_node", NODE, {"name": "ghost"}, refused=NO_ADMIN),
    Call("removal_plan", CONTROL_PLANE, {"name": NODE}, changes=False),
    Call(
        "removal_plan",
        CONTROL_PLANE,
        {"name": " ", "least_voters": 0},
        refused=(
            "cluster: remove_node_name: found nothing, wanted a host of the inventory, or a node. Say it: ",
            "cluster: remove_node_least_voters: found 0, wanted a number from 1 on. Correct it.",
        ),
    ),
    Call("pki_export", CONTROL_PLANE, {"receivers": {"cp9": "x"}}, refused=NO_CRYPTOGRAPHY),
    Call("cluster_snapshot", CONTROL_PLANE, {"dest": "/root/none", "public_key": ""}, refused=NO_CRYPTOGRAPHY),
    Call("cluster_snapshot_open", NODE, {"state": "requested"}, refused=NO_CRYPTOGRAPHY),
    Call("cluster_snapshot_info", CONTROL_PLANE, {"path": "/var/backups/kubeadm.ha/tried.db"}, changes=False),
    Call(
        "cluster_snapshot_info",
        CONTROL_PLANE,
        {"path": "/root/nowhere"},
        refused=("/root/nowhere: found no file to be read (No such file or directory), wanted one. Correct the path.",),
    ),
    Call(
        "snapshot_key",
        CONTROL_PLANE,
        {"path": "{{ playbook_dir }}/modules.yml", "private_key": "/none"},
        refused=("/modules.yml: header: found none, wanted that of an encrypted snapshot. Correct the path.",),
    ),
    Call("pki_import", NODE, {"state": "requested", "host": NODE}, refused=NO_CRYPTOGRAPHY),
    Call("etcd_authority", NODE, ETCD_HOST, refused=NO_CRYPTOGRAPHY),
    Call("certificate_request", NODE, {**ETCD_HOST, "state": "requested"}, refused=NO_CRYPTOGRAPHY),
    Call("certificate_issue", CONTROL_PLANE, {"version": "1.20.2"}, refused=NO_CRYPTOGRAPHY),
    Call("interrupted_packages", NODE, {}, changes=False),
    Call("join_credentials", NODE, {}, refused=NO_ADMIN),
    Call("kubeadm_join", NODE, NODE_NAME, changes=False),
    Call(
        "kubeadm_join",
        NODE,
        {**NODE_NAME, "node_name": "another"},
        refused=(f"node name: found {NODE} by the kubelet's certificate, wanted another. A node keeps its name",),
    ),
    Call(
        "kubeadm_reset",
        NODE,
        {"cluster_id": "0" * 12, "cri_socket": "/run/containerd/containerd.sock"},
        refused=("cluster: found ", f" on this host, wanted {'0' * 12}. It is of another cluster: take it out"),
    ),
]
# What would make the bare host a node; for real, and with the same words, the builds of this lab do it.
TOKEN = "abcdef.0123456789abcdef"
UNDONE = [
    Call("kubeadm_init", BARE, {"version": "1.20.2", **DESCRIPTION}, name="on a bare host"),
    Call(
        "kubeadm_join",
        BARE,
        {**NODE_NAME, "node_name": BARE, "token": TOKEN, "ca_hash": f"sha256:{'0' * 64}"},
        name="on a bare host",
    ),
]
FINE = [call for call in CALLS if not call.refused]
REFUSED = [call for call in CALLS if call.refused]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))

# Tried elsewhere, because they need a cluster of their own, or hosts that this one lacks.
ELSEWHERE = {
    **dict.fromkeys(("pki_export", "pki_import"), "tests/variants/test_certificates.py"),
    **dict.fromkeys(("certificate_request", "certificate_issue"), "tests/kubeadm/test_certificates.py"),
    **dict.fromkeys(
        ("cluster_snapshot", "cluster_snapshot_open", "snapshot_key"), "tests/etcd/test_cluster_snapshot.py"
    ),
    "etcd_authority": "tests/kubeadm/test_etcd_authority.py",
    **dict.fromkeys(
        ("etcd_restore", "etcd_wipe", "control_plane_pods", "kubelet_restart"), "tests/operations/test_5_quorum.py"
    ),
    "api_server_etcd": "tests/external/test_6_foreign.py",
    "etcd_static_pod": "tests/external/test_3_settings.py",
    "recovery_plan": "tests/operations/test_4_recover.py",
    **dict.fromkeys(("kubeadm_reset", "reset_plan"), "tests/operations/test_9_reset.py"),
}

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def results(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What every call returned, by the name of its task."""
    lab("up", BARE)
    folder = extended(tmp_path_factory.mktemp("modules"), workers=[BARE])
    tasks = [call.task(when) for call in CALLS for when in ((RUN,) if call.refused else (CHECK, RUN, AGAIN))]
    tasks += [call.task(CHECK) for call in UNDONE]
    # Each host goes through its own calls in their order, beside the others.
    play = {"hosts": ":".join(HOSTS), "gather_facts": False, "strategy": "ansible.builtin.free", "tasks": tasks}
    book = folder / "modules.yml"
    book.write_text(yaml.safe_dump([play], sort_keys=False))
    run = recorded(inventory=folder / "hosts.yml", book=str(book), log=folder / "modules.log")
    return {line["task"]: {**line["result"], "failed": line["outcome"] != "ok"} for line in run.told}


def recorded(**options: Any) -> Run:
    """Modules are called here without what keeps their secrets from being shown."""
    return succeed(playbook(**options, shows_secrets=True))


def of(results: Results, call: Call, when: str) -> dict[str, Any]:
    return results[f"{call}, {when}"]


def shown(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What diff mode shows: nothing where before and after are the same."""
    diff = result.get("diff") or []
    return [part for part in (diff if isinstance(diff, list) else [diff]) if part.get("before") != part.get("after")]


each_fine = pytest.mark.parametrize("call", FINE, ids=str)
each_refused = pytest.mark.parametrize("call", REFUSED, ids=str)


def documented(module: str) -> dict[str, Any]:
    source = (ROOT / "plugins" / "modules" / f"{module}.py").read_text()
    return yaml.safe_load(source.split('RETURN = r"""')[1].split('"""')[0]) or {}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_tried(module: str) -> None:
    if module in ELSEWHERE:
        assert module in (ROOT / ELSEWHERE[module]).read_text()
        return
    assert any(call.module == module for call in FINE)


@each_fine
def test_check_mode_says_what_the_run_then_does(results: Results, call: Call) -> None:
    check, run = of(results, call, CHECK), of(results, call, RUN)
    assert not check["failed"], check
    assert not run["failed"], run
    assert (check["changed"], run["changed"]) == (call.changes, call.changes)
    assert shown(check) == shown(run)


@each_fine
def test_second_time_changes_nothing(results: Results, call: Call) -> None:
    again = of(results, call, AGAIN)
    assert not again["failed"], again
    assert again["changed"] == call.again, again
    if not call.again:
        assert not shown(again)


@each_fine
def test_result_is_as_documented(results: Results, call: Call) -> None:
    described = documented(call.module)
    for when in (CHECK, RUN, AGAIN):
        returned = {key for key in of(results, call, when) if not key.startswith("_")} - FRAMEWORKS
        assert returned <= described.keys() | (OF_A_PATH if "path" in returned else set())
        assert {key for key, value in described.items() if value["returned"] == "success"} <= returned
    changed = {key for key, value in described.items() if value["returned"] == "when changed"}
    if call.changes:
        assert changed <= of(results, call, RUN).keys()
        assert changed <= of(results, call, CHECK).keys()


@pytest.mark.parametrize("module", sorted({call.module for call in FINE} - IN_PARTS.keys()))
def test_everything_documented_is_returned_by_some_call(results: Results, module: str) -> None:
    returned = {key for call in FINE if call.module == module for key in of(results, call, RUN)}
    returned |= {key for call in UNDONE if call.module == module for key in of(results, call, CHECK)}
    assert documented(module).keys() <= returned


def test_plan_returns_what_it_documents(cluster: None, tmp_path: Path) -> None:
    run = recorded(book="playbooks/plan.yml", log=tmp_path / "plan.log")
    ours = [line["result"] for line in run.told if line["task"].startswith("kubeadm.ha.cluster_plan")]
    returned = {key for result in ours for key in result}
    assert documented("cluster_plan").keys() <= returned


@each_fine
def test_diff_shows_what_changes_and_no_secret(results: Results, call: Call) -> None:
    for when in (CHECK, RUN, AGAIN):
        result = of(results, call, when)
        assert not SECRET.search(json.dumps(result.get("diff") or ""))
        assert not SECRET.search(json.dumps(result.get("invocation") or ""))


@pytest.mark.parametrize("call", UNDONE, ids=str)
def test_check_mode_of_kubeadm_says_why_and_with_what(results: Results, call: Call) -> None:
    result = of(results, call, CHECK)
    assert (result["changed"], bool(result["reason"])) == (True, True)
    assert ENDPOINT in json.dumps(result["diff"])
    assert TOKEN not in json.dumps(result)
    assert not host(BARE).file("/etc/kubernetes").exists


@each_refused
def test_refusal_says_what_is_wrong(results: Results, call: Call) -> None:
    result = of(results, call, RUN)
    assert result["failed"], result
    for text in call.refused:
        assert text in result["msg"], result["msg"]
    assert not result.get("changed")
    # A message is for people: no trace of Python's, and nobody's secret.
    assert "Traceback" not in result["msg"]
    assert not SECRET.search(result["msg"].replace("0" * 64, "").replace(result_checksum(result["msg"]), ""))


def result_checksum(message: str) -> str:
    """The checksum that a download was found to have, which is no secret."""
    found = re.search(r"found sha256 ([0-9a-f]{64})", message)
    return found[1] if found else "-"


def test_refused_file_is_not_written(results: Results) -> None:
    assert not host(BARE).file("/etc/systemd/journald.conf.d/51-refused.conf").exists


# The CA that kubeadm 1.20 makes has the serial number 0.
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_kubeconfig_is_for_its_owner_alone_and_the_certificate_is_of_the_cluster(results: Results) -> None:
    (kubeconfig,) = (call for call in CALLS if call.module == "kubeconfigs" and not call.refused)
    path = Path(of(results, kubeconfig, RUN)["path"])
    assert path.stat().st_mode & 0o777 == 0o600
    (signed,) = (call for call in FINE if call.module == "user_access" and not call.name)
    result = of(results, signed, RUN)
    authority = x509.load_pem_x509_certificate(result["ca"].encode())
    x509.load_pem_x509_certificate(result["certificates"]["jane"].encode()).verify_directly_issued_by(authority)
