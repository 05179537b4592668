# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster leaves on a host that kubeadm does not clear away, told from what is somebody else's.

Pure: names and contents come in, and those that are the cluster's come out.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping

from . import x509
from .identity import cluster_id
from .pod_network import BRIDGE_CONFIGURATION

KUBE_IPVS = "kube-ipvs0"
# The bridge of the plugin of that name, and what kube-proxy, Flannel, Calico and Cilium make. A pod's own end of a veth
# goes with the pod. tunl0 is the kernel's and cannot be removed.
_LINKS = ("cni0", KUBE_IPVS, "flannel.1", "flannel-v6.1", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali")
_LINK_BEGINNINGS = ("cali", "cilium_")
_CNI_NAMES = re.compile(r"calico|flannel|cilium|multus", re.IGNORECASE)
# A network without one, whose plugin comes with all others; it is the first by name.
NO_NETWORK_FILE = "00-kubeadm-ha-reset.conflist"
NO_NETWORK = json.dumps({"cniVersion": "0.4.0", "name": "kubeadm-ha-reset", "plugins": [{"type": "loopback"}]}) + "\n"
_SERVER = re.compile(r"""^\s*(?:- )?["']?server["']?\s*:""", re.MULTILINE)
_AUTHORITY = re.compile(r"""["']?certificate-authority-data["']?\s*:\s*["']?([A-Za-z0-9+/=]+)""")


def links(names: Iterable[str]) -> list[str]:
    """Those of a host's network interfaces that a cluster made."""
    return sorted(name for name in names if name in _LINKS or name.startswith(_LINK_BEGINNINGS))


def cni_configurations(contents: Mapping[str, str]) -> list[str]:
    """Those of the files in CNI's folder that are a cluster's network's.

    Podman, CRI-O and others keep networks of their own there. A cluster's is this collection's, bears the name of a
    network that is known, or speaks to an API server.

    Args:
        contents: by file name.
    """
    return sorted(
        name
        for name, text in contents.items()
        if name in (BRIDGE_CONFIGURATION, NO_NETWORK_FILE)
        or _CNI_NAMES.search(name)
        or re.search(r"kubeconfig|certificate-authority-data", text)
    )


def cni_networks(contents: Iterable[str]) -> set[str]:
    """The names of the networks that CNI configurations describe; nothing of those that are not JSON."""
    found = set()
    for text in contents:
        try:
            document = json.loads(text)
        except ValueError:
            continue
        if isinstance(document, dict) and isinstance(document.get("name"), str):
            found.add(document["name"])
    return found


def ids_in(kubeconfig: str) -> list[str | None]:
    """The ids of the clusters that a kubeconfig leads to, None for one whose CA is not in it or cannot be read."""
    authorities = _AUTHORITY.findall(kubeconfig)
    found = [_id_of(text) for text in authorities]
    return found + [None] * (len(_SERVER.findall(kubeconfig)) - len(found))


def _id_of(authority: str) -> str | None:
    try:
        return cluster_id(x509.parse(base64.b64decode(authority).decode()).public_key_hash)
    except (x509.MalformedCertificate, binascii.Error, UnicodeDecodeError):
        return None


def kube_vip(manifest: str) -> tuple[str, str] | None:
    """The address, as ``address/prefix``, and the interface that a manifest of this collection's gives to kube-vip."""
    told = dict(re.findall(r'- name: (address|vip_subnet|vip_interface)\n\s+value: "?([^"\s]+)', manifest))
    if len(told) < 3:
        return None
    return f"{told['address']}/{told['vip_subnet'].lstrip('/')}", told["vip_interface"]


def pod_subnets(texts: Iterable[str]) -> list[str]:
    """The networks of all pods, by whoever was told of them.

    Args:
        texts: the unit that keeps this collection's bridge network, a controller manager's manifest, kube-proxy's
            configuration; whatever they say else.
    """
    told = r"^ExecStart=.* --pod-subnet (\S+)|--cluster-cidr=(\S+)|^clusterCIDR: (\S+)"
    values = [word for text in texts for match in re.findall(told, text, re.MULTILINE) for word in match if word]
    found = set()
    for value in ",".join(values).split(","):
        with contextlib.suppress(ValueError):
            found.add(str(ipaddress.ip_network(value.strip("\"'"))))
    return sorted(found)


def route_protocols(shown: str) -> list[str]:
    """Who laid the routes that ``ip route show`` lists, but for the kernel, whose routes go with their interfaces.

    Those of which nothing is said are of ``boot``, as ip-route(8) has it: somebody has laid them by hand, or a program
    that says nothing of itself.
    """
    lines = (line for line in shown.splitlines() if line[:1].strip())
    found = {match[1] if (match := re.search(r" proto (\S+)", line)) else "boot" for line in lines}
    return sorted(found - {"kernel"})


def addresses(shown: str) -> tuple[set[str], set[str]]:
    """A host's addresses, from what ``ip -oneline address show`` prints: on kube-proxy's interface, and on others."""
    clusters, others = set(), set()
    for link, address in re.findall(r"^\d+: (\S+)\s+inet6? ([^\s/]+)", shown, re.MULTILINE):
        (clusters if link == KUBE_IPVS else others).add(address)
    return clusters, others
