# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says of etcd where it runs on hosts of its own, and what is wrong with that. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import config_check, versions
from .problems import CLUSTER, Problem

STACKED, EXTERNAL = "stacked", "external"
# Where etcd tells its metrics and its health, as kubeadm has it (cmd/kubeadm/app/constants).
METRICS_PORT = 2381
KUBELET_PORTS = (10248, 10250)
# etcd's defaults, and what it refuses to be told (embed/config.go of 3.4 to 3.6).
HEARTBEAT_MS, ELECTION_MS = 100, 1000
ELECTION_HEARTBEATS = 5
LONGEST_ELECTION_MS = 50_000

# What is said of one etcd host, or of all.
VARIABLES = (
    "cluster_etcd_client_port",
    "cluster_etcd_data_dir",
    "cluster_etcd_election_milliseconds",
    "cluster_etcd_extra_args",
    "cluster_etcd_heartbeat_milliseconds",
    "cluster_etcd_local",
    "cluster_etcd_peer_port",
)
# Arguments that the role writes itself, and what to do instead.
_OWNED = {
    "data-dir": "Set cluster_etcd_data_dir.",
    "heartbeat-interval": "Set cluster_etcd_heartbeat_milliseconds.",
    "election-timeout": "Set cluster_etcd_election_milliseconds.",
    **dict.fromkeys(("listen-client-urls", "advertise-client-urls"), "Set cluster_etcd_client_port."),
    **dict.fromkeys(("listen-peer-urls", "initial-advertise-peer-urls"), "Set cluster_etcd_peer_port."),
    **dict.fromkeys(
        ("name", "initial-cluster", "initial-cluster-state", "initial-cluster-token"),
        "Remove it: it follows from the inventory and from the members that there are.",
    ),
    "force-new-cluster": "Remove it: it would throw the other members out at every start.",
}


# Fields of ``etcd.local`` that variables of their own say.
_LOCAL = {"dataDir": "Set cluster_etcd_data_dir.", "extraArgs": "Set cluster_etcd_extra_args."}


@dataclass(frozen=True)
class EtcdSettings:
    """Of one etcd host.

    Attributes:
        data_dir: where its member keeps its data.
        client_port: at which its member answers API servers.
        peer_port: at which it answers other members.
    """

    data_dir: str = "/var/lib/etcd"
    client_port: int = 2379
    peer_port: int = 2380

    @classmethod
    def from_variables(cls, variables: Mapping[str, Any]) -> EtcdSettings:
        """From one host's variables that ``check`` has passed."""
        return cls(
            data_dir=posixpath.normpath(variables.get("cluster_etcd_data_dir") or cls.data_dir),
            client_port=int(variables.get("cluster_etcd_client_port") or cls.client_port),
            peer_port=int(variables.get("cluster_etcd_peer_port") or cls.peer_port),
        )


def check_topology(variables: Mapping[str, Any], groups: Mapping[str, frozenset[str]]) -> list[Problem]:
    """Where etcd runs: one place, said once."""
    topology, etcd = variables.get("cluster_etcd_topology") or STACKED, groups.get("etcd", frozenset())
    endpoints = variables.get("cluster_etcd_endpoints") or ()
    problems = []
    if topology == STACKED and (etcd or endpoints):
        found = f"hosts in the group etcd ({', '.join(sorted(etcd))})" if etcd else "cluster_etcd_endpoints"
        action = "Set cluster_etcd_topology to external, or take these away."
        problems.append(Problem(CLUSTER, "cluster_etcd_topology", f"stacked, and {found}", "external", action))
    elif topology == EXTERNAL and not etcd and not endpoints:
        found = "external, and neither a host in the group etcd nor cluster_etcd_endpoints"
        action = "Put hosts into the group etcd, or set cluster_etcd_endpoints to an etcd that somebody else runs."
        problems.append(Problem(CLUSTER, "cluster_etcd_topology", found, "one of them", action))
    elif topology == EXTERNAL and etcd and endpoints:
        found = f"a list, and hosts in the group etcd ({', '.join(sorted(etcd))})"
        action = "Remove it: the endpoints of etcd hosts are those of their members."
        problems.append(Problem(CLUSTER, "cluster_etcd_endpoints", found, "one of them", action))
    for group in ("control_plane", "workers") if topology == EXTERNAL else ():
        problems += [
            Problem(
                host=host,
                subject="groups",
                found=f"etcd and {group}",
                wanted="one of them: the kubelet of an etcd host serves no cluster",
                action="Take it out of one, or set cluster_etcd_topology to stacked and leave the group etcd empty.",
            )
            for host in sorted(etcd & groups[group])
        ]
    local = (variables.get("cluster_configuration") or {}) if topology == EXTERNAL else {}
    if isinstance(local, Mapping) and isinstance(local.get("etcd"), Mapping) and local["etcd"].get("local"):
        problems.append(
            Problem(
                host=CLUSTER,
                subject="cluster_configuration.etcd.local",
                found="a value",
                wanted="nothing: cluster_etcd_topology is external",
                action="Set the variables that begin with cluster_etcd_ instead.",
            )
        )
    return problems


def unread(variables: Mapping[str, Any], groups: Mapping[str, frozenset[str]]) -> list[Problem]:
    """What is said of etcd hosts while there are none.

    Args:
        variables: those that any host of the run has, by name.
        groups: inventory names by group.
    """
    if groups["etcd"]:
        return []
    action = "Remove it, or say of stacked etcd what you mean in cluster_configuration under etcd.local."
    return [
        Problem(CLUSTER, name, "a value, and no host in the group etcd", "nothing, for nobody reads it", action)
        for name in VARIABLES
        if name in variables
    ]


def check(hosts: Mapping[str, Mapping[str, Any]], version: Any) -> list[Problem]:
    """What is wrong with what the inventory says of etcd hosts.

    Args:
        hosts: by inventory name, those of ``VARIABLES`` that the host has.
        version: ``cluster_kubernetes_version``. What depends on it is not judged where it is none.
    """
    try:
        kubernetes = versions.parse(str(version))
    except ValueError:
        kubernetes = None
    problems = [problem for host, said in sorted(hosts.items()) for problem in _check_host(host, said, kubernetes)]
    for name in ("cluster_etcd_heartbeat_milliseconds", "cluster_etcd_election_milliseconds"):
        values = {str(said.get(name) or "etcd's default"): host for host, said in sorted(hosts.items(), reverse=True)}
        if len(values) > 1:
            found = ", ".join(f"{value} on {host}" for value, host in sorted(values.items()))
            action = "Set it for the whole group: members that count differently take turns in unseating leaders."
            problems.append(Problem(CLUSTER, name, found, "one value for all members", action))
    return problems


def _check_host(host: str, said: Mapping[str, Any], version: versions.Version | None) -> list[Problem]:
    problems = []
    folder = said.get("cluster_etcd_data_dir")
    if folder is not None and not (isinstance(folder, str) and posixpath.isabs(folder) and folder.strip("/.")):
        action = "Set the path of a folder that etcd has to itself."
        problems.append(Problem(host, "cluster_etcd_data_dir", repr(folder), "an absolute path", action))
    problems += _check_ports(host, said) + _check_times(host, said)
    arguments = said.get("cluster_etcd_extra_args")
    if arguments is not None and not isinstance(arguments, Mapping):
        wanted = "a mapping of etcd's arguments without dashes"
        action = "See its example in docs/variables.md."
        problems.append(Problem(host, "cluster_etcd_extra_args", repr(arguments), wanted, action))
    else:
        problems += [
            Problem(host, f"cluster_etcd_extra_args.{name}", "a value", "nothing here", _OWNED[name])
            for name in sorted({*(arguments or ())} & {*_OWNED})
        ]
    local = said.get("cluster_etcd_local")
    if local is not None:
        problems += config_check.check("LocalEtcd", local, version, "cluster_etcd_local", host)
        problems += [
            Problem(host, f"cluster_etcd_local.{name}", "a value", "nothing here", action)
            for name, action in _LOCAL.items()
            if isinstance(local, Mapping) and name in local
        ]
    return problems


def _check_ports(host: str, said: Mapping[str, Any]) -> list[Problem]:
    problems = []
    taken = {METRICS_PORT: "etcd's metrics", **dict.fromkeys(KUBELET_PORTS, "the kubelet")}
    for name, default in (("cluster_etcd_client_port", 2379), ("cluster_etcd_peer_port", 2380)):
        value = said.get(name)
        port = default if value is None else _whole(value)
        if port is None or not 0 < port < 65536:
            problems.append(Problem(host, name, repr(value), "a port, from 1 to 65535", "Correct it, or remove it."))
        elif port in taken:
            action = "Choose another port."
            problems.append(Problem(host, name, f"{port}, the port of {taken[port]}", "one of its own", action))
        else:
            taken[port] = name
    return problems


def _check_times(host: str, said: Mapping[str, Any]) -> list[Problem]:
    names = ("cluster_etcd_heartbeat_milliseconds", "cluster_etcd_election_milliseconds")
    values = []
    problems = []
    for name, default in zip(names, (HEARTBEAT_MS, ELECTION_MS)):
        value = said.get(name)
        number = default if value is None else _whole(value)
        if number is None or number <= 0:
            wanted = "a whole number of milliseconds, more than 0"
            problems.append(Problem(host, name, repr(value), wanted, "Correct it, or remove it."))
        values.append(number or 0)
    heartbeat, election = values
    if problems:
        return problems
    if election < ELECTION_HEARTBEATS * heartbeat:
        problems.append(
            Problem(
                host=host,
                subject=names[1],
                found=f"{election}, with heartbeats every {heartbeat}",
                wanted=f"at least {ELECTION_HEARTBEATS * heartbeat}: etcd asks for {ELECTION_HEARTBEATS} heartbeats",
                action="Set both: about the longest round trip between members, and ten times that.",
            )
        )
    if election > LONGEST_ELECTION_MS:
        wanted = f"at most {LONGEST_ELECTION_MS}, as etcd has it"
        problems.append(Problem(host, names[1], str(election), wanted, "Lower it."))
    return problems


def _whole(value: Any) -> int | None:
    """A number as YAML, and as extra variables on the command line, give it."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    try:
        return int(value)
    except ValueError:
        return None
