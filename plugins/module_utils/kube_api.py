# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API as the modules need it: a few objects read and written, no client library on the nodes."""

from __future__ import annotations

import os

from . import kubeconfig
from .files import read_text
from .https_json import (
    Document,
    JsonClient,
    NoAnswer,
    RequestFailed,
    present_certificate,
    unverified_context,
    verified_context,
)

ADMIN_CONF = "/etc/kubernetes/admin.conf"
# The kubelet's client certificate and key, in one file, once the API server has signed one.
KUBELET_CERTIFICATE = "/var/lib/kubelet/pki/kubelet-client-current.pem"
CLUSTER_CA = "/etc/kubernetes/pki/ca.crt"
CONTROLLER_MANAGER_CONF = "/etc/kubernetes/controller-manager.conf"
# What a cluster tells everybody about itself.
CLUSTER_INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"

_IMPATIENT = (0.2, 0.2, 0.2, 0.4)
"""Parts of its time-out that a read is given at first.

For up to 40 s after an etcd host has lost its power, an API server of Kubernetes 1.20 still asks it every third time,
and such a read hangs. The next try may go to another member; what the API server reads meanwhile has its turns, too, so
that a few tries are not enough: a look makes ten reads.
"""


class KubeApi(JsonClient):
    """An API server, spoken to as the user of a kubeconfig."""

    def __init__(self, config: kubeconfig.Kubeconfig, timeout: float = 10.0) -> None:
        context = verified_context(config.ca)
        present_certificate(context, config.certificate, config.key)
        super().__init__(config.server, context, timeout)

    def get(self, path: str) -> Document:
        """The object at ``path``; asked for again where a server takes the request and stays silent."""
        for part in _IMPATIENT:
            try:
                return self.request("GET", path, timeout=part * self._timeout)
            except NoAnswer:
                continue
        return self.request("GET", path)

    def find(self, path: str) -> Document | None:
        """The object at ``path``, or None where there is none."""
        try:
            return self.get(path)
        except RequestFailed as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, document: Document) -> Document:
        return self.request("POST", path, document)

    def replace(self, path: str, document: Document) -> Document:
        return self.request("PUT", path, document)

    def delete(self, path: str) -> bool:
        """Delete the object at ``path``; False where there was none."""
        try:
            self.request("DELETE", path)
            return True
        except RequestFailed as error:
            if error.status == 404:
                return False
            raise


def has_admin() -> bool:
    """Whether this host is a control plane that can speak for its cluster."""
    return os.path.exists(ADMIN_CONF)


def local_admin(timeout: float = 10.0) -> KubeApi:
    """This control plane's own API server, as the administrator.

    admin.conf names the load balancer; controller-manager.conf names the local server (kubeadm 1.20 and later), and
    what a host says of itself must not depend on which back end the load balancer picks.

    Raises:
        RequestFailed: this host has no admin.conf, or an unusable one.
    """
    admin, local = read_text(ADMIN_CONF), read_text(CONTROLLER_MANAGER_CONF)
    if admin is None:
        raise RequestFailed(f"{ADMIN_CONF}: found none on this host, wanted one. Run this on a control plane.")
    try:
        config = kubeconfig.parse(admin)
        server = kubeconfig.parse(local).server if local else config.server
        return KubeApi(kubeconfig.Kubeconfig(server, config.ca, config.certificate, config.key), timeout)
    except (ValueError, OSError) as error:
        raise RequestFailed(f"{ADMIN_CONF}: {error}") from error


def local_is_ready(timeout: float = 5.0) -> bool:
    """Whether this control plane's own API server says that it is ready; one that does not answer is not."""
    try:
        local_admin(timeout).get("/readyz")
    except RequestFailed:
        return False
    return True


def kubelet_api(endpoint: str, timeout: float = 10.0) -> KubeApi:
    """The cluster as this node's kubelet may see it, its own Node object among other things.

    Raises:
        RequestFailed: the certificate or the CA on this host cannot be read.
    """
    identity = read_text(KUBELET_CERTIFICATE) or ""
    config = kubeconfig.Kubeconfig(f"https://{endpoint}", read_text(CLUSTER_CA) or "", identity)
    try:
        return KubeApi(config, timeout)
    except (ValueError, OSError) as error:
        raise RequestFailed(f"{KUBELET_CERTIFICATE} or {CLUSTER_CA}: {error}") from error


def cluster_info(server: str, timeout: float) -> kubeconfig.Kubeconfig | None:
    """What a cluster tells everybody about itself, unverified, in kube-public/cluster-info.

    Returns:
        Server and CA of the cluster; None where something answers without publishing them, be it for lack of a quorum.

    Raises:
        RequestFailed: no API server answers there.
    """
    client = JsonClient(server, unverified_context(), timeout)
    try:
        info = client.request("GET", CLUSTER_INFO)
    except RequestFailed as error:
        if error.status:
            return None
        raise
    try:
        return kubeconfig.parse(info["data"]["kubeconfig"])
    except (ValueError, KeyError, TypeError):
        return None
