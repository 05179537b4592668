# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of pods and services: whether they can be, and whether they meet what hosts have already.

Limits as kubeadm has them (cmd/kubeadm/app/apis/kubeadm/validation and app/constants of 1.20 and 1.36), which would
stop at the first one, on the host that begins the cluster.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

from . import versions
from .problems import CLUSTER, Problem

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

PODS, SERVICES = "cluster_pod_subnet", "cluster_service_subnet"

# The API server keeps a bitmap of a service subnet's addresses, and the controller manager one of nodes' networks.
SERVICE_SUBNET_BITS = 20
NODES_BITS = 16
LEAST_ADDRESSES = {PODS: 14, SERVICES: 10}
NODE_MASKS = {4: 24, 6: 64}

# From when on kubeadm makes dual stack without being asked by a feature gate (IPv6DualStack, beta in 1.21).
_DUAL_STACK_MINOR = 21

# What pod networks and kube-proxy lay on a node, by device and by routing protocol (98 is the bridge agent's own).
_POD_DEVICE = re.compile(
    r"^(cni\d|cbr\d|flannel|cali|tunl0|vxlan(-v6)?\.calico|(wireguard|wg-v6)\.cali|cilium_|kube-|nodelocaldns|veth)"
)
_POD_PROTOCOLS = ("98", "bird")


def parse(text: Any) -> tuple[Network, ...]:
    """Networks with commas between them.

    Raises:
        ValueError: says which part is no network, and why.
    """
    networks = []
    for part in str(text).split(","):
        if "/" not in part:
            raise ValueError(f"{part!r}: the length of its prefix is missing")
        networks.append(ipaddress.ip_network(part.strip()))
    return tuple(networks)


def check(variables: Mapping[str, Any], nodes: int) -> list[Problem]:
    """What is wrong with the two subnets, whatever the hosts.

    Args:
        variables: values of ``cluster_*`` variables, by name.
        nodes: how many nodes the inventory asks for.
    """
    problems: list[Problem] = []
    parsed: dict[str, tuple[Network, ...]] = {}
    for name in (PODS, SERVICES):
        try:
            parsed[name] = parse(variables[name])
        except ValueError as error:
            found, wanted = repr(variables[name]), "a network such as 10.244.0.0/16, or one of IPv4 and one of IPv6"
            problems.append(Problem(CLUSTER, name, found, wanted, f"Correct it: {error}."))
    for name, networks in parsed.items():
        problems += _form(name, networks, variables)
        problems += _least(name, networks)
    problems += [problem for network in parsed.get(SERVICES, ()) for problem in _too_large(network)]
    if not problems:
        problems += _room_for_nodes(parsed[PODS], variables, nodes)
        problems += _families(parsed[PODS], parsed[SERVICES])
    problems += _overlaps(parsed)
    problems += _endpoint(parsed, variables.get("cluster_control_plane_endpoint"))
    return problems


def _form(name: str, networks: Sequence[Network], variables: Mapping[str, Any]) -> list[Problem]:
    """One network, or one of each family where the version does both."""
    if len(networks) == 1:
        return []
    found = ", ".join(map(str, networks))
    if sorted(network.version for network in networks) != [4, 6]:
        wanted = "one network, or one of IPv4 and one of IPv6"
        return [Problem(CLUSTER, name, found, wanted, "Leave one of each family.")]
    gates = _within(variables.get("cluster_configuration"), "featureGates")
    try:
        minor = versions.parse(str(variables["cluster_kubernetes_version"])).minor
    except ValueError:
        return []  # refused elsewhere
    if minor >= _DUAL_STACK_MINOR or gates.get("IPv6DualStack"):
        return []
    action = "Leave one network, or set featureGates.IPv6DualStack in cluster_configuration."
    return [Problem(CLUSTER, name, found, f"one network, for Kubernetes 1.{minor} has no dual stack by itself", action)]


def _least(name: str, networks: Iterable[Network]) -> list[Problem]:
    least = LEAST_ADDRESSES[name]
    return [
        Problem(CLUSTER, name, f"{network}, {network.num_addresses} addresses", f"at least {least}", "Choose a larger.")
        for network in networks
        if network.num_addresses < least
    ]


def _too_large(network: Network) -> list[Problem]:
    shortest = network.max_prefixlen - SERVICE_SUBNET_BITS
    if network.prefixlen >= shortest:
        return []
    wanted = f"/{shortest} or longer: the API server keeps account of each address"
    return [Problem(CLUSTER, SERVICES, str(network), wanted, "Choose a smaller one.")]


def _room_for_nodes(pods: Sequence[Network], variables: Mapping[str, Any], nodes: int) -> list[Problem]:
    """The controller manager cuts the pod subnet into one network for each node."""
    arguments = _controller_manager_arguments(variables)
    if arguments.get("allocate-node-cidrs", "true") == "false":
        return []
    problems = []
    for network in pods:
        flags = [f"node-cidr-mask-size-ipv{network.version}"] + (["node-cidr-mask-size"] if len(pods) == 1 else [])
        text = next((arguments[flag] for flag in flags if arguments.get(flag)), str(NODE_MASKS[network.version]))
        mask = int(text) if text.isdigit() else -1
        bits = mask - network.prefixlen
        found = f"{network}, cut into one /{mask} for each node"
        if not 0 <= mask <= network.max_prefixlen:
            wanted = f"a prefix length up to {network.max_prefixlen}"
            problems.append(Problem(CLUSTER, f"{flags[0]} in cluster_configuration", text, wanted, "Correct it."))
        elif bits < 0:
            wanted = f"a pod subnet of /{mask} or shorter"
            action = f"Choose a larger subnet, or set {flags[-1]} of the controllerManager's extraArgs."
            problems.append(Problem(CLUSTER, PODS, found, wanted, action))
        elif bits > NODES_BITS:
            wanted = f"at most {NODES_BITS} bits between the two: /{mask - NODES_BITS} or longer"
            action = f"Choose a smaller subnet, or set {flags[-1]} of the controllerManager's extraArgs."
            problems.append(Problem(CLUSTER, PODS, found, wanted, action))
        elif 2**bits < nodes:
            problems.append(
                Problem(
                    host=CLUSTER,
                    subject=PODS,
                    found=f"{found}: {2**bits} of them",
                    wanted=f"{nodes}, for as many nodes in the inventory",
                    action=f"Choose /{mask - (nodes - 1).bit_length()} or shorter, or a longer {flags[-1]}. Where the "
                    "pod network hands out addresses itself, set allocate-node-cidrs to false.",
                )
            )
    return problems


def allocates_node_networks(variables: Mapping[str, Any]) -> bool:
    """Whether the controller manager gives each node its part of the pod subnet."""
    return _controller_manager_arguments(variables).get("allocate-node-cidrs", "true") != "false"


def _controller_manager_arguments(variables: Mapping[str, Any]) -> dict[str, str]:
    """Its extraArgs, given as a mapping or as a list of name and value; of one given twice the last counts."""
    found = _within(variables.get("cluster_configuration"), "controllerManager").get("extraArgs")
    if isinstance(found, Mapping):
        return {str(name): str(value).lower() for name, value in found.items()}
    entries = [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []
    return {str(entry.get("name")): str(entry.get("value")).lower() for entry in entries}


def _within(value: Any, key: str) -> Mapping[str, Any]:
    """The mapping under a key; empty where there is another thing, which is refused elsewhere."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _families(pods: Sequence[Network], services: Sequence[Network]) -> list[Problem]:
    """A service's addresses lead to pods of the same family; the first one is what the API server itself has."""
    of_pods, of_services = [f"IPv{n.version}" for n in pods], [f"IPv{n.version}" for n in services]
    if of_services == of_pods[: len(of_services)]:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject=SERVICES,
            found=" and ".join(of_services),
            wanted=f"{' and '.join(of_pods)} as {PODS} has them, in this order",
            action="Make the two agree.",
        )
    ]


def _overlaps(parsed: Mapping[str, Sequence[Network]]) -> list[Problem]:
    networks = [(name, network) for name, found in parsed.items() for network in found]
    return [
        Problem(
            host=CLUSTER,
            subject=name,
            found=f"{network}, which overlaps {other} of {other_name}",
            wanted="networks apart from each other",
            action="Choose another one.",
        )
        for index, (name, network) in enumerate(networks)
        for other_name, other in networks[index + 1 :]
        if overlap(network, other)
    ]


def _endpoint(parsed: Mapping[str, Sequence[Network]], endpoint: Any) -> list[Problem]:
    try:
        address = ipaddress.ip_address(str(endpoint or "").rpartition(":")[0].strip("[]"))
    except ValueError:
        return []  # a name, which hosts look up, or malformed, which is refused elsewhere
    return check_endpoint(endpoint, [str(address)], parsed.get(PODS, ()), parsed.get(SERVICES, ()))


def check_endpoint(
    endpoint: str, addresses: Iterable[str], pods: Sequence[Network], services: Sequence[Network]
) -> list[Problem]:
    """The endpoint is on no pod's and no service's address: nodes would look for it inside the cluster.

    Args:
        endpoint: ``host:port``.
        addresses: what its host means.
        pods: networks of pods.
        services: networks of services.
    """
    return [
        Problem(
            host=CLUSTER,
            subject="cluster_control_plane_endpoint",
            found=f"{endpoint}, {address} of which lies in {network} of {name}",
            wanted="an address outside the cluster's own networks",
            action="Choose another subnet, or another endpoint.",
        )
        for address in sorted(set(addresses))
        for name, networks in ((PODS, pods), (SERVICES, services))
        for network in networks
        if ipaddress.ip_address(address) in network
    ]


def check_host(
    host: str, found: Iterable[Mapping[str, str]], pods: Sequence[Network], services: Sequence[Network]
) -> tuple[list[Problem], list[Problem]]:
    """Where a host's own networks meet those of pods or services.

    A route that holds a whole subnet and more, as one to all of 10.0.0.0/8 does, stands behind the cluster's own ones
    and takes nothing from them, though what the network behind it has at these addresses is out of reach for pods.

    Args:
        host: its inventory name.
        found: its networks; see ``machine.networks``.
        pods: networks of pods.
        services: networks of services.

    Returns:
        What must not be, and what a person should know.
    """
    refused, known = [], []
    for entry in found:
        network = ipaddress.ip_network(entry["network"])
        if network.prefixlen == 0 or _laid_by_a_pod_network(entry, network, pods, services):
            continue
        for name, subnets in ((PODS, pods), (SERVICES, services)):
            for subnet in subnets:
                if not overlap(network, subnet):
                    continue
                wide = entry["kind"] == "route" and network.prefixlen < subnet.prefixlen
                (known if wide else refused).append(
                    Problem(
                        host=host,
                        subject=f"{entry['kind']} {network}" + (f" on {entry['device']}" if entry["device"] else ""),
                        found=f"it {'holds' if wide else 'overlaps'} {subnet} of {name}",
                        wanted="networks of hosts apart from the cluster's own",
                        action="See that nothing behind this route has an address there."
                        if wide
                        else f"Choose another {name}, or take this {entry['kind']} away.",
                    )
                )
    return refused, known


def check_family(host: str, address: str, services: Sequence[Network]) -> list[Problem]:
    """An API server advertises an address of the family that its first service subnet has, or does not start."""
    if not services or not address:
        return []
    wanted = f"one of IPv{services[0].version}, as {SERVICES} begins with"
    try:
        if ipaddress.ip_address(address).version == services[0].version:
            return []
    except ValueError:
        return [Problem(host, "address", f"{address!r}, which is none", wanted, "Correct its cluster_node_address.")]
    action = f"Set its cluster_node_address, or begin {SERVICES} and {PODS} with its family."
    return [Problem(host, "address", address, wanted, action)]


def check_fixed(wanted: Mapping[str, Sequence[Network]], found: Mapping[str, str]) -> list[Problem]:
    """The subnets of a cluster that runs are what they were at its birth.

    Args:
        wanted: by variable.
        found: by variable, as kubeadm wrote them down; one that it did not is missing.
    """
    problems = []
    for name, networks in sorted(wanted.items()):
        text = found.get(name)
        if not networks or not text or _same(text, networks):
            continue
        problems.append(
            Problem(
                host=CLUSTER,
                subject=name,
                found=f"{text}, with which this cluster was begun",
                wanted=",".join(map(str, networks)),
                action=f"It cannot be changed later: set {name} to {text}.",
            )
        )
    return problems


def _same(text: str, networks: Sequence[Network]) -> bool:
    try:
        return parse(text) == tuple(networks)
    except ValueError:
        return False


def overlap(one: Network, other: Network) -> bool:
    """Whether two networks, of whatever family, have an address in common."""
    return one.version == other.version and one.overlaps(other)


def _laid_by_a_pod_network(
    entry: Mapping[str, str], network: Network, pods: Sequence[Network], services: Sequence[Network]
) -> bool:
    """What this cluster's own pods and services left on a host that was a node before."""
    ours = _POD_DEVICE.match(entry["device"]) or entry["protocol"] in _POD_PROTOCOLS
    inside = any(overlap(network, other) and network.prefixlen >= other.prefixlen for other in [*pods, *services])
    return bool(ours) and inside
