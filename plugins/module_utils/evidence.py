# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host shows of a cluster: files, certificates, and what its own API server and etcd answer.

This is the only place that looks; what it means is decided in ``plan``. Nothing here returns a secret.
"""

from __future__ import annotations

import contextlib
import datetime
import glob
import os
import re
import shutil
import socket
import time
from collections.abc import Sequence
from typing import Any

from . import (
    apt_tools,
    container_runtimes,
    etcd,
    etcd_data,
    etcd_look,
    etcd_servers,
    kube_api,
    kubeconfig,
    pki,
    pod_network,
    static_pods,
    subnets,
    versions,
    x509,
)
from .external_etcd import FILES
from .files import read_each, read_text
from .https_json import RequestFailed

KUBERNETES = "/etc/kubernetes"
MANIFESTS = f"{KUBERNETES}/manifests"
CA = kube_api.CLUSTER_CA
KUBELET = "/var/lib/kubelet"
KUBELET_CONF = f"{KUBERNETES}/kubelet.conf"
BOOTSTRAP_CONF = f"{KUBERNETES}/bootstrap-kubelet.conf"
# The user name of a kubelet is this and its node's name (Kubernetes' node authorization).
NODE_USER = "system:node:"
ETCD_MANIFEST = f"{MANIFESTS}/etcd.yaml"
ETCD_DATA_DIR = "/var/lib/etcd"
ETCD_CLIENT_PORT = 2379
# What makes the kubelet of an etcd host run static pods without a cluster.
SERVICE_MANAGER = "/etc/systemd/system/kubelet.service.d/20-etcd-service-manager.conf"
HAPROXY = "/etc/haproxy/haproxy.cfg"
POD_LOGS = "/var/log/pods"
LOG_CUT = b"Was the raft log corrupted, truncated, or lost?"
# Every control plane carries it, and no worker.
SHARED_KEY = f"{KUBERNETES}/pki/sa.key"
CONTROL_PLANE_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
POD_MANIFESTS = tuple(f"{MANIFESTS}/{pod}.yaml" for pod in CONTROL_PLANE_PODS)

# Phases of kubeadm init that leave objects in the API, in their order, and those objects (the kubelet's is versioned).
INIT_PHASES = ("upload-config/kubeadm", "upload-config/kubelet", "bootstrap-token", "addon/coredns", "addon/kube-proxy")
_CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
KUBEADM_CONFIG = f"{_CONFIG_MAPS}/kubeadm-config"
_LASTING_OBJECTS = (
    "/api/v1/namespaces/kube-public/configmaps/cluster-info",
    "/apis/apps/v1/namespaces/kube-system/deployments/coredns",
    "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy",
)

# What kubeadm init or join leave, in the order in which the plan wants to speak of them.
_TRACES = (
    KUBELET_CONF,
    BOOTSTRAP_CONF,
    kube_api.ADMIN_CONF,
    kube_api.CONTROLLER_MANAGER_CONF,
    f"{KUBERNETES}/scheduler.conf",
    *pki.paths(pki.ALL),
    *POD_MANIFESTS,
    ETCD_MANIFEST,
    f"{KUBELET}/config.yaml",
)


def collect(
    *,
    endpoint: str | None,
    version: versions.Version,
    timeout: float,
    etcd_data_dir: str = ETCD_DATA_DIR,
    etcd_client_port: int = ETCD_CLIENT_PORT,
    etcd_prefix: str | None = None,
    external_etcd: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything this host shows.

    Args:
        endpoint: the control plane's.
        version: the one that is wanted.
        timeout: seconds for one answer.
        etcd_data_dir: of its own member.
        etcd_client_port: likewise.
        etcd_prefix: below which API servers keep their keys there; None where they are not to be counted.
        external_etcd: what to ask of an etcd that is not its own; see ``external_etcd.question``.

    Returns:
        ``address``: the address that this host would use towards the endpoint. ``package_manager``: the name of the
        Ansible module that installs packages. ``packages_interrupted``: dpkg left off in the middle of its work.
        ``traces``: the files of kubeadm's that exist. ``ca``: public key hash of the cluster CA found here, by its file
        or else by the kubelet's kubeconfig, or None. ``public_keys``: the hash of every certificate and key of a
        node's, by path. ``problems``: what makes the evidence unusable, each as subject, found, wanted and action.
        ``has_run``: the kubelet has been given a certificate by a running cluster. ``identity``: the node that this
        certificate speaks for, or None. ``endpoint_addresses``: what the endpoint's host name means here.
        ``cri_socket``: the container runtime that the kubelet uses, or None. ``endpoint``: what answers there.
        ``api``: the cluster as this host's own API server tells it, or None where there is none. ``etcd``: the members,
        likewise. ``etcd_files``: what files tell of the host's member; see ``etcd_files``.
        ``etcd_servers``: the endpoints of etcd that its API server's manifest names. ``external_etcd``: see
        ``etcd_look.look``; None where that is not asked for. ``back_ends``: see ``back_ends``.
    """
    asked = external_etcd or {}
    certificates = look_at_certificates(tuple(asked[name] for name in FILES if name in asked))
    servers = etcd_servers.of_manifest(read_text(POD_MANIFESTS[0]))
    found = traces(etcd_data_dir)
    own_etcd = etcd_state(timeout, etcd_client_port, etcd_prefix) if ETCD_MANIFEST in found else None
    return {
        "address": _address(endpoint),
        "package_manager": package_manager(),
        "packages_interrupted": apt_tools.interrupted(),
        "traces": found,
        "ca": certificates.public_keys.get(CA) or kubelet_ca(),
        "public_keys": certificates.public_keys,
        "problems": [[one.subject, one.found, one.wanted, one.action] for one in certificates.problems],
        "has_run": has_run(),
        "identity": identity(),
        "endpoint_addresses": _endpoint_addresses(endpoint),
        "cri_socket": cri_socket(version),
        "endpoint": _endpoint(endpoint, timeout),
        "api": api_state(version, timeout) if kube_api.ADMIN_CONF in found else None,
        "etcd": own_etcd,
        "etcd_files": etcd_files(etcd_data_dir, silent=own_etcd is not None and not own_etcd["answers"]),
        "back_ends": back_ends(read_text(HAPROXY) or ""),
        "etcd_servers": servers,
        "external_etcd": _external_etcd(asked, servers, timeout) if asked else None,
    }


def _external_etcd(asked: dict[str, Any], servers: list[str], timeout: float) -> dict[str, Any]:
    """What is asked of the endpoints that are wanted is asked of those in use as well."""
    endpoints = sorted({*asked["endpoints"], *servers})
    return etcd_look.look(endpoints, *(asked[name] for name in FILES), asked["prefix"], timeout)


def traces(etcd_data_dir: str = ETCD_DATA_DIR) -> list[str]:
    """The files of kubeadm's that this host carries."""
    return [path for path in (*_TRACES, f"{etcd_data_dir}/member") if os.path.lexists(path)]


def cri_socket(version: versions.Version) -> str | None:
    """The container runtime that the kubelet was told to use, as far as kubeadm wrote it down."""
    flags, instance = read_text(f"{KUBELET}/kubeadm-flags.env"), read_text(f"{KUBELET}/instance-config.yaml")
    return container_runtimes.socket_of_kubelet(flags, instance, version)


def package_manager() -> str:
    """The Ansible module that installs packages here; ``auto`` where none of these tools is found."""
    tools = {"apt": "apt-get", "dnf": "dnf", "yum": "yum", "zypper": "zypper"}
    return next((name for name, tool in tools.items() if shutil.which(tool)), "auto")


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """``host:port``, IPv6 in brackets, as its two parts.

    Raises:
        ValueError: not of that form.
    """
    host, separator, port = endpoint.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{endpoint!r}: an IPv6 address goes in brackets")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{endpoint!r} is not host:port")
    return host, int(port)


def _address(endpoint: str | None) -> str | None:
    """The source address that the kernel picks towards the endpoint; no packet is sent."""
    try:
        host, port = split_endpoint(endpoint) if endpoint else ("192.0.2.1", 9)
        family, kind, protocol, _name, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(target)
            return probe.getsockname()[0]
    except (OSError, ValueError):  # a name that cannot be resolved, or cannot be a name
        return None


def _endpoint_addresses(endpoint: str | None) -> list[str]:
    try:
        host, port = split_endpoint(endpoint or "")
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except (OSError, ValueError):
        return []


def look_at_certificates(etcd_client: Sequence[str] = (), settle: float = 1.0) -> pki.Findings:
    """What this host's certificates and keys say, the kubelet's own among them.

    Args:
        etcd_client: see ``pki.shared_pairs``.
        settle: seconds after which to look again at what seems wrong: a kubeadm that has outlived the controller which
            started it may be writing just now.
    """
    kubelet = pki.Pair(kube_api.KUBELET_CERTIFICATE, kube_api.KUBELET_CERTIFICATE)
    known = pki.paths(pki.ALL)
    others = [pair for pair in pki.shared_pairs(etcd_client) if pair.public not in known] if etcd_client else []
    pairs = (*pki.ALL, kubelet, *others)
    found = pki.judge(pairs, read_each(pki.paths(pairs)), datetime.datetime.now(datetime.timezone.utc))
    if found.problems and settle:
        time.sleep(settle)
        return look_at_certificates(etcd_client, settle=0)
    return found


def identity() -> str | None:
    """The node for which this host's kubelet holds a client certificate."""
    try:
        name = x509.parse(read_text(kube_api.KUBELET_CERTIFICATE) or "").common_name
    except x509.MalformedCertificate:
        return None
    return name[len(NODE_USER) :] if name.startswith(NODE_USER) else None


def kubelet_ca() -> str | None:
    """The CA (public key hash) that this host's kubelet was told to trust, whatever became of the CA's own file."""
    for path in (KUBELET_CONF, BOOTSTRAP_CONF):
        try:
            return x509.parse(kubeconfig.parse(read_text(path) or "").ca).public_key_hash
        except ValueError:
            continue
    return None


def has_run() -> bool:
    """Whether a running cluster has given this host's kubelet a certificate, which kubeadm then writes down."""
    return kube_api.KUBELET_CERTIFICATE in (read_text(KUBELET_CONF) or "")


def _endpoint(endpoint: str | None, timeout: float) -> dict[str, Any]:
    """Who answers at the endpoint: ``{"answers": bool, "ca": hash | None, "error": text | None}``.

    ``error`` is set where not even a refusal comes back from there. A refusal, and a connection that is closed again,
    are what a load balancer without back ends and a host without an API server give.
    """
    # Asked first, for an address that nobody has yet is silent for seconds each time.
    error = _unreachable(endpoint, timeout) if endpoint else None
    if not endpoint or error:
        return {"answers": False, "ca": None, "error": error}
    try:
        info = kube_api.cluster_info(f"https://{endpoint}", timeout)
    except RequestFailed:
        return {"answers": False, "ca": None, "error": None}
    return {"answers": True, "ca": _hash(info), "error": None}


def _unreachable(endpoint: str, timeout: float) -> str | None:
    """Why no packet comes back from there; None where one does."""
    try:
        socket.create_connection(split_endpoint(endpoint), timeout).close()
    except (ConnectionRefusedError, ConnectionResetError, ConnectionAbortedError):
        return None
    except socket.timeout:
        return f"no answer within {timeout:.0f} s"
    except (OSError, ValueError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def _hash(info: kubeconfig.Kubeconfig | None) -> str | None:
    try:
        return x509.parse(info.ca).public_key_hash if info else None
    except x509.MalformedCertificate:
        return None


def api_state(version: versions.Version | None, timeout: float = 5.0) -> dict[str, Any]:
    """The cluster by this host's own API server.

    Returns:
        ``{"answers": False, "error": text}``, or with ``answers`` true: ``nodes`` by name, ``lasting``: the phases of
        kubeadm init that have left their objects, empty where no version is given, ``subnets``: those of the cluster's
        birth by ``cluster_*`` variable, ``etcd``: see ``cluster_etcd``, and ``network``: what ``pod_network.record``
        kept of its network, if anything.
    """
    try:
        api = kube_api.local_admin(timeout)
        nodes = api.get("/api/v1/nodes")["items"]
        found = lasting_phases(api, version) if version else []
        configuration, network = cluster_configuration(api), cluster_network(api)
    except RequestFailed as error:
        return {"answers": False, "error": str(error)}
    return {
        "answers": True,
        "nodes": {node["metadata"]["name"]: describe_node(node) for node in nodes},
        "lasting": found,
        "subnets": cluster_subnets(configuration),
        "etcd": cluster_etcd(configuration),
        "network": network,
    }


def cluster_configuration(api: kube_api.KubeApi) -> str:
    """The text of the ClusterConfiguration that kubeadm keeps in the cluster; empty where there is none.

    Raises:
        RequestFailed: the API server does not answer.
    """
    return ((api.find(KUBEADM_CONFIG) or {}).get("data") or {}).get("ClusterConfiguration", "")


def cluster_etcd(configuration: str) -> dict[str, Any]:
    """Where a ClusterConfiguration has etcd.

    Returns:
        ``topology`` (``stacked`` or ``external``), and of the latter ``endpoints``, and ``files`` by kubeadm's names.
        Empty where it does not say.
    """
    # kubeadm writes etcd with one of these below it, and lists at the depth of their names or deeper.
    match = re.search(r"^etcd:\n  (local|external):", configuration, re.MULTILINE)
    if match is None:
        return {}
    if match[1] == "local":
        return {"topology": "stacked", "endpoints": [], "files": {}}
    files = re.findall(r"^    (caFile|certFile|keyFile): [\"']?([^\"'\n]+)", configuration, re.MULTILINE)
    return {"topology": "external", "endpoints": etcd_servers.of_configuration(configuration), "files": dict(files)}


def cluster_subnets(configuration: str) -> dict[str, str]:
    """The subnets in a ClusterConfiguration, by ``cluster_*`` variable, as far as they are there."""
    # kubeadm writes one field a line; two levels deep, these names are the networking's alone.
    found = dict(re.findall(r"^  (podSubnet|serviceSubnet): [\"']?([^\"'\s]+)", configuration, re.MULTILINE))
    names = {"podSubnet": subnets.PODS, "serviceSubnet": subnets.SERVICES}
    return {names[field]: value for field, value in found.items()}


def cluster_network(api: kube_api.KubeApi) -> dict[str, Any]:
    """What a run recorded of the pod network: ``network`` and ``objects``; empty where none did.

    Raises:
        RequestFailed: the API server does not answer.
    """
    data = (api.find(pod_network.RECORD) or {}).get("data") or {}
    return {"network": data["network"], "objects": data.get("objects", "").splitlines()} if "network" in data else {}


def lasting_phases(api: kube_api.KubeApi, version: versions.Version) -> list[str]:
    """Which of ``INIT_PHASES`` have left their objects in the API.

    Raises:
        RequestFailed: the API server does not answer.
    """
    objects = (KUBEADM_CONFIG, f"{_CONFIG_MAPS}/{versions.kubelet_config_map(version)}", *_LASTING_OBJECTS)
    return [phase for phase, path in dict(zip(INIT_PHASES, objects)).items() if api.find(path)]


def describe_node(node: dict[str, Any]) -> dict[str, Any]:
    """A Node object in the few words that decisions and summaries need."""
    metadata, status = node["metadata"], node.get("status", {})
    addresses = {entry["type"]: entry["address"] for entry in status.get("addresses", [])}
    conditions = {entry["type"]: entry["status"] for entry in status.get("conditions", [])}
    return {
        "ready": conditions.get("Ready") == "True",
        "control_plane": any(
            f"node-role.kubernetes.io/{role}" in metadata.get("labels", {}) for role in ("control-plane", "master")
        ),
        "address": addresses.get("InternalIP"),
        "kubelet": status.get("nodeInfo", {}).get("kubeletVersion"),
        "pod_cidr": node.get("spec", {}).get("podCIDR"),
    }


def etcd_state(timeout: float, port: int = ETCD_CLIENT_PORT, prefix: str | None = None) -> dict[str, Any]:
    """The members by this host's own etcd.

    Args:
        timeout: seconds for one answer.
        port: where it serves clients.
        prefix: below which to count keys; None for none.

    Returns:
        ``answers``, and ``members`` (see ``etcd.Member``); a learner that answers lists none. ``cluster_id`` in
        decimal, empty where there was no answer, and ``leader``: whether it knows one. ``keys``: how many there are,
        by a read that needs the quorum; None where that is not asked for, or nobody knows.
    """
    endpoint = f"https://127.0.0.1:{port}"
    found: dict[str, Any] = {"answers": False, "members": [], "cluster_id": "", "leader": False, "keys": None}
    try:
        context = etcd.local_context()
        status = etcd.call(endpoint, context, "/maintenance/status", timeout)
        found.update(cluster_id=status.get("header", {}).get("cluster_id", ""), leader=bool(status.get("leader")))
        found["members"] = [member.as_dict() for member in etcd.members(endpoint, context, timeout)]
    except (RequestFailed, OSError) as error:
        return {**found, "error": str(error)}
    if prefix and found["leader"]:
        with contextlib.suppress(RequestFailed):
            counted = etcd.call(endpoint, context, "/kv/range", timeout, etcd.count_below(prefix))
            found["keys"] = int(counted.get("count", 0))
    return {**found, "answers": True}


def back_ends(configuration: str) -> list[str]:
    """The addresses, without ports, that this host's HAProxy sends to."""
    servers = re.findall(r"^\s*server\s+\S+\s+(\S+):\d+", configuration, re.MULTILINE)
    return sorted({address.strip("[]") for address in servers})


def says_that_its_log_is_cut(pods: str = POD_LOGS) -> bool:
    """Whether etcd ended here because the leader knows that it once had more of raft's log than it has now.

    Source: commitTo in raft's log.go, which panics ("Was the raft log corrupted, truncated, or lost?"), and the folders
    in which kubelets keep what containers say; the last two, for a new one may just have been started.
    """
    logs = glob.glob(f"{pods}/kube-system_etcd-*/etcd/*.log")
    latest = sorted(logs, key=lambda path: (os.path.getmtime(path), path))[-2:]
    return any(LOG_CUT in _end_of(path) for path in latest)


def _end_of(path: str, size: int = 64 * 1024) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - size))
            return file.read(size)
    except OSError:
        return b""


def etcd_files(data_dir: str = ETCD_DATA_DIR, *, silent: bool = False) -> dict[str, Any]:
    """What files tell of this host's member.

    Args:
        data_dir: where it keeps its data, unless its manifest says it.
        silent: it does not answer, though it is set up: only then is it worth it to search its log.

    Returns:
        ``flags`` of its manifest; none where there is no manifest. ``data``: see ``etcd_data.look``.
        Where it is silent, ``began_alone``: see ``etcd_data.began_alone``, ``without_log``: there is data, if any,
        without a write-ahead log, and ``log_cut``: see ``says_that_its_log_is_cut``; false elsewhere.
        ``service_manager``: the kubelet is told to run it without a cluster. ``ca_in_the_making``: kubeadm was stopped
        while it made etcd's CA, or what that signs for this host.
    """
    flags = static_pods.flags_of(read_text(ETCD_MANIFEST) or "")
    folder = flags.get("data-dir") or data_dir
    return {
        "flags": flags,
        "data": etcd_data.look(folder),
        "began_alone": silent and etcd_data.began_alone(folder),
        "without_log": silent and not etcd_data.has_log(folder),
        "log_cut": silent and says_that_its_log_is_cut(),
        "service_manager": os.path.exists(SERVICE_MANAGER),
        "ca_in_the_making": os.path.exists(pki.ETCD_IN_THE_MAKING),
    }
