# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificates of etcd's hosts and of its clients say, by profile, host and Kubernetes version.

As kubeadm makes them: cmd/kubeadm/app/phases/certs/certlist.go and cmd/kubeadm/app/util/pkiutil of 1.20 and 1.36, and
the release notes of 1.29, from which on clients are of no organization.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import pki
from .pki import FOLDER, Pair
from .problems import Problem
from .versions import Version

SERVER_USAGE, CLIENT_USAGE = "server", "client"

# A DNS subdomain (RFC 1123), or one below a wildcard, which kubeadm takes for alternative names as well.
_SUBDOMAIN = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
_NODE_NAME = re.compile(rf"(?=.{{1,253}}\Z){_SUBDOMAIN}\Z")
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z)(\*\.)?{_SUBDOMAIN}\Z")
# RFC 5280, appendix A.1: ub-common-name.
_LONGEST_COMMON_NAME = 64


@dataclass(frozen=True)
class Profile:
    """A certificate that kubeadm has a phase for.

    Attributes:
        name: the phase of ``kubeadm init phase certs``.
        base: the files' path below the folder of certificates, without suffix.
        common_name: of the subject; empty where it is the node's name.
        more_names: for a server, the field of kubeadm's ``etcd.local`` that has its alternative names.
    """

    name: str
    base: str
    common_name: str = ""
    more_names: str = ""

    @property
    def serves(self) -> bool:
        """Whether it is a server's, at the host's names and addresses."""
        return bool(self.more_names)

    def pair(self, folder: str = FOLDER) -> Pair:
        return pki.leaf(self.base, folder)


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("etcd-server", "etcd/server", more_names="serverCertSANs"),
        Profile("etcd-peer", "etcd/peer", more_names="peerCertSANs"),
        Profile("etcd-healthcheck-client", "etcd/healthcheck-client", "kube-etcd-healthcheck-client"),
        Profile("apiserver-etcd-client", "apiserver-etcd-client", "kube-apiserver-etcd-client"),
    )
}


def authority_pair(folder: str = FOLDER) -> Pair:
    """etcd's CA."""
    return pki.authority("etcd/ca", folder)


@dataclass(frozen=True)
class Host:
    """What a host's certificates may say of it.

    Attributes:
        node_name: its node's name, which is its etcd member's.
        address: where its etcd listens.
        local: kubeadm's ``etcd.local``, of which ``serverCertSANs`` and ``peerCertSANs`` are read.
    """

    node_name: str
    address: str
    local: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Host:
        """From ``node_name``, ``address`` and ``local``, whatever else may be among them."""
        known = options if isinstance(options, Mapping) else {}
        local = known.get("local")
        return cls(
            str(known.get("node_name") or ""),
            str(known.get("address") or ""),
            local if isinstance(local, Mapping) else {},
        )

    def more_names(self, profile: Profile) -> list[str]:
        """The alternative names of this profile beside the node's own."""
        names = self.local.get(profile.more_names) or ()
        return [names] if isinstance(names, str) else [str(name) for name in names]


@dataclass(frozen=True)
class Claims:
    """What a certificate or a request says, as far as it matters here.

    Attributes:
        common_name: of the subject.
        organizations: of the subject.
        names: alternative names, each with its kind: ``DNS:etcd1``, ``IP:192.0.2.21``.
        usages: extended key usages, ``SERVER_USAGE`` and ``CLIENT_USAGE``, others by their object identifier.
        more: what else there is to be told of it, and nothing where it is as kubeadm makes it.
    """

    common_name: str
    organizations: frozenset[str]
    names: frozenset[str]
    usages: frozenset[str]
    more: frozenset[str] = frozenset()

    def __str__(self) -> str:
        parts = [
            "/".join([*(f"O={name}" for name in sorted(self.organizations)), f"CN={self.common_name}"]),
            *([f"for {', '.join(sorted(self.names))}"] if self.names else ()),
            *([f"as {' and '.join(sorted(self.usages))}"] if self.usages else ()),
            *sorted(self.more),
        ]
        return " ".join(parts)


def claims_of(profile: Profile, host: Host, version: Version) -> Claims:
    """What this host's certificate of this profile says; the host must have been checked."""
    if profile.serves:
        own = (host.node_name, "localhost", host.address, "127.0.0.1", "::1")
        names = frozenset(map(named, (*own, *host.more_names(profile))))
        return Claims(host.node_name, frozenset(), names, frozenset({SERVER_USAGE, CLIENT_USAGE}))
    organizations = frozenset({"system:masters"} if version.minor < 29 else ())
    return Claims(profile.common_name, organizations, frozenset(), frozenset({CLIENT_USAGE}))


def named(name: str) -> str:
    """An alternative name with its kind, addresses in their canonical form."""
    address = _address(name)
    return f"IP:{address}" if address else f"DNS:{name}"


def check_host(name: str, host: Host, profiles: Iterable[Profile]) -> list[Problem]:
    """What no certificate of these profiles could say of a host.

    Args:
        name: the host's name for people.
    """
    servers = [profile for profile in profiles if profile.serves]
    if not servers:
        return []
    found = []
    if not _NODE_NAME.match(host.node_name) or len(host.node_name) > _LONGEST_COMMON_NAME:
        wanted_name = f"a DNS subdomain in lower case, of {_LONGEST_COMMON_NAME} characters at most"
        found.append(Problem(name, "node name", repr(host.node_name), wanted_name, "Set cluster_node_name."))
    address = _address(host.address)
    if address is None or address.is_unspecified or address.is_loopback or address.is_multicast:
        action = "Set cluster_node_address."
        found.append(Problem(name, "address", repr(host.address), "an IP address that others reach", action))
    found += [
        Problem(
            name, profile.more_names, repr(more), "a DNS name or an IP address", "Correct it in cluster_etcd_local."
        )
        for profile in servers
        for more in host.more_names(profile)
        if not (_DNS_NAME.match(more) or _address(more))
    ]
    return found


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if "%" in text else ipaddress.ip_address(text)  # a zone is one host's own affair
    except ValueError:
        return None


# Documented by the fragment _certificates.
ARGUMENT_SPEC: dict[str, Any] = {
    "version": {"type": "str", "required": True},
    "directory": {"type": "path", "default": FOLDER},
}
HOST_SPEC: dict[str, Any] = {
    "node_name": {"type": "str"},
    "address": {"type": "str"},
    "local": {"type": "dict", "default": {}},
}
PROFILES_SPEC: dict[str, Any] = {
    "profiles": {"type": "list", "elements": "str", "choices": [*PROFILES], "default": [*PROFILES]}
}
