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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import config_check, config_fields, versions
from .problems import CLUSTER, Problem, Refusal

Document = dict[str, Any]
Path = tuple[str, ...]

# What v1beta4 says among a command's timeouts, and where older APIs do: in ClusterConfiguration, or in the same one.
_INIT_TIMEOUT: tuple[Path, Path] = (
    ("timeouts", "controlPlaneComponentHealthCheck"),
    ("apiServer", "timeoutForControlPlane"),
)
_JOIN_TIMEOUT: tuple[Path, Path] = (("timeouts", "discovery"), ("discovery", "timeout"))
# What v1beta2 has no field for, and its kubeadm arguments that may stand beside --config.
_ARGUMENTS_OF_V1BETA2 = frozenset({"skipPhases", "patches"})
# Fields whose values are secrets.
SECRET_FIELDS = frozenset({"token", "tlsBootstrapToken", "certificateKey"})
# After an even number of backslashes, which stand for themselves.
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)(\\ud[89ab][0-9a-f]{2})(\\ud[c-f][0-9a-f]{2})")


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
    def from_options(cls, options: Mapping[str, Any], node_kind: str = "InitConfiguration") -> Description:
        """From the options of a module that takes ``ARGUMENT_SPEC``.

        A copy: Ansible reports a module's options, and secrets are added to the description later.

        Raises:
            Refusal: something in it that no version could be told, so that whoever goes on may rely on its form.
        """
        expect(
            [
                (node_kind, options["node"]),
                ("ClusterConfiguration", options["cluster"]),
                ("KubeletConfiguration", options["kubelet"]),
                ("KubeProxyConfiguration", options["kube_proxy"]),
            ]
        )
        return cls(**{name: copy.deepcopy(options[name]) for name in ARGUMENT_SPEC})


# Documented by the fragment _description.
ARGUMENT_SPEC: Document = {
    name: {"type": "dict", "default": {}} for name in ("cluster", "node", "kubelet", "kube_proxy")
}


def expect(bodies: Iterable[tuple[str, Any]], kubeadm: versions.Version | None = None) -> None:
    """Refuse configurations, by kind and body, that this kubeadm could not be told; or none at all, without one.

    Raises:
        Refusal: everything that is wrong with them.
    """
    problems = [problem for kind, body in bodies for problem in config_check.check(kind, body, kubeadm)]
    if problems:
        raise Refusal(problems)


def render_init(description: Description, kubeadm: versions.Version) -> list[Document]:
    """The documents that ``kubeadm init`` reads; ``arguments`` has the rest.

    Raises:
        Refusal: the description says something that this kubeadm cannot be told; every such thing.
    """
    init, cluster, *components = _rendered(
        [
            ("InitConfiguration", description.node),
            ("ClusterConfiguration", description.cluster),
            ("KubeletConfiguration", description.kubelet),
            ("KubeProxyConfiguration", description.kube_proxy),
        ],
        kubeadm,
    )
    if versions.config_api(kubeadm) != "v1beta4":
        _move(init, _INIT_TIMEOUT[0], cluster, _INIT_TIMEOUT[1])
    return [init, cluster, *(document for document in components if len(document) > len(("apiVersion", "kind")))]


def render_join(description: Description, kubeadm: versions.Version) -> list[Document]:
    """The document that ``kubeadm join`` reads; ``arguments`` has the rest.

    Raises:
        Refusal: as ``render_init``.
    """
    (join,) = _rendered([("JoinConfiguration", description.node)], kubeadm)
    if versions.config_api(kubeadm) != "v1beta4":
        _move(join, _JOIN_TIMEOUT[0], join, _JOIN_TIMEOUT[1])
    return [join]


def render_command(kind: str, body: Document, kubeadm: versions.Version) -> list[Document]:
    """The document that ``kubeadm reset`` or ``kubeadm upgrade`` reads.

    Args:
        kind: ResetConfiguration or UpgradeConfiguration.
        body: what it says.
        kubeadm: the one that will read it.

    Raises:
        Refusal: as ``render_init``; and before 1.31 kubeadm reads none of them.
    """
    if versions.config_api(kubeadm) != "v1beta4":
        wanted, action = "kubeadm 1.31, the first that reads it", "Tell older ones by their arguments."
        raise Refusal([Problem(CLUSTER, kind, f"kubeadm {kubeadm}", wanted, action)])
    return _rendered([(kind, body)], kubeadm)


def arguments(node: Mapping[str, Any], kubeadm: versions.Version) -> list[str]:
    """What a node's description says and this kubeadm takes only as arguments beside ``--config``.

    Phases are not among them: every kubeadm has an argument for these, and it replaces what a configuration says.
    """
    if versions.config_api(kubeadm) != "v1beta2" or not node.get("patches"):
        return []
    return [f"--experimental-patches={node['patches']['directory']}"]


def secrets(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every secret in documents, that of a bootstrap token also without the token's id."""
    found: list[str] = []

    def walk(value: Any) -> None:
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            if key in SECRET_FIELDS and isinstance(inner, str):
                found.extend((inner, inner.rpartition(".")[2]))
            elif isinstance(inner, (Mapping, list)):
                walk(inner)

    for document in documents:
        walk(document)
    return [secret for secret in found if secret]


def dump(documents: list[Document]) -> str:
    """The documents as one file: JSON is YAML, and nodes carry no YAML library."""
    return "---\n".join(_yaml(document) + "\n" for document in documents)


def _yaml(document: Document) -> str:
    """JSON that is YAML to the letter: where JSON writes two surrogates, YAML wants one character (YAML 1.2, 5.7)."""

    def one_character(match: re.Match[str]) -> str:
        character = (match[2] + match[3]).encode().decode("unicode_escape").encode("utf-16", "surrogatepass")
        return f"{match[1]}\\U{ord(character.decode('utf-16')):08x}"

    return _SURROGATES.sub(one_character, json.dumps(document, indent=2, sort_keys=True))


def _rendered(bodies: list[tuple[str, Document]], kubeadm: versions.Version) -> list[Document]:
    """Documents of these kinds and bodies, in the words of this kubeadm, but for timeouts that belong elsewhere."""
    expect(bodies, kubeadm)
    documents = []
    for kind, body in bodies:
        api = config_fields.KINDS[kind].replace(
            "kubeadm.k8s.io/v1beta4", f"kubeadm.k8s.io/{versions.config_api(kubeadm)}"
        )
        document = {**_object(kind, body, kubeadm), "apiVersion": api, "kind": kind}
        if api.endswith("/v1beta2"):
            document = {key: value for key, value in document.items() if key not in _ARGUMENTS_OF_V1BETA2}
        documents.append(document)
    return documents


def _object(name: str, body: Mapping[str, Any], kubeadm: versions.Version) -> Document:
    """An object of ``config_fields`` without its empty fields: null says what leaving a field out says."""
    known = config_fields.fields(name)
    return {
        key: _value(known[key].type, value, kubeadm)
        for key, value in body.items()
        if value is not None and key in known
    }


def _value(type_name: str, value: Any, kubeadm: versions.Version) -> Any:
    if type_name in config_fields.TYPES:
        return _object(type_name, value, kubeadm)
    if type_name.startswith("list of "):
        return [_value(type_name[len("list of ") :], inner, kubeadm) for inner in value]
    if type_name.startswith("map of "):
        return {key: _value(type_name[len("map of ") :], inner, kubeadm) for key, inner in value.items()}
    if type_name == "arguments":
        pairs = config_check.arguments(value)
        as_list = versions.config_api(kubeadm) == "v1beta4"
        return [{"name": name, "value": text} for name, text in pairs] if as_list else dict(pairs)
    return _cri_socket(value, kubeadm) if type_name == "socket" else value


def _cri_socket(socket: str, kubeadm: versions.Version) -> str:
    """kubeadm wants the scheme from 1.24 on, and a bare path before."""
    path = socket[len("unix://") :] if socket.startswith("unix://") else socket
    return f"unix://{path}" if kubeadm.minor >= 24 else path


def _move(source: Document, path: Path, target: Document, new_path: Path) -> None:
    """Take a field of a document's field to another place, and leave no empty one behind."""
    outer, name = path
    if outer not in source:
        return
    value = source[outer].pop(name, None)
    if not source[outer]:
        del source[outer]
    if value is not None:
        target.setdefault(new_path[0], {})[new_path[1]] = value
