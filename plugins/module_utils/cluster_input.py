# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users write, checked before any host is touched."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Any

from . import (
    configuration_input,
    container_runtimes,
    etcd_settings,
    external_etcd,
    pod_network,
    requirements,
    subnets,
    user_access,
    versions,
    virtual_ip,
)
from .evidence import split_endpoint
from .problems import CLUSTER, Problem

# Every variable that users set, as docs/variables.md explains them.
KNOWN = frozenset(
    {
        "cluster_architecture",
        "cluster_bin_dir",
        "cluster_certificate_distribution",
        "cluster_cgroup_driver",
        "cluster_checksums",
        "cluster_cni_bin_dir",
        "cluster_cni_plugins_url",
        "cluster_cni_plugins_version",
        "cluster_configuration",
        "cluster_container_runtime",
        "cluster_control_plane_schedulable",
        "cluster_containerd_cri_settings",
        "cluster_containerd_settings",
        "cluster_control_plane_endpoint",
        "cluster_cri_socket",
        "cluster_crictl_url",
        "cluster_crictl_version",
        "cluster_crio_key",
        "cluster_crio_repository",
        "cluster_crio_settings",
        "cluster_dns_domain",
        "cluster_docker_settings",
        "cluster_etcd_endpoints",
        "cluster_etcd_topology",
        *etcd_settings.VARIABLES,
        *external_etcd.FILE_VARIABLES,
        "cluster_hosts_entries",
        "cluster_image_repository",
        "cluster_init_configuration",
        "cluster_install_method",
        "cluster_iptables",
        "cluster_join_configuration",
        "cluster_kube_proxy_configuration",
        "cluster_kubeadm_ignore_preflight_errors",
        "cluster_kubeadm_skip_phases",
        "cluster_kubeconfig_path",
        "cluster_kubelet_configuration",
        "cluster_kubernetes_version",
        "cluster_load_balancer_bind_address",
        "cluster_load_balancer_monitor_port",
        "cluster_load_balancer_port",
        "cluster_name",
        "cluster_network",
        "cluster_network_manifests",
        "cluster_node_address",
        "cluster_node_labels",
        "cluster_node_name",
        "cluster_package_downgrade",
        "cluster_package_key",
        "cluster_package_repository",
        "cluster_patches",
        "cluster_node_taints",
        "cluster_pod_subnet",
        "cluster_registry_mirrors",
        "cluster_release_url",
        "cluster_selinux",
        "cluster_service_subnet",
        "cluster_users",
        "cluster_virtual_ip",
        "cluster_virtual_ip_interface",
        "cluster_virtual_ip_password",
        "cluster_virtual_ip_provider",
        "cluster_virtual_router_id",
    }
)
# Names that begin alike and are not the users': of the roles cluster_plan and cluster_verify, and of a run itself.
_OTHERS = ("cluster_plan_", "cluster_verify_", "cluster_join_credentials", "cluster_join_failure")

# What hosts may say differently of their container runtimes.
RUNTIME_VARIABLES = ("cluster_container_runtime", "cluster_cri_socket", "cluster_registry_mirrors")

# What may be said where only some words have a meaning.
CHOICES = {
    "cluster_network": pod_network.NETWORKS,
    "cluster_etcd_topology": ("stacked", "external"),
    "cluster_certificate_distribution": ("uploaded", "sealed"),
    "cluster_cgroup_driver": ("systemd", "cgroupfs"),
    "cluster_iptables": ("legacy", "nft", "keep"),
    "cluster_selinux": ("permissive", "keep"),
    "cluster_virtual_ip_provider": virtual_ip.PROVIDERS,
}


# What is more than one text or number: a container of another kind would fail in the middle of a run.
SHAPES: dict[str, type] = {
    "cluster_checksums": dict,
    "cluster_configuration": dict,
    "cluster_containerd_cri_settings": dict,
    "cluster_containerd_settings": dict,
    "cluster_crio_settings": dict,
    "cluster_docker_settings": dict,
    "cluster_etcd_endpoints": list,
    "cluster_etcd_extra_args": dict,
    "cluster_etcd_local": dict,
    "cluster_init_configuration": dict,
    "cluster_join_configuration": dict,
    "cluster_kube_proxy_configuration": dict,
    "cluster_kubeadm_ignore_preflight_errors": list,
    "cluster_kubeadm_skip_phases": list,
    "cluster_kubelet_configuration": dict,
    "cluster_network_manifests": list,
    "cluster_patches": dict,
    "cluster_registry_mirrors": dict,
    "cluster_node_labels": dict,
    "cluster_node_taints": list,
    "cluster_users": list,
}
_SHAPE_NAMES = {dict: "a mapping", list: "a list"}

# A name as DNS and Kubernetes have it: a subdomain (RFC 1123, as apimachinery's validation has it).
_NAME = re.compile(r"^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")


def check(
    variables: Mapping[str, Any],
    groups: Mapping[str, frozenset[str]],
    of_hosts: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Problem]:
    """Every problem of the inventory and its variables.

    Args:
        variables: values of ``cluster_*`` variables, by name.
        groups: inventory names by group: control_plane, workers, load_balancers, etcd.
        of_hosts: by inventory name, the configurations (``configuration_input.OF_HOSTS``) that a host has of its own.
    """
    return [
        *_version(variables["cluster_kubernetes_version"]),
        *_endpoint(variables["cluster_control_plane_endpoint"]),
        *subnets.check(variables, nodes=len(groups["control_plane"] | groups["workers"])),
        *pod_network.check_choice(variables),
        *_choices(variables),
        *etcd_settings.check_topology(variables, groups),
        *external_etcd.check_input(variables),
        *configuration_input.names(variables),
        *configuration_input.check_all(variables, of_hosts or {}),
        *_balancers(variables, groups),
        *virtual_ip.check(variables, groups),
        *_users(variables),
        *_groups(groups),
    ]


def check_runtimes(hosts: Mapping[str, Mapping[str, Any]], version: Any) -> list[Problem]:
    """What is wrong with the container runtimes.

    Args:
        hosts: by inventory name, the values of ``RUNTIME_VARIABLES``, None where one is not set.
        version: ``cluster_kubernetes_version``. Without a valid one there is nothing to say of runtimes.
    """
    try:
        kubernetes = versions.parse(str(version))
    except ValueError:
        return []
    return [problem for host, values in hosts.items() for problem in container_runtimes.check(host, values, kubernetes)]


def cri_sockets(hosts: Mapping[str, Mapping[str, Any]], version: Any) -> dict[str, str]:
    """Where the container runtimes of hosts listen, by inventory name; of what ``check_runtimes`` has passed."""
    kubernetes = versions.parse(str(version))
    return {
        host: container_runtimes.cri_socket(
            values.get("cluster_container_runtime") or container_runtimes.CONTAINERD,
            kubernetes,
            values.get("cluster_cri_socket"),
        )
        for host, values in hosts.items()
    }


def unknown(names: Mapping[str, Collection[str]]) -> list[Problem]:
    """Variables that begin with ``cluster_`` and that nothing reads: most likely typed wrong.

    Args:
        names: by variable, the inventory names of the hosts that have it.
    """
    problems = []
    for name, hosts in sorted(names.items()):
        if not name.startswith("cluster_") or name.startswith(_OTHERS) or name in KNOWN:
            continue
        # What all names begin with makes none of them near.
        own = name[len("cluster_") :]
        near = difflib.get_close_matches(own, sorted(known[len("cluster_") :] for known in KNOWN), n=1)
        problems.append(
            Problem(
                host=min(hosts) if len(hosts) == 1 else CLUSTER,
                subject=f"variable {name}",
                found="a name that nothing reads",
                wanted="one of docs/variables.md",
                action=f"Did you mean cluster_{near[0]}?" if near else "Remove it, or name it without cluster_.",
            )
        )
    return problems


def check_hosts(hosts: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """What the inventory says of single hosts, also of those outside the run: names and addresses, and no two alike.

    Args:
        hosts: by inventory name of a node, the variables of that host that are asked for in ``OF_A_HOST``.
    """
    problems = []
    for host, variables in sorted(hosts.items()):
        name, address = variables.get("cluster_node_name"), variables.get("cluster_node_address")
        if name is not None and not _NAME.match(str(name)):
            problems.append(
                Problem(
                    host=host,
                    subject="cluster_node_name",
                    found=repr(name),
                    wanted="lower case letters, digits, hyphens and dots",
                    action="Set another one, or leave it out for the host's own name in lower case.",
                )
            )
        if address is not None and _ip(address) is None:
            problems.append(
                Problem(
                    host=host,
                    subject="cluster_node_address",
                    found=repr(address),
                    wanted="an IP address of the host, without port and prefix",
                    action="Correct it, or leave it out for the one by which the host reaches the endpoint.",
                )
            )
    for subject, said in (
        ("cluster_node_name", {host: _folded(of.get("cluster_node_name")) for host, of in hosts.items()}),
        ("cluster_node_address", {host: _ip(of.get("cluster_node_address")) for host, of in hosts.items()}),
        ("connection", {host: _reached(host, of) for host, of in hosts.items()}),
    ):
        alike: dict[Any, list[str]] = {}
        for host, value in sorted(said.items()):
            if value is not None:
                alike.setdefault(value, []).append(host)
        problems += [
            Problem(
                host=host,
                subject=subject,
                found=f"{value}, also of {', '.join(other for other in sharing if other != host)}",
                wanted="one of its own",
                action="Give each host its own, or keep one of these entries in the inventory.",
            )
            for value, sharing in alike.items()
            for host in sharing
            if len(sharing) > 1
        ]
    return problems


# What leads SSH to another machine though the name is the same.
_WAYS = ("ansible_port", "ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
OF_A_HOST = ("ansible_connection", "ansible_host", *_WAYS, "cluster_node_address", "cluster_node_name")


def _folded(value: Any) -> str | None:
    return None if value is None else str(value).lower()


def _ip(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(str(value))
    except ValueError:
        return None


def _reached(host: str, variables: Mapping[str, Any]) -> str | None:
    """Where SSH leads to, and how; names mean the same in either case. Other connections have ideas of their own."""
    if variables.get("ansible_connection", "ssh") not in ("ssh", "ansible.builtin.ssh", "smart"):
        return None
    place = str(variables.get("ansible_host") or host).lower()
    return " ".join([place, *(f"({variables[way]})" for way in _WAYS if variables.get(way))])


def check_shapes(values: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Mappings and lists that are something else.

    Args:
        values: by variable, what it is on each host that has it.
    """
    problems = []
    for name, shape in SHAPES.items():
        wrong = {host: value for host, value in values.get(name, {}).items() if not isinstance(value, shape)}
        if wrong:
            problems.append(
                Problem(
                    host=min(wrong) if len(wrong) == 1 else CLUSTER,
                    subject=name,
                    found=repr(wrong[min(wrong)]),
                    wanted=_SHAPE_NAMES[shape],
                    action="See its example in docs/variables.md.",
                )
            )
    return problems


def _choices(variables: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for name, choices in CHOICES.items():
        value = variables.get(name)
        if value is None or value in choices:
            continue
        near = difflib.get_close_matches(str(value), choices, n=1)
        action = f"Did you mean {near[0]}?" if near else "Choose one of them."
        problems.append(Problem(CLUSTER, name, repr(value), f"one of {', '.join(choices)}", action))
    return problems


def _users(variables: Mapping[str, Any]) -> list[Problem]:
    try:
        version = versions.parse(str(variables["cluster_kubernetes_version"]))
    except ValueError:
        version = None
    return user_access.check(variables.get("cluster_users", []), version)


def _version(value: Any) -> list[Problem]:
    wanted = f"1.x.y, from 1.{versions.OLDEST_MINOR} to 1.{versions.NEWEST_MINOR}"
    try:
        supported = versions.OLDEST_MINOR <= versions.parse(str(value)).minor <= versions.NEWEST_MINOR
    except ValueError:
        supported = False
    if supported:
        return []
    action = "Set a full version, such as '1.20.2', in quotes."
    return [Problem(CLUSTER, "cluster_kubernetes_version", repr(value), wanted, action)]


def _endpoint(value: Any) -> list[Problem]:
    try:
        host, _port = split_endpoint(str(value or ""))
        # Digits and dots alone are an address, or nothing.
        if str(value).startswith("[") or re.match(r"^[0-9.]+$", host):
            ipaddress.ip_address(host)
        elif not _NAME.match(host):
            raise ValueError(f"{host!r} is no name in DNS")
    except ValueError:
        return [
            Problem(
                host=CLUSTER,
                subject="cluster_control_plane_endpoint",
                found=repr(value),
                wanted="host:port, the host a name in lower case or an address, IPv6 in brackets",
                action="Set the address of the load balancer; it cannot be changed later without new certificates.",
            )
        ]
    return []


def _balancers(variables: Mapping[str, Any], groups: Mapping[str, frozenset[str]]) -> list[Problem]:
    """A load balancer on a node, at a port that the node has a use for itself."""
    try:
        port = (
            variables.get("cluster_load_balancer_port")
            or split_endpoint(str(variables["cluster_control_plane_endpoint"]))[1]
        )
        port = int(port)
    except ValueError:
        return []  # said of the endpoint, or by the type of the role's option
    problems = []
    with_kubelet = groups["control_plane"] | groups["workers"] | groups["etcd"]
    for host in sorted(groups["load_balancers"] & with_kubelet):
        own = {*requirements.KUBELET_PORTS}
        own.update(requirements.CONTROL_PLANE_PORTS if host in groups["control_plane"] else ())
        own.update(() if host in groups["workers"] else requirements.ETCD_PORTS)
        if port in own:
            problems.append(
                Problem(
                    host=host,
                    subject="load balancer's port",
                    found=f"{port}, which the node itself listens at",
                    wanted="another one on a host that is a node as well",
                    action="Choose a free port for cluster_control_plane_endpoint, such as 8443, or set "
                    "cluster_load_balancer_port where something else leads to it.",
                )
            )
    return problems


def _groups(groups: Mapping[str, frozenset[str]]) -> list[Problem]:
    problems = []
    if not groups["control_plane"]:
        problems.append(
            Problem(CLUSTER, "group control_plane", "no host", "at least one", "Put hosts into the inventory's group.")
        )
    for host in sorted(groups["control_plane"] & groups["workers"]):
        problems.append(
            Problem(
                host=host,
                subject="groups",
                found="control_plane and workers",
                wanted="one of them",
                action="Keep it in control_plane; take its taint away if it is to run workloads.",
            )
        )
    return problems
