# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One description of a cluster, rendered for the kubeadm at hand.

The description uses the words of ``kubeadm.k8s.io/v1beta4``, the newest API; older APIs get the same meaning in theirs,
or a refusal where they cannot say it. Sources: kubeadm's apis/kubeadm/v1beta2, v1beta3 and v1beta4 (types.go, doc.go).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import versions
from .problems import CLUSTER, Problem, Refusal

Document = dict[str, Any]
Path = tuple[str, ...]

# Fields that an API first has, by kind. A longer path than one of these lies inside it.
_SINCE_V1BETA3: dict[str, tuple[Path, ...]] = {
    "ClusterConfiguration": (),
    "InitConfiguration": (("skipPhases",), ("patches",), ("nodeRegistration", "imagePullPolicy")),
    "JoinConfiguration": (("skipPhases",), ("patches",), ("nodeRegistration", "imagePullPolicy")),
}
_SINCE_V1BETA4: dict[str, tuple[Path, ...]] = {
    "ClusterConfiguration": (
        ("proxy",),
        ("dns", "disabled"),
        ("encryptionAlgorithm",),
        ("certificateValidityPeriod",),
        ("caCertificateValidityPeriod",),
        ("apiServer", "extraEnvs"),
        ("controllerManager", "extraEnvs"),
        ("scheduler", "extraEnvs"),
        ("etcd", "local", "extraEnvs"),
        ("etcd", "external", "httpEndpoints"),
    ),
    "InitConfiguration": (("dryRun",), ("timeouts",), ("nodeRegistration", "imagePullSerial")),
    "JoinConfiguration": (("dryRun",), ("timeouts",), ("nodeRegistration", "imagePullSerial")),
}
# After an even number of backslashes, which stand for themselves.
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)(\\ud[89ab][0-9a-f]{2})(\\ud[c-f][0-9a-f]{2})")
_ARGUMENTS: dict[str, tuple[Path, ...]] = {
    "ClusterConfiguration": (
        ("apiServer", "extraArgs"),
        ("controllerManager", "extraArgs"),
        ("scheduler", "extraArgs"),
        ("etcd", "local", "extraArgs"),
    ),
    "InitConfiguration": (("nodeRegistration", "kubeletExtraArgs"),),
    "JoinConfiguration": (("nodeRegistration", "kubeletExtraArgs"),),
}


@dataclass(frozen=True)
class Description:
    """What kubeadm is told, in the words of v1beta4, without apiVersion and kind.

    Attributes:
        cluster: ClusterConfiguration. ``extraArgs`` may be a mapping or a list of name and value, here and below.
        node: what InitConfiguration or JoinConfiguration says of the node itself.
        kubelet: KubeletConfiguration, passed through.
        kube_proxy: KubeProxyConfiguration, passed through.
    """

    cluster: Document = field(default_factory=dict)
    node: Document = field(default_factory=dict, repr=False)
    kubelet: Document = field(default_factory=dict)
    kube_proxy: Document = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Description:
        """From the options of a module that takes ``ARGUMENT_SPEC``.

        A copy: Ansible reports a module's options, and secrets are added to the description later.
        """
        return cls(**{name: copy.deepcopy(options[name]) for name in ARGUMENT_SPEC})


# Documented by the fragment _description.
ARGUMENT_SPEC: Document = {
    name: {"type": "dict", "default": {}} for name in ("cluster", "node", "kubelet", "kube_proxy")
}


def render_init(description: Description, kubeadm: versions.Version) -> list[Document]:
    """The documents that ``kubeadm init`` reads.

    Raises:
        Refusal: this kubeadm's API cannot say something that the description asks for.
    """
    cluster, node = copy.deepcopy(description.cluster), copy.deepcopy(description.node)
    if versions.config_api(kubeadm) != "v1beta4":
        _move(node, ("timeouts", "controlPlaneComponentHealthCheck"), cluster, ("apiServer", "timeoutForControlPlane"))
    documents = [
        _document("InitConfiguration", node, kubeadm),
        _document("ClusterConfiguration", cluster, kubeadm),
    ]
    for api, kind, body in (
        ("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration", description.kubelet),
        ("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration", description.kube_proxy),
    ):
        if body:
            documents.append({"apiVersion": api, "kind": kind, **body})
    return documents


def render_join(description: Description, kubeadm: versions.Version) -> list[Document]:
    """The document that ``kubeadm join`` reads.

    Raises:
        Refusal: as ``render_init``.
    """
    node = copy.deepcopy(description.node)
    if versions.config_api(kubeadm) != "v1beta4":
        _move(node, ("timeouts", "discovery"), node, ("discovery", "timeout"))
    return [_document("JoinConfiguration", node, kubeadm)]


def dump(documents: list[Document]) -> str:
    """The documents as one file: JSON is YAML, and nodes carry no YAML library."""
    return "---\n".join(_yaml(document) + "\n" for document in documents)


def _yaml(document: Document) -> str:
    """JSON that is YAML to the letter: where JSON writes two surrogates, YAML wants one character (YAML 1.2, 5.7)."""

    def one_character(match: re.Match[str]) -> str:
        character = (match[2] + match[3]).encode().decode("unicode_escape").encode("utf-16", "surrogatepass")
        return f"{match[1]}\\U{ord(character.decode('utf-16')):08x}"

    return _SURROGATES.sub(one_character, json.dumps(document, indent=2, sort_keys=True))


def _document(kind: str, body: Document, kubeadm: versions.Version) -> Document:
    api = versions.config_api(kubeadm)
    missing = [path for path in _fields_missing_from(api, kind) if _get(body, path) is not None]
    if missing:
        raise Refusal(
            Problem(
                host=CLUSTER,
                subject=f"{kind} field {'.'.join(path)}",
                found=f"kubeadm {kubeadm}, which reads {api}",
                wanted="an API that has this field",
                action="Remove the field, or use a newer Kubernetes version.",
            )
            for path in missing
        )
    for path in _ARGUMENTS[kind]:
        arguments = _get(body, path)
        if arguments is not None:
            _put(body, path, _as_list(arguments) if api == "v1beta4" else _as_mapping(arguments, path))
    socket = _get(body, ("nodeRegistration", "criSocket"))
    if socket:
        _put(body, ("nodeRegistration", "criSocket"), _cri_socket(socket, kubeadm))
    return {"apiVersion": f"kubeadm.k8s.io/{api}", "kind": kind, **body}


def _fields_missing_from(api: str, kind: str) -> tuple[Path, ...]:
    if api == "v1beta2":
        return _SINCE_V1BETA3[kind] + _SINCE_V1BETA4[kind]
    return _SINCE_V1BETA4[kind] if api == "v1beta3" else ()


def _cri_socket(socket: str, kubeadm: versions.Version) -> str:
    """kubeadm wants the scheme from 1.24 on, and a bare path before."""
    path = socket[len("unix://") :] if socket.startswith("unix://") else socket
    return f"unix://{path}" if kubeadm.minor >= 24 else path


def _as_list(arguments: Any) -> list[Document]:
    if isinstance(arguments, Mapping):
        return [{"name": name, "value": _text(value)} for name, value in arguments.items()]
    return [{"name": item["name"], "value": _text(item["value"])} for item in arguments]


def _as_mapping(arguments: Any, path: Path) -> dict[str, str]:
    pairs = [(item["name"], item["value"]) for item in _as_list(arguments)]
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise Refusal(
            [
                Problem(
                    host=CLUSTER,
                    subject=".".join(path),
                    found="an argument given twice",
                    wanted="each argument once: only v1beta4 (kubeadm 1.31) can repeat one",
                    action="Give it once.",
                )
            ]
        )
    return mapping


def _text(value: Any) -> str:
    """Component arguments are strings; YAML's booleans are written as the components read them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _get(body: Document, path: Path) -> Any:
    value: Any = body
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _put(body: Document, path: Path, value: Any) -> None:
    for key in path[:-1]:
        body = body.setdefault(key, {})
    body[path[-1]] = value


def _move(source: Document, path: Path, target: Document, new_path: Path) -> None:
    value = _get(source, path)
    if value is None:
        return
    parent = _get(source, path[:-1])
    del parent[path[-1]]
    if not parent:
        del source[path[0]]
    _put(target, new_path, value)
