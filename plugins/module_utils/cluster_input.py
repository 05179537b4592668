# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users write, checked before any host is touched."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

from . import configuration_input, versions
from .evidence import split_endpoint
from .problems import CLUSTER, Problem

# Every variable that users set, as docs/variables.md explains them.
KNOWN = frozenset(
    {
        "cluster_architecture",
        "cluster_bin_dir",
        "cluster_cgroup_driver",
        "cluster_cni_bin_dir",
        "cluster_cni_plugins_url",
        "cluster_cni_plugins_version",
        "cluster_configuration",
        "cluster_containerd_cri_settings",
        "cluster_control_plane_endpoint",
        "cluster_crictl_url",
        "cluster_crictl_version",
        "cluster_dns_domain",
        "cluster_etcd_topology",
        "cluster_image_repository",
        "cluster_init_configuration",
        "cluster_iptables",
        "cluster_join_configuration",
        "cluster_kube_proxy_configuration",
        "cluster_kubeadm_ignore_preflight_errors",
        "cluster_kubeadm_skip_phases",
        "cluster_kubeconfig_path",
        "cluster_kubelet_configuration",
        "cluster_kubernetes_version",
        "cluster_name",
        "cluster_network",
        "cluster_node_address",
        "cluster_node_name",
        "cluster_patches",
        "cluster_pod_subnet",
        "cluster_release_url",
        "cluster_service_subnet",
    }
)
# Names that begin alike and are not the users': of the roles cluster_plan and cluster_verify, and of a run itself.
_OTHERS = ("cluster_plan_", "cluster_verify_", "cluster_join_credentials", "cluster_join_failure")

# What may be said where only some words have a meaning.
CHOICES = {
    "cluster_network": ("bridge", "none"),
    "cluster_etcd_topology": ("stacked", "external"),
    "cluster_cgroup_driver": ("systemd", "cgroupfs"),
    "cluster_iptables": ("legacy", "nft", "keep"),
}


def check(
    variables: Mapping[str, Any],
    groups: Mapping[str, frozenset[str]],
    of_hosts: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Problem]:
    """Every problem of the inventory and its variables.

    Args:
        variables: values of ``cluster_*`` variables, by name.
        groups: inventory names by group: control_plane, workers.
        of_hosts: by inventory name, the configurations (``configuration_input.OF_HOSTS``) that a host has of its own.
    """
    return [
        *_version(variables["cluster_kubernetes_version"]),
        *_endpoint(variables["cluster_control_plane_endpoint"]),
        *_networks(variables),
        *_choices(variables),
        *_topology(variables),
        *configuration_input.names(variables),
        *configuration_input.check_all(variables, of_hosts or {}),
        *_groups(groups),
    ]


def unknown(names: Mapping[str, Collection[str]]) -> list[Problem]:
    """Variables that begin with ``cluster_`` and that nothing reads: most likely typed wrong.

    Args:
        names: by variable, the inventory names of the hosts that have it.
    """
    problems = []
    for name, hosts in sorted(names.items()):
        if not name.startswith("cluster_") or name.startswith(_OTHERS) or name in KNOWN:
            continue
        near = difflib.get_close_matches(name, sorted(KNOWN), n=1)
        problems.append(
            Problem(
                host=min(hosts) if len(hosts) == 1 else CLUSTER,
                subject=f"variable {name}",
                found="a name that nothing reads",
                wanted="one of docs/variables.md",
                action=f"Did you mean {near[0]}?" if near else "Remove it, or name it without cluster_.",
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


def _topology(variables: Mapping[str, Any]) -> list[Problem]:
    """Where etcd runs is said twice, to the plan and to kubeadm, and a contradiction would undo healthy members."""
    topology = variables.get("cluster_etcd_topology") or "stacked"
    configuration = variables.get("cluster_configuration")
    etcd = configuration.get("etcd") if isinstance(configuration, Mapping) else None
    external = isinstance(etcd, Mapping) and "external" in etcd
    if (topology == "external") == external or topology not in CHOICES["cluster_etcd_topology"]:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="cluster_etcd_topology",
            found=f"{topology}, and {'an' if external else 'no'} etcd.external in cluster_configuration",
            wanted="both or neither external",
            action="Make the two agree.",
        )
    ]


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
        split_endpoint(str(value or ""))
    except ValueError:
        return [
            Problem(
                host=CLUSTER,
                subject="cluster_control_plane_endpoint",
                found=repr(value),
                wanted="host:port, an IPv6 address in brackets",
                action="Set the address of the load balancer; it cannot be changed later without new certificates.",
            )
        ]
    return []


def _networks(variables: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    networks: list[tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]] = []
    for name in ("cluster_pod_subnet", "cluster_service_subnet"):
        for text in str(variables[name]).split(","):
            try:
                if "/" not in text:
                    raise ValueError("the length of its prefix is missing")
                networks.append((name, ipaddress.ip_network(text.strip())))
            except ValueError as error:
                problems.append(
                    Problem(CLUSTER, name, repr(text), "a network such as 10.244.0.0/16", f"Correct it: {error}.")
                )
    for index, (name, network) in enumerate(networks):
        for other_name, other in networks[index + 1 :]:
            if network.version == other.version and network.overlaps(other):
                problems.append(
                    Problem(
                        host=CLUSTER,
                        subject=name,
                        found=f"{network}, which overlaps {other} of {other_name}",
                        wanted="networks apart from each other",
                        action="Choose another one.",
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
