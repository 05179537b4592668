#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_reset
short_description: Take a cluster off this host
version_added: 0.1.0
description:
  - Runs C(kubeadm reset) where there is something for it, and clears away what that leaves - the pod network's
    configuration, links and routes, the cluster's own rules for iptables and IPVS, its kubeconfigs, etcd's data, and
    what this collection has set up for it.
  - What is not the cluster's stays - other rules, other networks of CNI, other kubeconfigs, the container runtime, and
    all programs. Where something is mounted on a folder that is emptied, the mount stays.
  - Speaks to nobody outside the host. In a cluster that lives on, its etcd member and its Node object go before.
  - A reset that was interrupted anywhere is finished by the next one.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  cluster_id:
    description:
      - The id of the cluster that is to leave this host. A host that shows another one is refused. One that shows none,
        such as an etcd host, or a host that is half reset, is not.
      - Needed but in check mode, where all that is there is told without it.
    type: str
  cri_socket:
    description:
      - Where the container runtime listens, with or without C(unix://). What the kubelet was told comes first.
    type: str
    required: true
  etcd_data_dir:
    description: Where an etcd member of this host keeps its data. Where its manifest says another folder, that as well.
    type: path
    default: /var/lib/etcd
  load_balancer:
    description:
      - Whether HAProxy and keepalived go as well, where they run by files that this collection wrote. They are stopped,
        and do not start at boot any more.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Take the cluster off this host
  kubeadm.ha.kubeadm_reset:
    cluster_id: 3f8a6c01d2e4
    cri_socket: /run/containerd/containerd.sock
"""

RETURN = r"""
cluster_ids:
  description: The ids of the clusters that the host's certificates and the kubelet's kubeconfig showed.
  returned: always
  type: list
  elements: str
  sample: [3f8a6c01d2e4]
removed:
  description: What was removed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [kubelet.service, content of /etc/kubernetes, link cni0]
left:
  description: What looks like a cluster's and stays, because it may be somebody else's, each with the reason.
  returned: success
  type: list
  elements: str
  sample: ["/root/.kube/config: it leads to other clusters as well"]
"""

import contextlib
import functools
import glob
import os
import time
from collections.abc import Callable, Iterator

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    container_runtimes,
    evidence,
    kube_api,
    mounts,
    node_remains,
    packet_rules,
    pki,
    pod_network,
    services,
    static_pods,
    virtual_servers,
    x509,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.changes import Change, ChangeFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.files import WRITTEN, read_each, read_text, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.identity import cluster_id
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed, alone
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import some

BOOTSTRAP_CONF = f"{evidence.KUBERNETES}/bootstrap-kubelet.conf"
KUBE_VIP = f"{evidence.MANIFESTS}/kube-vip.yaml"
# kubeadm empties the folder of manifests. What these pods were told is kept here until what follows from it is removed.
ASIDE = {path: f"{evidence.KUBERNETES}/{os.path.basename(path)}.reset" for path in (KUBE_VIP, evidence.ETCD_MANIFEST)}
BRIDGE_NETWORK = "bridge-network.service"
KUBELET_SERVICE = "kubelet.service"
BRIDGE_UNIT = f"/etc/systemd/system/{BRIDGE_NETWORK}"
CONTROLLER_MANAGER = f"{evidence.MANIFESTS}/kube-controller-manager.yaml"
KUBE_PROXIES = f"{evidence.KUBELET}/pods/*/volumes/kubernetes.io~configmap/kube-proxy/config.conf"
# What told of the pods' networks goes with kubeadm reset, and their routes after it.
SUBNETS_ASIDE = f"{evidence.KUBERNETES}/pod-subnets.reset"
OWN_FOLDER = "/opt/kubeadm-ha"
CNI_LEASES = "/var/lib/cni/networks"
# What kubeadm, the kubelet and pod networks keep besides.
FOLDERS = ("/var/run/kubernetes", "/var/lib/dockershim", "/run/flannel", "/var/lib/calico", "/var/run/calico")
# By service: what this collection writes for it. The first file tells by how it begins whose it is, and goes last.
BALANCERS = {
    "keepalived.service": (
        "/etc/keepalived/keepalived.conf",
        "/etc/keepalived/authentication.conf",
        "/usr/libexec/keepalived/check_haproxy",
    ),
    "haproxy.service": ("/etc/haproxy/haproxy.cfg",),
}
FAMILIES = ("iptables", "ip6tables")
VARIANTS = tuple(f"{family}-{kind}" for family in FAMILIES for kind in ("legacy", "nft"))
NO_KUBECONFIG = "/nonexistent"
NO_NETWORK = f"{pod_network.CONFIGURATIONS}/{node_remains.NO_NETWORK_FILE}"


class Reset:
    """What a cluster has on this host, looked for anew each time that it is asked.

    Attributes:
        left: what stays though it may be a cluster's, each with the reason, as of the last look.
    """

    def __init__(self, module: AnsibleModule, lock: int | None) -> None:
        self._module = module
        self._kubeadm = Kubeadm(module, lock)
        self._ids = {module.params["cluster_id"]} if module.params["cluster_id"] else {*cluster_ids()}
        self.left: list[str] = []

    def changes(self) -> list[Change]:
        """All that is to be done, in order. Each can be done though a part of it is done already.

        Raises:
            ChangeFailed: something of it cannot be done.
        """
        self.left = []
        # What tells of something else goes after it: a reset that was interrupted finds it again.
        looks: tuple[Callable[[], Iterator[Change]], ...] = (
            self._balancers,
            self._services,
            self._mounts,
            self._node,
            self._virtual_ip,
            self._virtual_servers,
            self._rules,
            self._routes,
            self._links,
            self._cni,
            self._kubeconfigs,
            self._folders,
            self._own_files,
        )
        return [change for look in looks for change in look()]

    def _balancers(self) -> Iterator[Change]:
        for name, files in BALANCERS.items() if self._module.params["load_balancer"] else ():
            if not (read_text(files[0]) or "").startswith(WRITTEN):
                continue
            yield from self._stopped(name)
            yield from self._disabled(name)
            for path in reversed(files):
                yield from _file(path)

    def _services(self) -> Iterator[Change]:
        """First, so that nobody brings back what is removed."""
        for name in (BRIDGE_NETWORK, KUBELET_SERVICE):
            yield from self._stopped(name)

    def _stopped(self, name: str) -> Iterator[Change]:
        if services.show(self._module.run_command, name).active:
            yield Change(name, "active", "stopped", lambda: self._run("systemctl", "stop", name))

    def _disabled(self, name: str) -> Iterator[Change]:
        if services.show(self._module.run_command, name).enabled:
            argv = ("systemctl", "disable", name)
            yield Change(f"{name} at boot", "enabled", "disabled", lambda: self._run(*argv))

    def _mounts(self) -> Iterator[Change]:
        # One change: which pods have volumes is another matter a moment later, when a node was just drained.
        found = _kubelet_mounts()
        if found:
            yield Change(f"mounts below {evidence.KUBELET}", "\n".join(found), "", self._unmount)

    def _unmount(self) -> None:
        for point in _kubelet_mounts():
            # A file server that is gone lets nobody unmount in time; what is busy goes with whoever uses it.
            code, _output, _error = self._try("timeout", "--signal=KILL", "20", "umount", point)
            if code != 0:
                self._try("umount", "--lazy", point)

    def _node(self) -> Iterator[Change]:
        found = [path for path in evidence.traces() if not path.startswith(evidence.ETCD_DATA_DIR)]
        error, pods = self._kept_pods()[1], self._pods()
        if error and (pods or mounts.content(f"{evidence.KUBELET}/pods")):
            raise ChangeFailed(
                f"container runtime: found no answer at {self._socket} ({error}), wanted one, to remove pods by. "
                "Start it, and run this again."
            )
        if found or pods:
            before = "".join(f"{line}\n" for line in [*found, *pods])
            yield Change("kubeadm reset", before, "", self._reset)

    def _reset(self) -> None:
        """Let kubeadm clear away what it knows of, and see that no pod is left."""
        remaining = _kubelet_mounts()
        if remaining:
            # kubeadm would delete what is in there, and that may be somebody's data.
            raise ChangeFailed(
                f"{evidence.KUBELET}: found {some(remaining)} mounted below it, wanted nothing. Unmount it (fuser -m "
                "names who uses it), and run this again."
            )
        for path, aside in ASIDE.items():
            if os.path.exists(path):
                os.replace(path, aside)
        told = "".join(f"--cluster-cidr={subnet}\n" for subnet in self._pod_subnets())
        if told and os.path.isdir(evidence.KUBERNETES):
            write_atomic(SUBNETS_ASIDE, told.encode(), 0o600)
        if not self._pods_gone():
            # A network that asks the API server to let go of a pod never will, once that is dead.
            self._let_go_of_network()
            if not self._pods_gone():
                raise ChangeFailed(
                    f"pods: found {some(self._pods())} after kubeadm reset, wanted none. See what the container "
                    "runtime says of them in its journal, and run this again."
                )

    def _pods_gone(self, patience: float = 10.0) -> bool:
        """Have kubeadm remove pods and files, and see whether no pod is left after so many seconds."""
        if self._kubeadm.installed:
            self._kubeadm.run(
                [
                    "reset",
                    "--force",
                    f"--cri-socket={self._socket}",
                    # Whether the member goes is decided elsewhere, by the rules of etcd_member.
                    "--skip-phases=remove-etcd-member",
                    # It would ask the cluster for its configuration, and wait long for one that is gone.
                    f"--kubeconfig={NO_KUBECONFIG}",
                ]
            )
        deadline = time.monotonic() + patience
        while self._pods():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True

    def _pods(self) -> list[str]:
        return [*self._kept_pods()[0], *_pod_processes()]

    def _let_go_of_network(self) -> None:
        """Give the container runtime a network that lets pods go, in place of the cluster's.

        It reads the folder by itself, within a moment. Nothing of the cluster's network outlives what follows.
        """
        write_atomic(NO_NETWORK, node_remains.NO_NETWORK.encode(), 0o644)
        for name in self._cni_configurations()[0]:
            if name != os.path.basename(NO_NETWORK):
                _unlink(f"{pod_network.CONFIGURATIONS}/{name}")
        time.sleep(2)

    @functools.cached_property
    def _socket(self) -> str:
        """Where the runtime is, in the form that this kubeadm takes: by the kubelet's word, else by the inventory's.

        The kubelet's word goes with the rest.
        """
        wanted = str(self._module.params["cri_socket"])
        if not self._kubeadm.installed:
            return wanted
        version = self._kubeadm.version()
        path = container_runtimes.socket_path(evidence.cri_socket(version) or wanted)
        return f"unix://{path}" if version.minor >= 24 else path

    def _kept_pods(self) -> tuple[list[str], str]:
        """The pods that the container runtime keeps, whether they run or not, or why it does not tell."""
        path = container_runtimes.socket_path(self._socket)
        if container_runtimes.same_socket(path, container_runtimes.DOCKERSHIM_SOCKET):
            argv = ["docker", "ps", "--all", "--quiet", "--filter", "name=k8s_"]
        else:
            argv = ["crictl", "--timeout=10s", "--runtime-endpoint", f"unix://{path}", "pods", "--quiet"]
        if self._find(argv[0]) is None:
            return [], ""  # later versions of kubeadm need no such program; processes tell, too
        code, output, error = self._try(*argv)
        if code != 0:
            return [], (error.strip().splitlines() or [f"{argv[0]} failed with code {code}"])[-1]
        return [f"pod {identifier[:13]}" for identifier in output.split()], ""

    def _virtual_ip(self) -> Iterator[Change]:
        """The address that kube-vip was told, which one that is killed leaves on the interface."""
        told = node_remains.kube_vip(_manifest(KUBE_VIP))
        if told is None:
            return
        address, interface = told
        # With its prefix it would stand for all addresses of that network.
        alone_there = ("ip", "-oneline", "address", "show", "dev", interface, "to", address.split("/")[0])
        if self._said(*alone_there).strip():
            argv = ("ip", "address", "delete", address, "dev", interface)
            yield Change(f"address {address} of {interface}", "there", "removed", lambda: self._forget(*argv))

    def _virtual_servers(self) -> Iterator[Change]:
        """What kube-proxy gave to the kernel, as long as its interface tells what it was."""
        if not os.path.isdir(f"/sys/class/net/{node_remains.KUBE_IPVS}"):
            return
        shown = self._said("ip", "-oneline", "address", "show")
        clusters, others = node_remains.addresses(shown)
        servers = virtual_servers.parse(read_text("/proc/net/ip_vs") or "")
        for server in virtual_servers.of_cluster(servers, clusters, others):
            if ":" in server.address:
                self.left.append(f"virtual server {server}: remove it with ipvsadm")
            else:
                yield Change(
                    f"virtual server {server}", "there", "removed", lambda server=server: virtual_servers.remove(server)
                )

    def _rules(self) -> Iterator[Change]:
        tools = [tool for tool in VARIANTS if self._find(f"{tool}-save")]
        for tool in tools or FAMILIES:
            removal = self._removal(tool)
            if removal:
                names = packet_rules.names(removal)
                yield Change(f"rules of {tool}", names, "", lambda tool=tool: self._remove_rules(tool))

    def _removal(self, tool: str) -> str:
        _owned, others = self._cni_configurations()
        return packet_rules.removal(
            self._said(f"{tool}-save"),
            foreign_networks=node_remains.cni_networks(others.values()),
            masquerade=next(iter(node_remains.pod_subnets([read_text(BRIDGE_UNIT) or ""])), ""),
        )

    def _remove_rules(self, tool: str, attempts: int = 5) -> None:
        """Remove them, each table in one step. Where somebody else was at it meanwhile, look again."""
        error = ""
        # Only the legacy variant has a lock to wait for.
        patience = [] if tool.endswith("-nft") else ["--wait=10"]
        for _attempt in range(attempts):
            removal = self._removal(tool)
            if not removal:
                return
            argv = [self._find(f"{tool}-restore") or f"{tool}-restore", "--noflush", *patience]
            code, _output, error = self._module.run_command(argv, data=removal)
            if code == 0:
                return
        raise ChangeFailed(
            f"rules of {tool}: found that {tool}-restore would not remove them ({error.strip()}), wanted those of the "
            "cluster removed. Run this again."
        )

    def _pod_subnets(self) -> list[str]:
        paths = (BRIDGE_UNIT, CONTROLLER_MANAGER, *glob.glob(KUBE_PROXIES), SUBNETS_ASIDE)
        return node_remains.pod_subnets(text for text in map(read_text, paths) if text)

    def _routes(self) -> Iterator[Change]:
        """A network that lays routes leaves them where it ends, and a host that has them is refused as a node."""
        for subnet in self._pod_subnets():
            tool = ("ip", "-6" if ":" in subnet else "-4", "route")
            for protocol in node_remains.route_protocols(self._said(*tool, "show", "root", subnet)):
                theirs = ("proto", protocol, "root", subnet)
                found, argv = self._said(*tool, "show", *theirs), (*tool, "flush", *theirs)
                yield Change(f"routes into {subnet}, proto {protocol}", found, "", lambda argv=argv: self._run(*argv))

    def _links(self) -> Iterator[Change]:
        for link in node_remains.links(os.listdir("/sys/class/net")):
            argv = ("ip", "link", "delete", link)
            yield Change(f"link {link}", "there", "removed", lambda argv=argv: self._forget(*argv))

    def _cni_configurations(self) -> tuple[dict[str, str], dict[str, str]]:
        """CNI's files by name: those of the cluster's network, and those of others."""
        paths = [path for path in glob.glob(f"{pod_network.CONFIGURATIONS}/*") if os.path.isfile(path)]
        found = {os.path.basename(path): read_text(path) or "" for path in paths}
        owned = node_remains.cni_configurations(found)
        return {name: found.pop(name) for name in owned}, found

    def _cni(self) -> Iterator[Change]:
        owned, others = self._cni_configurations()
        self.left += [f"{pod_network.CONFIGURATIONS}/{name}: not known to be a cluster's" for name in sorted(others)]
        for network in sorted(node_remains.cni_networks(owned.values()) - node_remains.cni_networks(others.values())):
            yield from _tree(f"{CNI_LEASES}/{network}")
        for name in owned:
            yield from _file(f"{pod_network.CONFIGURATIONS}/{name}")

    def _kubeconfigs(self) -> Iterator[Change]:
        # Of users of this host alone: other homes are not only this host's.
        homes = {line.split(":")[5] for line in (read_text("/etc/passwd") or "").splitlines() if line.count(":") == 6}
        for path, text in sorted(read_each(f"{home}/.kube/config" for home in sorted(homes)).items()):
            found = {*node_remains.ids_in(text if isinstance(text, str) else "")}
            if found and found <= self._ids:
                yield from _file(path)
            elif found & self._ids:
                self.left.append(f"{path}: it leads to other clusters as well")

    def _folders(self) -> Iterator[Change]:
        flags = static_pods.flags_of(_manifest(evidence.ETCD_MANIFEST))
        data = sorted({*filter(None, [self._module.params["etcd_data_dir"], flags.get("data-dir")])})
        for folder in (*data, *FOLDERS, evidence.KUBELET, evidence.KUBERNETES):
            found = mounts.content(folder)
            users = _users_of(folder) if found and folder in data else []
            if users:
                self.left.append(f"{folder}: {some(users)}, which is no pod, uses it")
            elif found:
                names = "".join(f"{name}\n" for name in found)
                yield Change(f"content of {folder}", names, "", lambda folder=folder: mounts.empty(folder))

    def _own_files(self) -> Iterator[Change]:
        """Units and programs of this collection's that serve a cluster alone."""
        texts = {path: read_text(path) or "" for path in (evidence.SERVICE_MANAGER, BRIDGE_UNIT)}
        units = {path: text for path, text in texts.items() if text.startswith(WRITTEN)}
        if BRIDGE_UNIT in units:
            yield from self._disabled(BRIDGE_NETWORK)
        yield from _tree(OWN_FOLDER)
        for path, text in units.items():
            yield Change(path, text, "", lambda path=path: self._remove_unit(path))
        known = (services.show(self._module.run_command, name) for name in (BRIDGE_NETWORK, KUBELET_SERVICE))
        if not units and any(unit.needs_daemon_reload for unit in known):
            yield Change("units", "as systemd remembers them", "as they are", self._reload)

    def _remove_unit(self, path: str) -> None:
        _unlink(path)
        self._reload()

    def _reload(self) -> None:
        self._run("systemctl", "daemon-reload")

    # Other programs.

    def _find(self, program: str) -> str | None:
        return self._module.get_bin_path(program, opt_dirs=[os.path.dirname(self._kubeadm.path), "/usr/local/bin"])

    def _try(self, *argv: str) -> tuple[int, str, str]:
        """Run a program that may fail, or not be there: exit code, output, errors."""
        path = self._find(argv[0])
        if path is None:
            return 127, "", f"no program {argv[0]}"
        return self._module.run_command([path, *argv[1:]])

    def _said(self, *argv: str) -> str:
        code, output, _error = self._try(*argv)
        return output if code == 0 else ""

    def _forget(self, *argv: str) -> None:
        """Remove what may have gone by itself meanwhile; the next look finds what is still there."""
        self._try(*argv)

    def _run(self, *argv: str) -> None:
        code, output, error = self._try(*argv)
        if code != 0:
            raise ChangeFailed(f"{' '.join(argv)}: failed with code {code}: {error.strip() or output.strip()}")


def cluster_ids() -> list[str]:
    """The ids of the clusters whose CA this host has, in a file of its own or in the kubeconfigs of its programs."""
    found = set()
    with contextlib.suppress(x509.MalformedCertificate):  # none, or cut short by a kubeadm that was stopped
        authorities = x509.parse_all(read_text(pki.CLUSTER_CA.public) or "")
        found = {cluster_id(certificate.public_key_hash) for certificate in authorities}
    for path in (evidence.KUBELET_CONF, BOOTSTRAP_CONF, kube_api.ADMIN_CONF):
        found |= {each for each in node_remains.ids_in(read_text(path) or "") if each}
    return sorted(found)


def _manifest(path: str) -> str:
    return read_text(path) or read_text(ASIDE[path]) or ""


def _kubelet_mounts() -> list[str]:
    return mounts.below(os.path.realpath(evidence.KUBELET))


def _pod_processes() -> Iterator[str]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if _is_of_pod(pid):
                yield _process(pid)


def _users_of(folder: str) -> list[str]:
    """Processes that have files of a folder open and belong to no pod."""
    found, start = [], os.path.realpath(folder) + "/"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it ended meanwhile
            opened = (os.readlink(path) for path in glob.iglob(f"/proc/{pid}/fd/*"))
            if any(path.startswith(start) for path in opened) and not _is_of_pod(pid):
                found.append(_process(pid))
    return found


def _is_of_pod(pid: str) -> bool:
    """Whether a process is in a control group that a kubelet makes for pods, whichever driver it uses."""
    return "kubepods" in (read_text(f"/proc/{pid}/cgroup") or "")


def _process(pid: str) -> str:
    return f"process {pid} ({(read_text(f'/proc/{pid}/comm') or '').strip()})"


def _file(path: str) -> Iterator[Change]:
    """Its content, which may be a secret, is not shown."""
    if os.path.lexists(path):
        yield Change(path, "there", "removed", lambda: _unlink(path))


def _tree(folder: str) -> Iterator[Change]:
    if os.path.isdir(folder) and not os.path.islink(folder):
        before = "".join(f"{name}\n" for name in sorted(os.listdir(folder)))
        yield Change(folder, before, "", lambda: _remove_tree(folder))


def _remove_tree(folder: str) -> None:
    mounts.empty(folder)
    if os.path.isdir(folder):
        os.rmdir(folder)


def _unlink(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


def bring_about(reset: Reset, changes: list[Change], attempts: int = 3) -> list[Change]:
    """Do it all, and look again, until nothing is to be done.

    Returns:
        All that was done.

    Raises:
        ChangeFailed: something is there still.
    """
    done: dict[str, Change] = {}
    for _attempt in range(attempts):
        for change in changes:
            change.apply()
            done.setdefault(change.subject, change)
        changes = reset.changes()
        if not changes:
            return [*done.values()]
    left = some([change.subject for change in changes])
    raise ChangeFailed(f"host: found {left} after {attempts} tries, wanted nothing of a cluster. Run this again.")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "cluster_id": {"type": "str"},
            "cri_socket": {"type": "str", "required": True},
            "etcd_data_dir": {"type": "path", "default": evidence.ETCD_DATA_DIR},
            "load_balancer": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wanted, ids = module.params["cluster_id"], []
    if not wanted and not module.check_mode:
        module.fail_json(
            msg="cluster_id: found none, wanted the id of the cluster that is to leave this host. The plan prints it."
        )
    try:
        with alone(module.check_mode) as lock:
            ids = cluster_ids()
            if wanted and {*ids} - {wanted}:
                module.fail_json(
                    msg=f"cluster: found {', '.join(ids)} on this host, wanted {wanted}. It is of another cluster: "
                    "take it out of this run, or give that one's id.",
                    cluster_ids=ids,
                )
            reset = Reset(module, lock)
            changes = reset.changes()
            if changes and not module.check_mode:
                changes = bring_about(reset, changes)
    except (ChangeFailed, KubeadmFailed, ValueError, OSError) as error:
        module.fail_json(msg=str(error), cluster_ids=ids)
    module.exit_json(
        changed=bool(changes),
        cluster_ids=ids,
        removed=[change.subject for change in changes],
        left=reset.left,
        diff=[change.diff() for change in changes],
    )


if __name__ == "__main__":
    main()
