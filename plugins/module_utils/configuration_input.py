# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configurations that users write, held against the APIs' fields and against the cluster's other variables."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from . import config_check, patches, versions
from .config_values import TYPES, show
from .problems import CLUSTER, Problem

KINDS = {
    "cluster_configuration": "ClusterConfiguration",
    "cluster_init_configuration": "InitConfiguration",
    "cluster_join_configuration": "JoinConfiguration",
    "cluster_kubelet_configuration": "KubeletConfiguration",
    "cluster_kube_proxy_configuration": "KubeProxyConfiguration",
}
# What a group or a host may have of its own.
OF_HOSTS = (*KINDS, "cluster_patches")

_EACH_RUN = "Remove it: it is made for each run."
_SET = "Set {} instead."
_NODE_NAME = _SET.format("the host's cluster_node_name")
# Fields that have no place there, and what to do instead: other variables say them, and the plan and other roles read
# those; or the run itself makes them. Laid over one another, the two could differ unseen.
_OWNED: dict[str, dict[str, str]] = {
    "cluster_configuration": {
        "kubernetesVersion": _SET.format("cluster_kubernetes_version"),
        "clusterName": _SET.format("cluster_name"),
        "controlPlaneEndpoint": _SET.format("cluster_control_plane_endpoint"),
        "imageRepository": _SET.format("cluster_image_repository"),
        "networking.podSubnet": _SET.format("cluster_pod_subnet"),
        "networking.serviceSubnet": _SET.format("cluster_service_subnet"),
        "networking.dnsDomain": _SET.format("cluster_dns_domain"),
        "etcd.external": "Set cluster_etcd_topology to external, with hosts in the group etcd or with the "
        "cluster_etcd_endpoints of an etcd that somebody else runs.",
    },
    "cluster_init_configuration": {
        "nodeRegistration.name": _NODE_NAME,
        "localAPIEndpoint.advertiseAddress": _SET.format("the host's cluster_node_address"),
        "skipPhases": _SET.format("cluster_kubeadm_skip_phases"),
        "bootstrapTokens": _EACH_RUN,
        "certificateKey": _EACH_RUN,
        "patches": _SET.format("cluster_patches"),
        "dryRun": "Run with --check instead.",
    },
    "cluster_join_configuration": {
        "nodeRegistration.name": _NODE_NAME,
        "discovery": _EACH_RUN,
        "controlPlane": _EACH_RUN,
        "patches": _SET.format("cluster_patches"),
        "dryRun": "Run with --check instead.",
    },
}
# What the collection's other parts rely on.
_FIXED: dict[str, dict[str, Any]] = {
    "cluster_configuration": {"certificatesDir": "/etc/kubernetes/pki"},
    "cluster_init_configuration": {"localAPIEndpoint.bindPort": 6443},
    "cluster_join_configuration": {"caCertPath": "/etc/kubernetes/pki/ca.crt"},
    "cluster_kubelet_configuration": {"staticPodPath": "/etc/kubernetes/manifests"},
}

# Where fields are laid over those that the run itself says.
_LAID_OVER = {
    "cluster_init_configuration": ("nodeRegistration", "localAPIEndpoint"),
    "cluster_join_configuration": ("nodeRegistration",),
}


def check_all(variables: Mapping[str, Any], of_hosts: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Everything that is wrong with the configurations of a cluster, those of single hosts included.

    Args:
        variables: the cluster's variables, by name.
        of_hosts: by inventory name, the variables ``OF_HOSTS`` that this host has of its own.
    """
    values: dict[tuple[str, str], tuple[Any, set[str]]] = {}
    for host, own in of_hosts.items():
        for name in own.keys() & {*OF_HOSTS}:
            values.setdefault((name, repr(own[name])), (own[name], set()))[1].add(host)
    problems = []
    for name in OF_HOSTS:
        shared = variables.get(name)
        if shared is not None:
            values.pop((name, repr(shared)), None)
            problems += check(name, shared, variables)
    for (name, _text), (value, hosts) in values.items():
        problems += check(name, value, variables, min(hosts) if len(hosts) == 1 else CLUSTER)
    return problems


def check(name: str, body: Any, variables: Mapping[str, Any], host: str = CLUSTER) -> list[Problem]:
    """Everything that is wrong with one of the variables ``OF_HOSTS``.

    Args:
        name: the variable.
        body: its value.
        variables: the cluster's other variables, by name; those that are missing are not compared.
        host: who has this value.
    """
    try:
        version = versions.parse(str(variables.get("cluster_kubernetes_version")))
    except ValueError:
        version = None
    if name not in KINDS:
        return patches.check(name, body, version, host)
    problems = config_check.check(KINDS[name], body, version, name, host)
    if not isinstance(body, Mapping):
        return problems
    for path, action in _OWNED.get(name, {}).items():
        if _get(body, path) is not None:
            wanted = "nothing" if action == _EACH_RUN else "nothing here, for a variable of its own says it"
            problems.append(Problem(host, f"{name}.{path}", "a value", wanted, action))
    for path, fixed in _FIXED.get(name, {}).items():
        value = _get(body, path)
        if value is not None and value != fixed:
            problems.append(Problem(host, f"{name}.{path}", show(value), show(fixed), "Remove it."))
    for field in _LAID_OVER.get(name, ()):
        if field in body and body[field] is None:
            action = "Write fields below it, or remove it: it would take away what is said there otherwise."
            problems.append(Problem(host, f"{name}.{field}", "nothing", "a mapping of fields", action))
    contradictions = {
        "cluster_kubelet_configuration": _kubelet,
        "cluster_kube_proxy_configuration": _kube_proxy,
        "cluster_init_configuration": _node,
        "cluster_join_configuration": _node,
    }.get(name, _nothing)
    for path, found, wanted, action in contradictions(body, variables):
        problems.append(Problem(host, f"{name}.{path}", found, wanted, action))
    return problems


def names(variables: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the names that variables give to the cluster itself."""
    problems = []
    name, domain = variables.get("cluster_name"), variables.get("cluster_dns_domain")
    if name is not None and not (isinstance(name, str) and name and name.isprintable() and not set(name) & set(" '\"")):
        wanted = "a name without spaces and quotes"
        problems.append(Problem(CLUSTER, "cluster_name", show(name), wanted, "It goes into kubeconfigs: correct it."))
    if domain is not None and not TYPES["domain"].accepts(domain):
        wanted = TYPES["domain"].wanted
        problems.append(Problem(CLUSTER, "cluster_dns_domain", show(domain), wanted, "Correct it, as cluster.local."))
    return problems


def warnings(variables: Mapping[str, Any]) -> list[Problem]:
    """What works, and will not for ever."""
    try:
        version = versions.parse(str(variables.get("cluster_kubernetes_version")))
    except ValueError:
        return []
    proxy = variables.get("cluster_kube_proxy_configuration")
    if version.minor < 35 or not isinstance(proxy, Mapping) or proxy.get("mode") != "ipvs":
        return []
    name, wanted = "cluster_kube_proxy_configuration.mode", "iptables or nftables"
    return [Problem(CLUSTER, name, "'ipvs'", wanted, "Kubernetes 1.35 deprecates it: plan to change.")]


_Contradictions = Iterator[tuple[str, str, str, str]]


def _nothing(_body: Mapping[str, Any], _variables: Mapping[str, Any]) -> _Contradictions:
    yield from ()


def _kubelet(kubelet: Mapping[str, Any], variables: Mapping[str, Any]) -> _Contradictions:
    for field, variable in (("cgroupDriver", "cluster_cgroup_driver"), ("clusterDomain", "cluster_dns_domain")):
        value, wanted = kubelet.get(field), variables.get(variable)
        if isinstance(value, str) and wanted is not None and value != wanted:
            yield field, show(value), f"{show(wanted)}, as {variable} says", f"Remove it, and set {variable}."
    services = _networks(variables.get("cluster_service_subnet"))
    skipped = variables.get("cluster_kubeadm_skip_phases") or ()
    if not services or "addon" in skipped or "addon/coredns" in skipped:
        return
    # kubeadm gives its DNS the tenth address of each network of services (constants.GetDNSIP). Elsewhere something of
    # the site's own may answer, such as a cache on each node.
    tenths = [network[10] for network in services if network.num_addresses > 10]
    dns = kubelet.get("clusterDNS")
    for index, text in enumerate(dns if isinstance(dns, (list, tuple)) else ()):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if any(address in network for network in services) and address not in tenths:
            wanted = f"{' or '.join(map(str, tenths))}, where kubeadm lets DNS answer, or an address of your own"
            yield f"clusterDNS[{index}]", show(text), wanted, "Correct it, or remove it: kubeadm sets it."


def _kube_proxy(proxy: Mapping[str, Any], variables: Mapping[str, Any]) -> _Contradictions:
    value, wanted = proxy.get("clusterCIDR"), variables.get("cluster_pod_subnet")
    if isinstance(value, str) and wanted is not None and value and _networks(value) != _networks(wanted):
        yield "clusterCIDR", show(value), f"{show(wanted)}, as cluster_pod_subnet says", "Remove it: kubeadm sets it."


def _node(node: Mapping[str, Any], variables: Mapping[str, Any]) -> _Contradictions:
    given = _get(node, "nodeRegistration.kubeletExtraArgs")
    for name, value in config_check.readable_arguments(given):
        here = "nodeRegistration.kubeletExtraArgs"
        if name == "hostname-override":
            yield here, f"the flag {name}", "nothing here, for a variable of its own says it", _NODE_NAME
        for flag, variable in (("cgroup-driver", "cluster_cgroup_driver"), ("cluster-domain", "cluster_dns_domain")):
            wanted = variables.get(variable)
            if name == flag and wanted is not None and value != wanted:
                found = f"the flag {name} with {show(value)}"
                yield here, found, f"{show(wanted)}, as {variable} says", f"Remove it, and set {variable}."


def _get(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _networks(text: Any) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks of a list with commas; none where it is malformed, which others tell."""
    try:
        return [ipaddress.ip_network(part.strip()) for part in str(text or "").split(",") if part]
    except ValueError:
        return []
