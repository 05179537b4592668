# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pod network that a manifest brings: where it comes from, what it must agree with, and what is recorded of it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import subnets, versions
from .problems import CLUSTER, Problem

BRIDGE, CALICO, CILIUM, FLANNEL, MANIFEST, NONE = "bridge", "calico", "cilium", "flannel", "manifest", "none"
NETWORKS = (BRIDGE, CALICO, CILIUM, FLANNEL, MANIFEST, NONE)
# Networks that come as manifests, and of these the ones whose subnet is written here and not by the user.
FROM_MANIFESTS = (CALICO, CILIUM, FLANNEL, MANIFEST)
_SUBNET_IS_OURS = (CALICO, FLANNEL)
# Laid out here for one IPv4 network; a manifest of the user's own may do more.
_IPV4_ALONE = (BRIDGE, CALICO, FLANNEL)
# Those that read each node's part of the pod subnet from its Node object.
_NODE_NETWORKS = (BRIDGE, FLANNEL)

# Where container runtimes look for CNI configuration, and what the bridge's agent lays there.
CONFIGURATIONS = "/etc/cni/net.d"
BRIDGE_CONFIGURATION = "10-bridge.conflist"
RECORD_NAMESPACE, RECORD_NAME = "kube-system", "kubeadm-ha-network"
RECORD = f"/api/v1/namespaces/{RECORD_NAMESPACE}/configmaps/{RECORD_NAME}"

_CALICO_URL = "https://raw.githubusercontent.com/projectcalico/calico/{release}/manifests/calico.yaml"
_FLANNEL_URL = "https://raw.githubusercontent.com/flannel-io/flannel/{release}/Documentation/kube-flannel.yml"
# The minor version of Kubernetes from which on a release is taken, that release, and its manifest's SHA-256.
# Source: the versions that each release's system requirements name; Calico's tags before v3.24 hold no manifest.
_CALICO_RELEASES = (
    (36, "v3.32.1", "a1df919d9721cf667accdc3e72848911b0cb25cfab7d2478ad0c996302c95744"),
    (32, "v3.31.7", "d6d8a489a4ed8e5b8efd8b339047b496ca657b55ee2e3618e791507b0a853e8d"),
    (29, "v3.29.7", "b200cb3c2c7341717abe98e4acc80a13117bcd2c9c46ad46e8c209c5753f0b2f"),
    (26, "v3.26.5", "2468a8c939658b959860b0e78c3d2f420c53bb08af7511f3d335e051f9db8b22"),
    (22, "v3.24.5", "1e8825b3bc56bd1b2a7565783630a97a09a4fd9f92767d013e4201cf8f88812c"),
)
_FLANNEL_RELEASES = ((20, "v0.28.9", "e875824be2f552b45711dbda91af81b17eb961d00025d914d9fef18fad8f09c0"),)

_NET_CONF = "net-conf.json "
_CHECKSUM = re.compile(r"^sha256:[0-9a-f]{64}$")
# Workloads, whose pods may be looked into.
_POD_TEMPLATES = ("DaemonSet", "Deployment", "StatefulSet", "Job")

Document = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Where a manifest is read.

    Attributes:
        place: a path on the controller, or a URL.
        checksum: ``sha256:`` and 64 hexadecimal digits; None where whatever is there will do.
    """

    place: str
    checksum: str | None = None

    @property
    def is_url(self) -> bool:
        return "://" in self.place


def sources(network: str, manifests: Any, kubernetes: str) -> list[Source]:
    """The manifests of a network: the user's, else upstream's for this version of Kubernetes.

    Args:
        network: one of ``NETWORKS``.
        manifests: a list of places, or of mappings with ``source`` and perhaps ``checksum``; may be empty.
        kubernetes: the version.
    """
    if manifests:
        return [Source(entry) if isinstance(entry, str) else _source(entry) for entry in manifests]
    url, releases = {CALICO: (_CALICO_URL, _CALICO_RELEASES), FLANNEL: (_FLANNEL_URL, _FLANNEL_RELEASES)}.get(
        network, ("", ())
    )
    minor = versions.parse(kubernetes).minor
    found = next((entry for entry in releases if minor >= entry[0]), None)
    return [Source(url.format(release=found[1]), f"sha256:{found[2]}")] if found else []


def _source(entry: Mapping[str, Any]) -> Source:
    return Source(str(entry["source"]), entry.get("checksum"))


def check_choice(variables: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with ``cluster_network`` and what belongs to it, before any manifest is read.

    Args:
        variables: values of ``cluster_*`` variables, by name; versions and subnets may be malformed.
    """
    network = variables.get("cluster_network") or BRIDGE
    manifests = variables.get("cluster_network_manifests") or []
    if network not in NETWORKS or not isinstance(manifests, (list, tuple)):
        return []  # refused elsewhere
    problems = _malformed(manifests)
    if problems:
        return problems
    if manifests and network not in FROM_MANIFESTS:
        wanted = f"none, for cluster_network {network} reads none"
        action = "Take them away, or set cluster_network to manifest."
        problems.append(Problem(CLUSTER, "cluster_network_manifests", f"{len(manifests)} of them", wanted, action))
    problems += _no_manifest(network, manifests, variables)
    try:
        pods = subnets.parse(variables["cluster_pod_subnet"])
    except ValueError:
        return problems
    if network in _IPV4_ALONE and [pod.version for pod in pods] != [4]:
        wanted = f"one IPv4 network, which is all that cluster_network {network} lays out"
        action = "Choose one, or set cluster_network to manifest and bring a manifest for these networks."
        problems.append(Problem(CLUSTER, subnets.PODS, ", ".join(map(str, pods)), wanted, action))
    if network in _NODE_NETWORKS and not subnets.allocates_node_networks(variables):
        subject, wanted = "allocate-node-cidrs in cluster_configuration", f"true: {network} reads each node's network"
        problems.append(Problem(CLUSTER, subject, "false", wanted, "Take it away, or choose another network."))
    return problems


def _malformed(manifests: Iterable[Any]) -> list[Problem]:
    subject, action = "cluster_network_manifests", "Correct it."
    problems = []
    for entry in manifests:
        fields = {"source": entry} if isinstance(entry, str) else entry
        wanted = "a path, a URL, or a mapping of source and checksum"
        if not isinstance(fields, Mapping) or not fields.get("source") or set(fields) - {"source", "checksum"}:
            problems.append(Problem(CLUSTER, subject, repr(entry), wanted, action))
        elif fields.get("checksum") is not None and not _CHECKSUM.match(str(fields["checksum"])):
            wanted = "sha256: and 64 lower case hexadecimal digits"
            problems.append(Problem(CLUSTER, f"checksum of {fields['source']}", fields["checksum"], wanted, action))
    return problems


def _no_manifest(network: str, manifests: Sequence[Any], variables: Mapping[str, Any]) -> list[Problem]:
    try:
        if network not in FROM_MANIFESTS or sources(network, manifests, str(variables["cluster_kubernetes_version"])):
            return []
    except ValueError:
        return []  # of the version, and refused elsewhere
    why = {
        CILIUM: "Cilium's own are rendered by Helm: helm template cilium cilium/cilium --namespace kube-system",
        CALICO: f"no release with a manifest is known for {variables['cluster_kubernetes_version']}",
    }.get(network, "cluster_network manifest has none of its own")
    action = "Name a file on this controller, or a URL."
    return [Problem(CLUSTER, "cluster_network_manifests", "none", f"a manifest: {why}", action)]


def prepare(
    network: str,
    read: Iterable[tuple[str, Sequence[Any]]],
    pods: Sequence[subnets.Network],
    cni_bin_dir: str | None,
    *,
    complete: bool = True,
) -> tuple[list[Document], list[Problem]]:
    """The objects to apply, and what stands against them.

    Args:
        network: one of ``NETWORKS``.
        read: for each manifest where it comes from and its documents.
        pods: networks of pods.
        cni_bin_dir: where the nodes' runtime looks for CNI plugins; None where nobody knows.
        complete: whether these are all manifests that there are.
    """
    objects: list[Document] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for place, documents in read:
        for number, document in enumerate(_flat(documents), start=1):
            if not _is_object(document):
                wanted = "an object with apiVersion, kind and metadata.name"
                # Its fields alone, for its text may hold secrets.
                fields = ", ".join(map(str, document)) if isinstance(document, Mapping) else type(document).__name__
                found = f"document {number}: {fields or 'nothing'}"
                problems.append(Problem(CLUSTER, place, found, wanted, "Correct the manifest."))
                continue
            if name(document) in seen:
                found = f"{name(document)}, also in {seen[name(document)]}"
                problems.append(Problem(CLUSTER, place, found, "each object once", "Take one of them away."))
            seen[name(document)] = place
            objects.append(copy.deepcopy(document))
    set_or_not_ours = network not in _SUBNET_IS_OURS or _set_subnet(network, objects, pods)
    if complete and not problems and not set_or_not_ours:
        wanted = {
            FLANNEL: "a ConfigMap with net-conf.json, as Flannel's manifest has",
            CALICO: "a DaemonSet with a container calico-node, as Calico's manifest has",
        }[network]
        action = "Correct cluster_network_manifests, or set cluster_network to manifest."
        problems.append(Problem(CLUSTER, f"manifest of {network}", "no place for the pod subnet", wanted, action))
    for document in objects:
        problems += _contradictions(document, seen[name(document)], pods)
        problems += _plugins_elsewhere(document, seen[name(document)], cni_bin_dir)
    return objects, problems


def name(document: Mapping[str, Any]) -> str:
    """An object in words: kind, group, namespace and name."""
    metadata = document["metadata"]
    group = document["apiVersion"].rpartition("/")[0]
    kind = document["kind"] + (f".{group}" if group else "")
    return f"{kind} " + (f"{metadata['namespace']}/" if metadata.get("namespace") else "") + str(metadata["name"])


def record(network: str, objects: Iterable[Mapping[str, Any]]) -> Document:
    """What is kept in the cluster of its network, so that a later run knows which one that is and what it brought."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": RECORD_NAME, "namespace": RECORD_NAMESPACE},
        "data": {"network": network, "objects": "".join(f"{line}\n" for line in sorted(map(name, objects)))},
    }


def check_record(network: str, objects: Iterable[str], found: Mapping[str, Any]) -> tuple[list[Problem], list[Problem]]:
    """Whether the network of a cluster that runs is the one that is wanted.

    Args:
        network: the one that is wanted.
        objects: names of what its manifests bring.
        found: ``network`` and ``objects`` of the record; empty where the cluster has none.

    Returns:
        What must not be, and what a person should know.
    """
    there = found.get("network")
    if not there:
        return [], []
    if network == NONE:
        action = "It stays as it is, and is kept up by nobody."
        return [], [Problem(CLUSTER, "cluster_network", f"{there} in the cluster", "none", action)]
    if there != network:
        action = (
            f"Pods of two networks do not reach each other, so nothing is exchanged under them. Set it to {there}; or, "
            f"once you have taken that network away by hand, delete the ConfigMap {RECORD_NAME} of {RECORD_NAMESPACE}."
        )
        return [Problem(CLUSTER, "cluster_network", f"{there} in the cluster", network, action)], []
    left = sorted(set(found.get("objects") or ()) - set(objects))
    if not left:
        return [], []
    action = "They stay: nothing is removed unasked. Delete them where the network no longer needs them."
    return [], [Problem(CLUSTER, "pod network", ", ".join(left), "what its manifests bring now", action)]


def check_configurations(host: str, network: str, found: Iterable[str]) -> tuple[list[Problem], list[Problem]]:
    """What a host that becomes a node has of other pod networks: a runtime takes the first configuration by name.

    Args:
        host: its inventory name.
        network: the one that is wanted.
        found: names of the files in ``CONFIGURATIONS``.

    Returns:
        What must not be, and what a person should know.
    """
    others = sorted(set(found) - ({BRIDGE_CONFIGURATION} if network == BRIDGE else set()))
    if not others:
        return [], []
    subject, wanted = f"CNI configuration in {CONFIGURATIONS}", f"that of cluster_network {network} alone, or first"
    if network == BRIDGE and others[0] < BRIDGE_CONFIGURATION:
        action = "Remove what is from another network: runtimes take the first file by name."
        return [Problem(host, subject, ", ".join(others), wanted, action)], []
    if network != BRIDGE and BRIDGE_CONFIGURATION in others:
        action = "Stop and disable bridge-network.service, then remove this file."
        return [Problem(host, subject, BRIDGE_CONFIGURATION, wanted, action)], []
    action = "Runtimes take the first file by name: remove what is from another network."
    return [], [Problem(host, subject, ", ".join(others), wanted, action)]


def _flat(documents: Iterable[Any]) -> Iterator[Any]:
    """Documents without empty ones, and with lists as what they hold."""
    for document in documents:
        if isinstance(document, Mapping) and document.get("kind") == "List" and isinstance(document.get("items"), list):
            yield from _flat(document["items"])
        elif document is not None:
            yield document


def _is_object(document: Any) -> bool:
    return (
        isinstance(document, Mapping)
        and all(isinstance(document.get(key), str) for key in ("apiVersion", "kind"))
        and isinstance(document.get("metadata"), Mapping)
        and isinstance(document["metadata"].get("name"), str)
    )


def _set_subnet(network: str, objects: Sequence[Document], pods: Sequence[subnets.Network]) -> bool:
    """Write the pod subnet where this network has it; False where there is no such place."""
    subnet = next((str(pod) for pod in pods if pod.version == 4), "")
    done = False
    for document in objects:
        if network == FLANNEL and document["kind"] == "ConfigMap":
            settings = _json(_mapping(document.get("data")).get("net-conf.json"))
            if isinstance(settings, dict):
                done = True
                if settings.get("Network") != subnet:
                    document["data"]["net-conf.json"] = json.dumps({**settings, "Network": subnet}, indent=2) + "\n"
        if network == CALICO and document["kind"] == "DaemonSet":
            for container in _containers(document, ("containers",)):
                if container.get("name") == "calico-node":
                    others = [e for e in _mappings(container.get("env")) if e.get("name") != "CALICO_IPV4POOL_CIDR"]
                    container["env"] = [*others, {"name": "CALICO_IPV4POOL_CIDR", "value": subnet}]
                    done = True
    return done


def _contradictions(document: Mapping[str, Any], place: str, pods: Sequence[subnets.Network]) -> list[Problem]:
    """Networks of pods in an object that the pod subnet does not hold."""
    return [
        Problem(
            host=CLUSTER,
            subject=f"{name(document)} in {place}",
            found=f"{key}: {text}",
            wanted=f"{subnets.PODS}, {', '.join(map(str, pods))}",
            action=f"Make the two agree: correct the manifest, or {subnets.PODS}.",
        )
        for key, text in _networks_said(document)
        if not _agrees(key, text, pods)
    ]


def _agrees(key: str, text: str, pods: Sequence[subnets.Network]) -> bool:
    """Flannel's network holds those of all nodes, so it is the pod subnet; pools may be a part of it."""
    try:
        networks = subnets.parse(re.sub(r"[,\s]+", ",", text.strip()))
    except ValueError:
        return False
    if key.startswith(_NET_CONF):
        return all(network in pods for network in networks)
    return all(any(subnets.overlap(n, pod) and n.prefixlen >= pod.prefixlen for pod in pods) for n in networks)


def _networks_said(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pod networks that an object names, in the places that the well-known networks have for them, as key and text.

    Sources: Flannel's Documentation/configuration.md; Calico's reference of calico/node, of IPPool and of the
    operator's Installation; Cilium's flags cluster-pool-ipv{4,6}-cidr.
    """
    kind, spec = document["kind"], _mapping(document.get("spec"))
    if kind == "ConfigMap":
        data = _mapping(document.get("data"))
        flannel = _json(data.get("net-conf.json"))
        yield from _pairs(flannel, ("Network", "IPv6Network"), _NET_CONF)
        yield from _pairs(data, ("cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr"))
    elif kind in _POD_TEMPLATES:
        for container in _containers(document, ("containers", "initContainers")):
            variables = {str(entry.get("name")): entry.get("value") for entry in _mappings(container.get("env"))}
            yield from _pairs(variables, ("CALICO_IPV4POOL_CIDR", "CALICO_IPV6POOL_CIDR"))
    elif kind == "IPPool" and "projectcalico.org" in document["apiVersion"]:
        yield from _pairs(spec, ("cidr",))
    elif kind == "Installation" and document["apiVersion"].startswith("operator.tigera.io"):
        for pool in _mappings(_mapping(spec.get("calicoNetwork")).get("ipPools")):
            yield from _pairs(pool, ("cidr",))


def _pairs(values: Any, keys: Iterable[str], prefix: str = "") -> Iterator[tuple[str, str]]:
    found = _mapping(values)
    yield from ((prefix + key, str(found[key])) for key in keys if found.get(key))


def _plugins_elsewhere(document: Mapping[str, Any], place: str, cni_bin_dir: str | None) -> list[Problem]:
    """A network that installs its CNI plugins where no runtime looks for them leaves every node NotReady."""
    if not cni_bin_dir or document["kind"] != "DaemonSet":
        return []
    volumes = _mappings(_pod(document).get("volumes"))
    paths = {str(_mapping(volume.get("hostPath")).get("path", "")).rstrip("/") for volume in volumes}
    return [
        Problem(
            host=CLUSTER,
            subject="cluster_cni_bin_dir",
            found=cni_bin_dir,
            wanted=f"{path}, where {name(document)} in {place} installs its plugins",
            action="Set it so, or correct the manifest.",
        )
        for path in sorted(paths)
        if path.endswith("/cni/bin") and path != cni_bin_dir.rstrip("/")
    ]


def _pod(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_mapping(_mapping(document.get("spec")).get("template")).get("spec"))


def _containers(document: Mapping[str, Any], keys: Iterable[str]) -> Iterator[dict[str, Any]]:
    for key in keys:
        yield from _mappings(_pod(document).get(key))


def _mapping(value: Any) -> Mapping[str, Any]:
    """What is a mapping, else an empty one: a field of another type is the API server's to refuse."""
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None
