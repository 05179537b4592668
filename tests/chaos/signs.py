# SPDX-License-Identifier: GPL-3.0-or-later
"""What shows from outside how far a module has got on a host: its files, etcd's members, the API's objects.

Files are read where the lab keeps the host's disks, so that looking costs the host nothing and takes no time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubelab.lab import Lab
from kubelab.machine import REAL_FOLDERS
from kubelab.settings import HOSTS

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import (
    JsonClient,
    RequestFailed,
    present_certificate,
    verified_context,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.kube_api import KubeApi

KUBERNETES = "/etc/kubernetes"
CONFS = tuple(f"{KUBERNETES}/{name}.conf" for name in ("admin", "kubelet", "bootstrap-kubelet", "scheduler"))
ETCD_PKI = f"{KUBERNETES}/pki/etcd"
NODES = "/api/v1/nodes"
CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/master"


@dataclass(frozen=True)
class Sign:
    """Something that is not there when a run begins, and then is.

    Attributes:
        host: the one that is worked on when it appears.
        what: its name.
        there: whether it is there now.
        path: of the file that it is, if kubeadm has written it, who does not see to it that it reaches the disk.
        step: a step of the module's begins or ends with it; others come within one. Where in a step its controller
            died makes no difference to a module, which goes on all the same.
    """

    host: str
    what: str
    there: Callable[[], bool]
    path: str = ""
    step: bool = True


def within_one_step(first: Sign, *others: Sign) -> list[Sign]:
    """The same signs, of which the first one begins a step, and the others come within it."""
    return [first, *(replace(one, step=False) for one in others)]


def inside(host: str, path: str) -> Path:
    """Where a file of a host's lies on this machine; of its root, only what it did not have from the first."""
    folder = Lab.active().machines[host].folder
    for name in REAL_FOLDERS:
        if path.startswith(f"/var/lib/{name}/"):
            return folder / path.removeprefix("/var/lib/")
    return folder / "upper" / path.lstrip("/")


def file(host: str, path: str, holds: str = "", what: str = "") -> Sign:
    """A file, or one that holds a certain text; it goes by its path, unless something says more."""
    place: list[Path] = []

    def there() -> bool:
        if not place:
            place.append(inside(host, path))
        if not holds:
            return place[0].is_symlink() or place[0].exists()
        try:
            return holds in place[0].read_text()
        except FileNotFoundError:
            return False

    by_kubeadm = path if path.startswith((f"{KUBERNETES}/pki/", f"{KUBERNETES}/manifests/")) or path in CONFS else ""
    return Sign(host, what or path.removeprefix(f"{KUBERNETES}/"), there, "" if holds else by_kubeadm)


def files(host: str, *paths: str) -> list[Sign]:
    """Files by their paths; those of Kubernetes may be given from its folder on."""
    return [file(host, path if path.startswith("/") else f"{KUBERNETES}/{path}") for path in paths]


def api_of(host: str, timeout: float = 2.0) -> KubeApi:
    """The API server of a host, past any load balancer.

    Raises:
        OSError, ValueError: the host has no whole admin.conf.
    """
    config = kubeconfig.parse(inside(host, f"{KUBERNETES}/admin.conf").read_text())
    server = f"https://{HOSTS[host].address}:6443"
    return KubeApi(kubeconfig.Kubeconfig(server, config.ca, config.certificate, config.key), timeout)


def found(host: str, path: str) -> dict[str, Any] | None:
    """An object by the API server of a host; None where there is none, or nobody who answers."""
    try:
        return api_of(host).find(path)
    except (RequestFailed, OSError, ValueError):
        return None


def identity(path: str, by: str) -> str | None:
    """What tells an object from another one of its name; None where there is none, or nobody who answers."""
    return ((found(by, path) or {}).get("metadata") or {}).get("uid")


def thing(worked_on: str, what: str, path: str, by: str, but: str | None = None) -> Sign:
    """An object in the API of a host, other than one that was there before."""
    return Sign(worked_on, what, lambda: identity(path, by) not in (None, but))


def labelled(name: str, by: str) -> Sign:
    """A node that is marked as a control plane."""
    return Sign(
        name,
        f"label of node {name}",
        lambda: CONTROL_PLANE_LABEL in ((found(by, f"{NODES}/{name}") or {}).get("metadata") or {}).get("labels", {}),
    )


def etcd(host: str, call: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the etcd of a host answers to a call of its JSON gateway.

    Raises:
        RequestFailed, OSError, ValueError: it does not, or the host has no certificate to ask it with.
    """
    ca, certificate, key = (
        inside(host, f"{ETCD_PKI}/{name}").read_text()
        for name in ("ca.crt", "healthcheck-client.crt", "healthcheck-client.key")
    )
    context = verified_context(ca)
    present_certificate(context, certificate, key)
    return JsonClient(f"https://{HOSTS[host].address}:2379", context, 2.0).request("POST", f"/v3/{call}", body or {})


def member(name: str, by: str) -> dict[str, Any] | None:
    """The etcd member that is to be reached on a host, by another's word; None where there is none, or no word."""
    try:
        members = etcd(by, "cluster/member/list")["members"]
    except (RequestFailed, OSError, ValueError, KeyError):
        return None
    return next((one for one in members if any(HOSTS[name].address in url for url in one["peerURLs"])), None)


def learner(name: str, by: str, *, started: bool) -> Sign:
    """A member that was added and does not vote yet; one that has started has told its name."""

    def there() -> bool:
        own = member(name, by)
        return own is not None and bool(own.get("isLearner")) and bool(own.get("name")) == started

    return Sign(name, f"{'started' if started else 'added'} learner {name}", there)


def voter(name: str, by: str, but: str | None = None) -> Sign:
    """A member that votes, other than one of that ID which was there before."""

    def there() -> bool:
        own = member(name, by)
        return own is not None and bool(own.get("name")) and not own.get("isLearner") and own["ID"] != but

    return Sign(name, f"voter {name}", there)


def member_gone(name: str, by: str, was: str | None) -> Sign:
    """The member of that ID is no longer listed."""

    def there() -> bool:
        try:
            return was not in {one["ID"] for one in etcd(by, "cluster/member/list")["members"]}
        except (RequestFailed, OSError, ValueError, KeyError):
            return False

    return Sign(name, f"old member {name} gone", there)


def node_gone(name: str, by: str, was: str | None) -> Sign:
    """The Node object of that identity is no longer there."""

    def there() -> bool:
        try:
            node = api_of(by).find(f"{NODES}/{name}")
        except (RequestFailed, OSError, ValueError):
            return False
        return node is None or node["metadata"]["uid"] != was

    return Sign(name, f"old node {name} gone", there)
