# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine must be before it becomes a node, judged for all hosts together and before anything changes.

Limits as kubeadm's preflight has them (cmd/kubeadm/app/preflight and app/constants of 1.20 and later): they are asked
here so that they are all known at once, and not by the first host that fails half-way. Where kubeadm has a name for a
check, it is the name here, so that one list says what both are to pass over.
"""

from __future__ import annotations

import ipaddress
import re
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .etcd_settings import METRICS_PORT, EtcdSettings
from .machine import CLOCK_KEEPERS, FIREWALLS, RESOLVER
from .problems import Problem
from .versions import Version

CONTROL_PLANE_CPUS = 2
CONTROL_PLANE_MEMORY_MB = 1700
API_PORT = 6443
KUBELET_PORTS = (10248, 10250)
CONTROL_PLANE_PORTS = (API_PORT, *KUBELET_PORTS, 10257, 10259)
ETCD_PORTS = (2379, 2380, 2381)
ETCD_DATA = "/var/lib/etcd"
MANIFESTS = "/etc/kubernetes/manifests"
NODE_PORTS = (30000, 32767)
# Images of a control plane take about 1 GB; a kubelet evicts pods where less than 15 % is free for images.
DISK_FREE_MB = 2000
DISK_FREE_SHARE = 0.15
# Certificates are backdated by minutes at most, and leases are renewed within seconds.
CLOCKS_APART_SECONDS = 60.0

# Systems by their ID in os-release, with the versions that this collection means to serve.
_REDHAT = ("8", "9", "10")
SYSTEMS = {
    "debian": ("12", "13"),
    "ubuntu": ("22.04", "24.04"),
    **dict.fromkeys(("rhel", "centos", "rocky", "almalinux", "ol"), _REDHAT),
}

# Controllers without which kubeadm's verification fails (k8s.io/system-validators), by version of control groups.
_CONTROLLERS = {
    1: ("cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"),
    2: ("cpu", "cpuset", "memory", "pids"),
}
# Long term kernels that system-validators takes from 1.10 on, which kubeadm carries from 1.34.
_LONG_TERM = ((5, 4), (5, 10), (5, 15))

IGNORE_VARIABLE = "cluster_kubeadm_ignore_preflight_errors"

# A node's name is a DNS subdomain (RFC 1123, as apimachinery's validation has it).
_NODE_NAME = re.compile(r"^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")

Machine = Mapping[str, Any]


@dataclass(frozen=True)
class Needs:
    """What the wanted cluster asks of its machines where clusters differ.

    Attributes:
        node_ports: first and last port of services of type NodePort.
        etcd_data: where etcd keeps its data; empty where no control plane carries a member.
        resolver: kubelets are told which resolv.conf to use.
        takes_cgroup_v1: kubelets are told not to refuse control groups version 1.
        ignored: names of checks to pass over, in lower case.
    """

    node_ports: tuple[int, int] = NODE_PORTS
    etcd_data: str = ETCD_DATA
    resolver: bool = False
    takes_cgroup_v1: bool = False
    ignored: frozenset[str] = frozenset()

    @classmethod
    def of(cls, variables: Mapping[str, Any], *, external_etcd: bool) -> Needs:
        """From the ``cluster_*`` variables that describe the cluster to kubeadm."""
        cluster = _mapping(variables.get("cluster_configuration"))
        kubelet = _mapping(variables.get("cluster_kubelet_configuration"))
        etcd_data = _mapping(_mapping(cluster.get("etcd")).get("local")).get("dataDir") or ETCD_DATA
        return cls(
            node_ports=_port_range(_mapping(cluster.get("apiServer")).get("extraArgs")),
            etcd_data="" if external_etcd else str(etcd_data),
            resolver="resolvConf" in kubelet,
            takes_cgroup_v1=kubelet.get("failCgroupV1") is False,
            ignored=frozenset(str(name).lower() for name in variables.get(IGNORE_VARIABLE) or ()),
        )

    def pass_over(self, check: str) -> bool:
        """Whether the user answers for what this check finds."""
        return bool(check) and bool({check.lower(), "all"} & self.ignored)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _port_range(arguments: Any) -> tuple[int, int]:
    """The API server's range of NodePorts, from its extra arguments in either of their forms."""
    if isinstance(arguments, Mapping):
        value = arguments.get("service-node-port-range")
    else:
        named = {entry.get("name"): entry.get("value") for entry in arguments or () if isinstance(entry, Mapping)}
        value = named.get("service-node-port-range")
    match = re.fullmatch(r"(\d+)-(\d+)", str(value))
    return (int(match[1]), int(match[2])) if match else NODE_PORTS


@dataclass(frozen=True)
class Candidate:
    """A host that is to become a node, or is one.

    Attributes:
        host: its inventory name.
        node_name: what it is, or will be, called.
        address: what its API server will advertise; empty where nobody knows.
        machine: see ``machine.collect``. What is missing there is not judged.
        control_plane: it is to be one.
        joins: it joins a cluster, rather than starting one.
        etcd: what is said of its member where it is to be an etcd host, and no node.
    """

    host: str
    node_name: str
    address: str
    machine: Machine
    control_plane: bool
    joins: bool = True
    etcd: EtcdSettings | None = None


@dataclass(frozen=True)
class Finding:
    """What one check has to say.

    Attributes:
        check: its name; empty for one that nobody can answer for.
        problem: what it found.
        fatal: no node can come of it.
    """

    check: str
    problem: Problem
    fatal: bool = True


def check_new_node(candidate: Candidate, version: Version, needs: Needs) -> list[Finding]:
    """What stands against one host becoming a node or an etcd host, and what should be known of it."""
    checks = (
        _node_name(candidate),
        _system(candidate),
        _ports(candidate, needs),
        _folders(candidate, version, needs),
        _address(candidate),
        _default_route(candidate),
        _firewall(candidate, needs),
        *_lasting(candidate, version, needs),
    )
    return [finding for check in checks for finding in check]


def check_node(candidate: Candidate, version: Version, needs: Needs) -> list[Finding]:
    """What should be known of a host that is a node already: what may have changed under it."""
    return [finding for check in _lasting(candidate, version, needs) for finding in check]


def sort_out(findings: Iterable[Finding], new: Collection[str], needs: Needs) -> tuple[list[Problem], list[Problem]]:
    """Reasons to stop, and what is worth knowing.

    A host that is a node works as it is, so nothing of it is a reason to stop. What the user passes over is still said
    of a host that becomes one, and no more afterwards.

    Args:
        findings: of all hosts.
        new: those that are to become nodes.
        needs: see there.
    """
    refusals, warnings = [], []
    for finding in findings:
        passed_over, becomes_node = needs.pass_over(finding.check), finding.problem.host in new
        if finding.fatal and becomes_node and not passed_over:
            refusals.append(finding.problem)
        elif becomes_node or not passed_over:
            warnings.append(finding.problem)
    return refusals, warnings


def _lasting(candidate: Candidate, version: Version, needs: Needs) -> Iterable[Iterator[Finding]]:
    return (
        _size(candidate),
        _kernel(candidate, version),
        _control_groups(candidate, version, needs),
        check_disks(candidate.host, candidate.machine),
        _clock_keeper(candidate),
        _resolver(candidate, needs),
    )


def _node_name(candidate: Candidate) -> Iterator[Finding]:
    name = candidate.node_name
    if not _NODE_NAME.match(name) or name.split(".")[0] == "localhost":
        problem = Problem(
            host=candidate.host,
            subject="node name",
            found=name or "none",
            wanted="a name of its own, of lower case letters, digits, hyphens and dots",
            action="Rename the host, or set its cluster_node_name.",
        )
        yield Finding("", problem)


def _system(candidate: Candidate) -> Iterator[Finding]:
    if "os" not in candidate.machine:
        return
    name, _separator, version = str(candidate.machine["os"]).partition(" ")
    served = SYSTEMS.get(name, ())
    if version in served or (served == _REDHAT and version.split(".")[0] in served):
        return
    problem = Problem(
        host=candidate.host,
        subject="operating system",
        found=candidate.machine["os"] or "unknown",
        wanted="Debian 12 or 13, Ubuntu 22.04 or 24.04, or the RedHat family's 8, 9 or 10",
        action=_lift("OperatingSystem", "Nobody has looked at this one."),
    )
    yield Finding("OperatingSystem", problem)


def _lift(check: str, action: str) -> str:
    return f"{action} To go on at your own risk, put {check} into {IGNORE_VARIABLE}."


def _size(candidate: Candidate) -> Iterator[Finding]:
    if not candidate.control_plane:
        return
    cpus, memory = candidate.machine.get("cpus"), candidate.machine.get("memory_mb")
    if cpus is not None and cpus < CONTROL_PLANE_CPUS:
        wanted = f"{CONTROL_PLANE_CPUS} for a control plane"
        yield Finding("NumCPU", Problem(candidate.host, "CPUs", str(cpus), wanted, "Give it more."))
    if memory is not None and memory < CONTROL_PLANE_MEMORY_MB:
        wanted = f"{CONTROL_PLANE_MEMORY_MB} MB for a control plane"
        yield Finding("Mem", Problem(candidate.host, "memory", f"{memory} MB", wanted, "Give it more."))


def _ports(candidate: Candidate, needs: Needs) -> Iterator[Finding]:
    listening, owners = candidate.machine.get("listening", ()), candidate.machine.get("owners", {})
    wanted = KUBELET_PORTS
    if candidate.control_plane:
        wanted = CONTROL_PLANE_PORTS + (ETCD_PORTS if needs.etcd_data else ())
    if candidate.etcd:
        wanted += (candidate.etcd.client_port, candidate.etcd.peer_port, METRICS_PORT)
    for port in sorted(set(listening) & set(wanted)):
        owner = owners.get(str(port))
        problem = Problem(
            host=candidate.host,
            subject=f"port {port}",
            found=f"in use by {owner}" if owner else "in use",
            wanted="it free",
            action="Stop what listens there (ss -tlnp shows it), or move it to another port.",
        )
        yield Finding(f"Port-{port}", problem)
    first, last = needs.node_ports
    among = [
        f"{port} ({owners[str(port)]})" if str(port) in owners else str(port)
        for port in listening
        if first <= port <= last and not candidate.etcd
    ]
    if among:
        problem = Problem(
            host=candidate.host,
            subject="NodePorts",
            found=f"something listens on {', '.join(among)}",
            wanted=f"{first} to {last} for services alone",
            action="A service that is given such a port will hide it, or not work: move it.",
        )
        yield Finding("NodePorts", problem, fatal=False)


def _folders(candidate: Candidate, version: Version, needs: Needs) -> Iterator[Finding]:
    occupied = candidate.machine.get("occupied", {})
    wanted = []
    if candidate.control_plane and needs.etcd_data:
        wanted.append(
            (needs.etcd_data, "Empty it. On a file system of its own, set etcd.local.dataDir to a folder below it.")
        )
    if candidate.joins and version.minor <= 22 and not candidate.etcd:
        wanted.append((MANIFESTS, "Move these aside until the host has joined."))
    for folder, action in wanted:
        names = occupied.get(folder, ())
        if names:
            check = f"DirAvailable-{folder.replace('/', '-')}"
            found = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            yield Finding(check, Problem(candidate.host, folder, found, "an empty folder, or none", action))


def _address(candidate: Candidate) -> Iterator[Finding]:
    if not candidate.control_plane and not candidate.etcd:
        return
    address, own = candidate.address, candidate.machine.get("addresses")
    found = ""
    try:
        parsed = ipaddress.ip_address(address)
        if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast:
            found = f"{address}, which other hosts cannot reach"
        elif own is not None and str(parsed) not in own:
            found = f"{address}, which none of its interfaces has ({', '.join(own) or 'they have none'})"
    except ValueError:
        found = address or "none: the endpoint's name leads nowhere from here"
    if found:
        problem = Problem(
            host=candidate.host,
            subject="advertised address",
            found=found,
            wanted="an address of its own",
            action="Set its cluster_node_address.",
        )
        yield Finding("AdvertiseAddress", problem)


def _default_route(candidate: Candidate) -> Iterator[Finding]:
    if candidate.machine.get("default_route", True) or candidate.etcd:
        return
    problem = Problem(
        host=candidate.host,
        subject="default route",
        found="none",
        wanted="one, without which the host itself reaches no service",
        action=_lift("DefaultRoute", "Add one, or a route to cluster_service_subnet."),
    )
    yield Finding("DefaultRoute", problem)


def _kernel(candidate: Candidate, version: Version) -> Iterator[Finding]:
    release = candidate.machine.get("kernel", "")
    match = re.match(r"(\d+)\.(\d+)", release)
    if match is None:
        return
    kernel = int(match[1]), int(match[2])
    if version.minor >= 34:
        fit, wanted = kernel in _LONG_TERM or kernel >= (6, 0), "5.4, 5.10, 5.15, or 6.0 and later"
    else:
        oldest = (4, 19) if version.minor >= 32 else (3, 10)
        fit, wanted = kernel >= oldest, "{}.{} or later".format(*oldest)
    if not fit:
        action = _lift("SystemVerification", "Install another kernel.")
        wanted = f"{wanted}, as kubeadm 1.{version.minor} has it"
        yield Finding("SystemVerification", Problem(candidate.host, "kernel", release, wanted, action))


def _control_groups(candidate: Candidate, version: Version, needs: Needs) -> Iterator[Finding]:
    groups = candidate.machine.get("cgroups")
    if not groups:
        return
    if groups["version"] == 1 and version.minor >= 35:
        told = needs.takes_cgroup_v1
        problem = Problem(
            host=candidate.host,
            subject="control groups",
            found="version 1",
            wanted=f"version 2, which kubelets ask for from 1.35 on (this is 1.{version.minor})",
            action="Boot with systemd.unified_cgroup_hierarchy=1. To go on with version 1, set failCgroupV1 to false "
            f"in cluster_kubelet_configuration, and put SystemVerification into {IGNORE_VARIABLE}.",
        )
        yield Finding("SystemVerification" if told else "", problem)
    elif groups["version"] == 1 and version.minor >= 31:
        action = "Boot with systemd.unified_cgroup_hierarchy=1 before 1.35, whose kubelets refuse version 1."
        problem = Problem(candidate.host, "control groups", "version 1", "version 2", action)
        yield Finding("SystemVerification", problem, fatal=False)
    missing = [name for name in _CONTROLLERS[groups["version"]] if name not in groups["controllers"]]
    if missing:
        problem = Problem(
            host=candidate.host,
            subject="control groups",
            found=f"no {', '.join(missing)}",
            wanted="all that a kubelet works with",
            action="See the kernel's command line (cgroup_enable=memory is often what is missing), and reboot.",
        )
        yield Finding("SystemVerification", problem)


def check_disks(host: str, machine: Machine) -> Iterator[Finding]:
    """Too little room where etcd, the kubelet and the container runtime keep what they need."""
    # Folders on one file system have one thing to say.
    said: dict[tuple[int, int], list[str]] = {}
    for folder, disk in machine.get("disks", {}).items():
        said.setdefault((disk["free_mb"], disk["size_mb"]), []).append(folder)
    for (free, size), folders in said.items():
        found = f"{free} MB free of {size} MB for {', '.join(folders)}"
        if free < DISK_FREE_MB:
            action = "Make room, or put a larger file system there."
            yield Finding("DiskSpace", Problem(host, "disk", found, f"{DISK_FREE_MB} MB", action))
        elif free < size * DISK_FREE_SHARE:
            action = "Make room: below that a kubelet evicts pods."
            problem = Problem(host, "disk", found, f"{DISK_FREE_SHARE:.0%} free", action)
            yield Finding("DiskSpace", problem, fatal=False)


def _clock_keeper(candidate: Candidate) -> Iterator[Finding]:
    services = candidate.machine.get("services")
    # The clock of a container is its host's to keep.
    if services is None or candidate.machine.get("container") or set(services) & set(CLOCK_KEEPERS):
        return
    problem = Problem(
        host=candidate.host,
        subject="clock",
        found="no service that keeps it",
        wanted="chrony, systemd-timesyncd or another",
        action="Install one: certificates and etcd depend on clocks that agree.",
    )
    yield Finding("TimeSync", problem, fatal=False)


def _firewall(candidate: Candidate, needs: Needs) -> Iterator[Finding]:
    for name in sorted(set(candidate.machine.get("services", ())) & set(FIREWALLS)):
        ports = ["{}-{}".format(*needs.node_ports), "10250"]
        if candidate.control_plane:
            ports += [str(API_PORT), *(["2379-2380"] if needs.etcd_data else [])]
        wanted = f"open to the other nodes: {', '.join(sorted(ports))} (TCP), and what the pod network needs"
        if candidate.etcd:
            own = f"{candidate.etcd.client_port}, {candidate.etcd.peer_port}"
            wanted = f"open to control planes and other etcd hosts: {own} (TCP)"
        problem = Problem(
            host=candidate.host,
            subject=name,
            found="active",
            wanted=wanted,
            action="Open them, or turn it off: nothing here changes a firewall.",
        )
        yield Finding("Firewalld", problem, fatal=False)


def _resolver(candidate: Candidate, needs: Needs) -> Iterator[Finding]:
    servers = candidate.machine.get("name_servers", ())
    # kubeadm itself gives kubelets the real servers where systemd-resolved runs.
    if candidate.etcd or needs.resolver or RESOLVER in candidate.machine.get("services", ()) or not servers:
        return
    if all(_is_loopback(server) for server in servers):
        problem = Problem(
            host=candidate.host,
            subject="/etc/resolv.conf",
            found=f"{', '.join(servers)} alone",
            wanted="servers that pods can ask, too",
            action="Set resolvConf in cluster_kubelet_configuration to a file with those: CoreDNS would ask itself.",
        )
        yield Finding("Resolver", problem, fatal=False)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_distinct(machines: Mapping[str, Machine]) -> list[Finding]:
    """Identities that two hosts share, as copies of one disk image do: nodes and networks mistake one for the other."""
    findings = []
    for key, check, subject, action in (
        (
            "machine_id",
            "MachineID",
            "machine id",
            "Make a new one (rm /etc/machine-id; systemd-machine-id-setup) and reboot.",
        ),
        ("product_uuid", "ProductUUID", "product UUID", "Give each virtual machine its own in its hypervisor."),
        ("mac", "MACAddress", "MAC address", "Give each interface its own."),
    ):
        owners: dict[str, list[str]] = {}
        for host, machine in sorted(machines.items()):
            if machine.get(key) is not None:
                owners.setdefault(machine[key], []).append(host)
        for value, hosts in owners.items():
            for host in hosts if len(hosts) > 1 else ():
                found = f"{value}, also on {', '.join(other for other in hosts if other != host)}"
                findings.append(Finding(check, Problem(host, subject, found, "one of its own", _lift(check, action))))
    return findings


def check_clocks(machines: Mapping[str, Machine], looked_for_seconds: float) -> list[Finding]:
    """Hosts whose clocks are apart by more than the time that looking at all of them took."""
    if len(machines) < 2:
        return []
    usual = statistics.median_low([machine["time"] for machine in machines.values()])
    findings = []
    for host, machine in sorted(machines.items()):
        ahead = machine["time"] - usual
        if abs(ahead) > CLOCKS_APART_SECONDS + looked_for_seconds:
            problem = Problem(
                host=host,
                subject="clock",
                found=f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the others",
                wanted=f"at most {CLOCKS_APART_SECONDS:.0f} s apart",
                action="Set it, and have it kept (chrony, systemd-timesyncd): certificates depend on it.",
            )
            findings.append(Finding("", problem))
    return findings
