# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations held against what kubeadm, the kubelet and kube-proxy can be told, all that is wrong at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from . import config_fields, config_values, pki, versions
from .config_values import show
from .problems import CLUSTER, Problem

# What an object cannot do without.
_REQUIRED = {
    "BootstrapTokenDiscovery": ("apiServerEndpoint",),
    "EnvVar": ("name",),
    "ExternalEtcd": ("endpoints",),
    "FileDiscovery": ("kubeConfigPath",),
    "HostPathMount": ("name", "hostPath", "mountPath"),
    "Patches": ("directory",),
    "Taint": ("key", "effect"),
}
# Pairs of fields that exclude each other.
_EXCLUSIVE = {
    "Discovery": ("bootstrapToken", "file"),
    "EnvVar": ("value", "valueFrom"),
    "Etcd": ("local", "external"),
}
# Words of older APIs, and where the newest says the same.
_MOVED = {
    ("APIServer", "timeoutForControlPlane"): "timeouts.controlPlaneComponentHealthCheck of InitConfiguration",
    ("Discovery", "timeout"): "timeouts.discovery",
}
# kubeadm's own feature gates that came or went, with the minors that know them (facts of kubeadm's features.go and the
# release notes). kubeadm stops at one that it does not know.
_FEATURE_GATES = {
    "ControlPlaneKubeletLocalMode": (31, 35),
    "EtcdLearnerMode": (27, 32),
    "IPv6DualStack": (versions.OLDEST_MINOR, 23),
    "NodeLocalCRISocket": (32, versions.NEWEST_MINOR),
    "PublicKeysECDSA": (versions.OLDEST_MINOR, 36),
    "RootlessControlPlane": (22, versions.NEWEST_MINOR),
    "UnversionedKubeletConfigMap": (versions.OLDEST_MINOR, 25),
    "UpgradeAddonsBeforeControlPlane": (28, 30),
    "WaitForAllControlPlaneComponents": (30, 34),
}
# Flags of the kubelet, and the minor that has them no more: with one of them it does not start (its release notes).
_KUBELET_FLAGS_GONE = {
    **dict.fromkeys(
        ("network-plugin", "network-plugin-mtu", "cni-bin-dir", "cni-cache-dir", "cni-conf-dir", "docker-endpoint"), 24
    ),
    "container-runtime": 27,
    "pod-infra-container-image": 35,
}


def check(
    kind: str, body: Any, version: versions.Version | None, root: str | None = None, host: str = CLUSTER
) -> list[Problem]:
    """Everything that is wrong with one configuration, in the words of ``config_fields``.

    Args:
        kind: such as ClusterConfiguration.
        body: what was written, of any form.
        version: of the Kubernetes that reads it; None where it is not known, so that fields are known by any.
        root: what its path begins with in messages; the kind where it is not given.
        host: who has it.
    """
    walk = _Walk(kind, version, host)
    walk.object(kind, body, root or kind)
    return walk.problems


def arguments(value: Any) -> list[tuple[str, str]]:
    """Names and texts of extraArgs in either of their forms, which have passed ``check``."""
    pairs = value.items() if isinstance(value, Mapping) else ((item["name"], item["value"]) for item in value)
    # YAML's booleans are written as the components read them.
    return [(str(name), str(text).lower() if isinstance(text, bool) else str(text)) for name, text in pairs]


def readable_arguments(value: Any) -> list[tuple[str, Any]]:
    """Names and values of extraArgs that may be of any form: those of them that can be read."""
    if isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        items = value if isinstance(value, (list, tuple)) else ()
        pairs = [(item.get("name"), item.get("value")) for item in items if isinstance(item, Mapping)]
    return [(name, inner) for name, inner in pairs if isinstance(name, str)]


class _Walk:
    """One configuration, and what was found wrong with it so far."""

    def __init__(self, kind: str, version: versions.Version | None, host: str) -> None:
        self.kind = kind
        self.version = version
        self.minor = version.minor if version else None
        self.host = host
        self.problems: list[Problem] = []

    def wrong(self, where: str, found: str, wanted: str, action: str) -> None:
        self.problems.append(Problem(self.host, where, found, wanted, action))

    def object(self, name: str, value: Any, where: str) -> None:
        """A mapping whose fields the table knows."""
        if not isinstance(value, Mapping):
            self.wrong(where, show(value), "a mapping of fields", "Write fields below it, or remove it.")
            return
        known = config_fields.fields(name)
        for key, inner in value.items():
            here = f"{where}.{key}"
            if name == self.kind and key in ("apiVersion", "kind"):
                self._identity(str(key), inner, here)
            elif key not in known:
                self._unknown(name, known, str(key), here)
            elif not known[key].is_of(self.minor):
                self._of_another_version(known[key], here)
            elif inner is not None:
                self.value(known[key].type, inner, here)
        for key in _REQUIRED.get(name, ()):
            if value.get(key) in (None, "", []):
                self.wrong(f"{where}.{key}", show(value.get(key)), "one", "Set it, or remove what it belongs to.")
        pair = _EXCLUSIVE.get(name, ())
        if pair and all(value.get(key) is not None for key in pair):
            self.wrong(where, f"both {pair[0]} and {pair[1]}", "one of them", "Remove the other.")
        rule = getattr(self, f"_rule_{name}", None)
        if rule:
            rule(value, where)

    def value(self, type_name: str, value: Any, where: str) -> None:
        """Whatever a field, a list or a map of this type holds."""
        if type_name in config_fields.TYPES:
            self.object(type_name, value, where)
        elif type_name == "arguments":
            self._arguments(value, where)
        elif type_name.startswith("list of "):
            if not isinstance(value, (list, tuple)):
                self.wrong(where, show(value), "a list", "Write a list, also of one.")
                return
            for index, inner in enumerate(value):
                self.value(type_name[len("list of ") :], inner, f"{where}[{index}]")
        elif type_name.startswith("map of "):
            if not isinstance(value, Mapping):
                self.wrong(where, show(value), "a mapping by name", "Write names below it, each with its value.")
                return
            for key, inner in value.items():
                if not isinstance(key, str):
                    self.wrong(where, f"the name {show(key)}", "a name that is text", "Put it in quotes.")
                self.value(type_name[len("map of ") :], inner, f"{where}.{key}")
        elif type_name in config_values.CHOICES:
            self._choice(config_values.CHOICES[type_name], value, where)
        else:
            wanted = config_values.TYPES[type_name]
            if not wanted.accepts(value):
                hidden = wanted.secret and isinstance(value, (str, int, float))
                self.wrong(where, "another text" if hidden else show(value), wanted.wanted, wanted.action)

    def _identity(self, key: str, value: Any, where: str) -> None:
        wanted = config_fields.KINDS[self.kind] if key == "apiVersion" else self.kind
        if value != wanted:
            self.wrong(where, show(value), wanted, "Remove it: the version of Kubernetes decides.")

    def _unknown(self, name: str, known: Mapping[str, config_fields.Field], key: str, where: str) -> None:
        near = _nearest(key, known)
        if (name, key) in _MOVED:
            action = f"Say it by {_MOVED[name, key]}."
        elif near:
            action = f"Did you mean {near}?"
        else:
            elsewhere = sorted(_places(key), key=lambda place: (place[0] != self.kind, place))
            action = "Remove it, or correct its name."
            if elsewhere:
                kind, path = elsewhere[0]
                action = f"Did you mean {path}{'' if kind == self.kind else f' of {kind}'}?"
        self.wrong(where, "an unknown field", f"one of {_object_words(name, known)}", action)

    def _of_another_version(self, field: config_fields.Field, where: str) -> None:
        gone = self.minor is not None and self.minor > field.until
        found = f"a field that ends with 1.{field.until}" if gone else f"a field that begins with 1.{field.since}"
        self.wrong(
            where,
            found,
            f"one that Kubernetes {self.version} knows",
            "Remove it." if gone else "Remove the field, or use a newer Kubernetes version.",
        )

    def _choice(self, choices: Mapping[str, tuple[int, int]], value: Any, where: str) -> None:
        words = [word for word, (since, until) in choices.items() if self._is_of(since, until)]
        if isinstance(value, str) and value in words:
            return
        wanted = f"one of {', '.join(word for word in words if word)}"
        if isinstance(value, str) and value in choices:
            wanted += f", which Kubernetes {self.version} knows"
        near = _nearest(value, words) if isinstance(value, str) else None
        self.wrong(where, show(value), wanted, f"Did you mean {near}?" if near else "Choose one of them.")

    def _is_of(self, since: int, until: int) -> bool:
        return self.minor is None or since <= self.minor <= until

    def _arguments(self, value: Any, where: str) -> None:
        """Arguments of a component: a mapping, or a list of names and values."""
        if isinstance(value, Mapping):
            pairs = [(f"{where}.{name}", name, inner) for name, inner in value.items()]
        elif isinstance(value, (list, tuple)):
            pairs = []
            for index, item in enumerate(value):
                here = f"{where}[{index}]"
                if not isinstance(item, Mapping):
                    self.wrong(here, show(item), "a name and a value", "Write {name: …, value: …}.")
                    continue
                for key in item.keys() - {"name", "value"}:
                    self.wrong(f"{here}.{key}", "an unknown field", "name and value", "Remove it.")
                if "name" not in item:
                    self.wrong(f"{here}.name", "nothing", "the argument's name", "Write it.")
                    continue
                pairs.append((f"{here}.value", item["name"], item.get("value")))
        else:
            self.wrong(where, show(value), "a mapping, or a list of names and values", "Write it so, or remove it.")
            return
        for here, name, inner in pairs:
            if not isinstance(name, str) or not re.fullmatch(r"[^-\s=][^\s=]*", name):
                self.wrong(where, f"the argument {show(name)}", "its name without dashes before it", "Correct it.")
            if not isinstance(inner, (str, int, float)):
                self.wrong(here, show(inner), "text, a number, true or false", "Write the value; '' for an empty one.")
        if self.version and versions.config_api(self.version) != "v1beta4":
            names = [name for _here, name, _inner in pairs if isinstance(name, str)]
            for name in sorted({name for name in names if names.count(name) > 1}):
                self.wrong(
                    where,
                    f"the argument {name} twice",
                    "each argument once: only v1beta4 (kubeadm 1.31) can repeat one",
                    "Give it once.",
                )

    # Rules between the fields of one object, by its name.

    def _rule_ExternalEtcd(self, etcd: Mapping[str, Any], where: str) -> None:
        files = [key for key in pki.ETCD_CLIENT_FIELDS if etcd.get(key)]
        both = {"certFile", "keyFile"}
        if both & {*files} and len(files) < 3:
            self.wrong(
                where,
                f"{' and '.join(files)} alone",
                "caFile, certFile and keyFile together",
                "Set all three, or caFile alone.",
            )
        for key in ("endpoints", "httpEndpoints"):
            urls = etcd.get(key)
            for index, url in enumerate(urls if isinstance(urls, (list, tuple)) else ()):
                if files and isinstance(url, str) and url.startswith("http:"):
                    self.wrong(
                        f"{where}.{key}[{index}]",
                        show(url),
                        f"https, for {files[0]} is set",
                        "Write https, or remove the files.",
                    )

    def _rule_BootstrapToken(self, token: Mapping[str, Any], where: str) -> None:
        # SetDefaults_BootstrapToken and ValidateBootstrapTokens, in 1.20 as in newer ones.
        if token.get("expires") is not None:
            action = "Set ttl: kubeadm gives one to every token, and then takes no other end."
            self.wrong(f"{where}.expires", "a time", "a ttl", action)

    def _rule_APIServer(self, component: Mapping[str, Any], where: str) -> None:
        volumes = component.get("extraVolumes")
        names = [
            volume["name"]
            for volume in (volumes if isinstance(volumes, (list, tuple)) else ())
            if isinstance(volume, Mapping) and isinstance(volume.get("name"), str)
        ]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.wrong(f"{where}.extraVolumes", f"the name {name} twice", "a name of its own for each", "Rename one.")

    _rule_ControlPlaneComponent = _rule_APIServer

    def _rule_ClusterConfiguration(self, cluster: Mapping[str, Any], where: str) -> None:
        gates = cluster.get("featureGates")
        for name, value in gates.items() if isinstance(gates, Mapping) else ():
            here = f"{where}.featureGates.{name}"
            if name in _FEATURE_GATES and not self._is_of(*_FEATURE_GATES[name]):
                since, until = _FEATURE_GATES[name]
                found = f"a gate of 1.{since} to 1.{until}"
                self.wrong(here, found, f"one that kubeadm {self.version} knows", "Remove it: kubeadm stops at it.")
            elif name == "EtcdLearnerMode" and value is False and self.minor in range(29, 33):
                self.wrong(
                    here, "false", "true", "Remove it: members join as learners, so that quorum is never at risk."
                )
            elif name not in _FEATURE_GATES and _nearest(str(name), _FEATURE_GATES):
                near = _nearest(str(name), _FEATURE_GATES)
                self.wrong(here, "an unknown gate", "one that kubeadm knows", f"Did you mean {near}?")

    def _rule_NodeRegistrationOptions(self, node: Mapping[str, Any], where: str) -> None:
        for name, _value in readable_arguments(node.get("kubeletExtraArgs")):
            gone = _KUBELET_FLAGS_GONE.get(name)
            if gone and self.minor is not None and self.minor >= gone:
                self.wrong(
                    f"{where}.kubeletExtraArgs",
                    f"the flag {name}",
                    f"no flag that the kubelet {self.version} lacks",
                    f"Remove it: Kubernetes 1.{gone} removed it, and the kubelet would not start.",
                )
        ignored = node.get("ignorePreflightErrors")
        if self.minor is not None and self.minor < 28 and isinstance(ignored, (list, tuple)) and "all" in ignored:
            self.wrong(
                f"{where}.ignorePreflightErrors",
                "all",
                "names, for kubeadm knows it here from 1.28 on",
                "Name the findings.",
            )


def _nearest(word: str, known: Collection[str]) -> str | None:
    """The known word that was most likely meant."""
    by_lower_case = {name.lower(): name for name in sorted(known)}
    near = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.7)
    return by_lower_case[near[0]] if near else None


def _object_words(name: str, known: Collection[str]) -> str:
    return f"{name}'s fields ({', '.join(sorted(known))})" if len(known) <= 8 else f"{name}'s {len(known)} fields"


def _places(key: str) -> Iterator[tuple[str, str]]:
    """Where a field of this name exists: kinds, and paths in them."""

    def walk(name: str, path: str) -> Iterator[str]:
        for field, found in config_fields.fields(name).items():
            here = f"{path}.{field}" if path else field
            if field.lower() == key.lower():
                yield here
            inner = found.type.rsplit(" of ", 1)[-1]
            if inner in config_fields.TYPES:
                yield from walk(inner, here)

    for kind in config_fields.KINDS:
        for path in walk(kind, ""):
            yield kind, path
