# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a single value of a configuration may be: the types that ``config_fields`` names.

Sources: cmd/kubeadm/app/apis/kubeadm/validation of 1.20.2 and 1.36.0; time.ParseDuration of Go; the API's own
validation of taints, volumes and names (apimachinery's util/validation).
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .versions import NEWEST_MINOR, OLDEST_MINOR

_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*", re.ASCII)
_WILDCARD = re.compile(rf"(?=.{{1,253}}\Z)\*(\.{_LABEL})+", re.ASCII)
_DURATION = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+|[+-]?0", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}", re.ASCII)
_TOKEN_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]", re.ASCII)
_KEY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_HASH = re.compile(r"sha256:[0-9a-fA-F]{64}", re.ASCII)
_URL = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?/?", re.ASCII)
_HTTPS = re.compile(r"https://[^\s/]+(/\S*)?")
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII)
_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}", re.ASCII)

_ALWAYS = (OLDEST_MINOR, NEWEST_MINOR)


class Type(NamedTuple):
    """What a value may be.

    Attributes:
        wanted: in words, for whoever wrote another one.
        accepts: whether a value is one.
        secret: never to be shown.
        action: what to do about another one.
    """

    wanted: str
    accepts: Callable[[Any], bool]
    secret: bool = False
    action: str = "Correct it."


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_decimal(value: Any) -> bool:
    return _is_number(value) or (isinstance(value, float) and math.isfinite(value))


def _like(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/")


def is_address(value: Any) -> bool:
    """Whether it is an IP address."""
    try:
        return isinstance(value, str) and bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def _is_subject(value: Any) -> bool:
    return is_address(value) or _like(_DOMAIN)(value) or _like(_WILDCARD)(value)


def _is_socket(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("/", "unix:///"))


_QUOTES = "Put it in quotes."
_NO_QUOTES = "Write it without quotes."

TYPES: dict[str, Type] = {
    "text": Type("text", lambda value: isinstance(value, str), action=_QUOTES),
    "flag": Type("true or false", lambda value: isinstance(value, bool), action=_NO_QUOTES),
    "number": Type("a whole number", _is_number, action=_NO_QUOTES),
    "decimal": Type("a number", _is_decimal, action=_NO_QUOTES),
    "quantity": Type("a quantity such as 500m or 1Gi", lambda value: _is_number(value) or _like(_QUANTITY)(value)),
    "duration": Type("a duration such as 5m0s or 8760h", _like(_DURATION), action="Write the unit: h, m, s or ms."),
    "duration or nanoseconds": Type(
        "a duration such as 5s", lambda value: _is_number(value) or _like(_DURATION)(value)
    ),
    "time": Type("a time such as 2030-01-31T12:00:00Z", _like(_TIME), action=_QUOTES),
    "path": Type("an absolute path", _is_path, action="Begin it with /."),
    "path or url": Type("an absolute path, or a URL with https", lambda value: _is_path(value) or _like(_HTTPS)(value)),
    "socket": Type("a path such as /run/containerd/containerd.sock, with or without unix://", _is_socket),
    "port": Type("a port, 1 to 65535", lambda value: _is_number(value) and 0 < value < 65536),
    "address": Type("an IP address", is_address),
    "endpoint": Type("host:port, an IPv6 address in brackets", _like(_ENDPOINT)),
    "url": Type("a URL such as https://192.0.2.21:2379", _like(_URL)),
    "domain": Type("a DNS name in lower case", _like(_DOMAIN)),
    "node name": Type("lower case letters, digits, hyphens and dots", _like(_DOMAIN)),
    "SAN": Type("an IP address or a DNS name in lower case", _is_subject),
    "token": Type("a bootstrap token, six characters, a dot and sixteen, of a-z and 0-9", _like(_TOKEN), secret=True),
    "token group": Type("a group that begins with system:bootstrappers:", _like(_TOKEN_GROUP)),
    "key": Type(
        "64 hexadecimal digits", _like(_KEY), secret=True, action="Make one with kubeadm certs certificate-key."
    ),
    "hash": Type("sha256: and 64 hexadecimal digits", _like(_HASH)),
}

# Types of which a value is one of some words, each with the first and the last minor that knows it.
CHOICES: dict[str, Mapping[str, tuple[int, int]]] = {
    "pull policy": dict.fromkeys(("Always", "IfNotPresent", "Never"), _ALWAYS),
    "encryption algorithm": {
        **dict.fromkeys(("RSA-2048", "RSA-3072", "RSA-4096", "ECDSA-P256"), (31, NEWEST_MINOR)),
        "ECDSA-P384": (34, NEWEST_MINOR),
    },
    "path type": dict.fromkeys(
        ("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"), _ALWAYS
    ),
    "taint effect": dict.fromkeys(("NoSchedule", "PreferNoSchedule", "NoExecute"), _ALWAYS),
    "token usage": dict.fromkeys(("signing", "authentication"), _ALWAYS),
    "unmount flag": dict.fromkeys(("MNT_FORCE", "MNT_DETACH", "MNT_EXPIRE", "UMOUNT_NOFOLLOW"), _ALWAYS),
    "DNS type": {"CoreDNS": (20, 21), "kube-dns": (20, 20)},
    "cgroup driver": dict.fromkeys(("systemd", "cgroupfs"), _ALWAYS),
    # On Linux: nftables by KEP-3866, and userspace went with 1.26 (release notes).
    "proxy mode": {
        **dict.fromkeys(("", "iptables", "ipvs"), _ALWAYS),
        "nftables": (29, NEWEST_MINOR),
        "userspace": (20, 25),
    },
}


def show(value: Any) -> str:
    """A value as a message can carry it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, (str, int, float)):
        text = repr(str(value)) if isinstance(value, str) else repr(value)
        return text if len(text) <= 80 else f"{text[:77]}…"
    return f"a {type(value).__name__}"
