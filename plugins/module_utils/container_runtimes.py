# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container runtimes: where each one listens, what goes with which Kubernetes, and the mirrors that they pull from."""

from __future__ import annotations

import difflib
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import versions
from .problems import CLUSTER, Problem, Refusal

CONTAINERD, CRIO, DOCKER = RUNTIMES = ("containerd", "crio", "docker")

# The last minor with dockershim is 23: release notes of 1.24.
_LAST_DOCKERSHIM = 23
# kubeadm of 1.20 to 1.23 tells Docker by just this path (cmd/kubeadm/app/constants, DefaultDockerCRISocket).
DOCKERSHIM_SOCKET = "/var/run/dockershim.sock"
_SOCKETS = {
    CONTAINERD: "/run/containerd/containerd.sock",
    CRIO: "/var/run/crio/crio.sock",
    DOCKER: DOCKERSHIM_SOCKET,
}

_REGISTRY = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?")
_MIRROR_OPTIONS = ("endpoint", "ca", "skip_verify")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.+-----END CERTIFICATE-----", re.DOTALL)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")


class RuntimeVersion(NamedTuple):
    """A runtime's version as far as anything depends on it; compares in release order."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


def parse_version(output: str) -> RuntimeVersion:
    """The version that a runtime says of itself, from what ``containerd``, ``dockerd`` or ``crio --version`` prints.

    Raises:
        ValueError: there is none in it.
    """
    match = re.search(r"\sv?([0-9]+)\.([0-9]+)\b", f" {output}")
    if match is None:
        raise ValueError(f"found {output.strip()!r}, wanted a version")
    return RuntimeVersion(int(match[1]), int(match[2]))


def cri_socket(runtime: str, kubernetes: versions.Version, socket: str | None = None) -> str:
    """Where kubeadm and the kubelet reach a runtime, in the form that this Kubernetes takes.

    Args:
        runtime: one of ``RUNTIMES``.
        kubernetes: its version. kubeadm wants the scheme from 1.24 on, and a bare path before.
        socket: where it is not the runtime's own; with or without ``unix://``.

    Raises:
        ValueError: there is no such runtime, or this Kubernetes cannot use it.
    """
    if runtime not in _SOCKETS:
        raise ValueError(f"{runtime!r} is not a container runtime of {', '.join(RUNTIMES)}")
    if not socket and runtime == DOCKER and kubernetes.minor > _LAST_DOCKERSHIM:
        raise ValueError(f"Kubernetes {kubernetes} has no dockershim any more, so Docker has no socket of its own")
    path = socket_path(socket or _SOCKETS[runtime])
    return f"unix://{path}" if kubernetes.minor >= 24 else path


def socket_path(socket: str) -> str:
    """The path of a socket that is given with or without ``unix://``."""
    return socket[len("unix://") :] if socket.startswith("unix://") else socket


def same_socket(one: str, other: str) -> bool:
    """Whether two names mean the same socket: /var/run is a link to /run (Filesystem Hierarchy Standard 3.0, 5.13)."""
    return re.sub("^/var/run/", "/run/", socket_path(one)) == re.sub("^/var/run/", "/run/", socket_path(other))


def socket_of_kubelet(flags: str | None, instance: str | None, kubernetes: versions.Version) -> str | None:
    """The socket that the kubelet of a node uses, by what kubeadm wrote for it; None where that does not tell.

    Args:
        flags: /var/lib/kubelet/kubeadm-flags.env, None where there is none.
        instance: /var/lib/kubelet/instance-config.yaml, which takes its place from Kubernetes 1.34 on.
        kubernetes: the cluster's version. Before 1.24, a kubelet that is not told an endpoint runs Docker.
    """
    match = re.search(r"--container-runtime-endpoint[= ]\"?([^\s\"]+)", flags or "") or re.search(
        r"^\"?containerRuntimeEndpoint\"?:\s*\"?([^\s\"]+)", instance or "", re.MULTILINE
    )
    if match:
        return match[1]
    return DOCKERSHIM_SOCKET if flags is not None and kubernetes.minor <= _LAST_DOCKERSHIM else None


def another(host: str, found: str, wanted: str) -> Problem:
    """A node's containers live in its runtime: kubeadm has no way to take them to another one."""
    return Problem(
        host=host,
        subject="container runtime",
        found=f"the kubelet at {found}",
        wanted=wanted,
        action="A node keeps its runtime: set cluster_container_runtime (or cluster_cri_socket) back, or drain and "
        "remove the node, run kubeadm reset on it, and join it again.",
    )


def incompatible(host: str, runtime: str, version: RuntimeVersion, kubernetes: versions.Version) -> list[Problem]:
    """Why this version of a runtime cannot serve this Kubernetes.

    The kubelet speaks the CRI's v1alpha2 before 1.26 and its v1 from 1.23 on (release notes of 1.23 and 1.26);
    containerd the former before 2.0 and the latter from 1.6 on (docs/containerd-2.0.md, RELEASES.md).
    """
    if runtime != CONTAINERD:
        return []
    if version >= (2, 0) and kubernetes.minor < 23:
        wanted, action = "containerd 1, the last that speaks the CRI's v1alpha2", "Install containerd 1.7"
    elif version < (1, 6) and kubernetes.minor >= 26:
        wanted, action = "containerd 1.6 or later, which speaks the CRI's v1", "Install a later containerd"
    else:
        return []
    found = f"{version}, under Kubernetes {kubernetes}"
    return [Problem(host, "containerd", found, wanted, f"{action}, or build another version of Kubernetes.")]


@dataclass(frozen=True)
class Mirror:
    """One place to pull images of a registry from.

    Attributes:
        scheme: http or https.
        host: its name, with its port where that is not the scheme's own.
        prefix: put before the names of images, without slashes around it; empty for none.
        ca: PEM of the authorities that its certificate is checked by; empty for the system's.
        skip_verify: its certificate is not checked at all.
    """

    scheme: str
    host: str
    prefix: str = ""
    ca: str = ""
    skip_verify: bool = False


Mirrors = Mapping[str, "tuple[Mirror, ...]"]


def parse_mirrors(value: Any) -> dict[str, tuple[Mirror, ...]]:
    """Mirrors by registry, from ``cluster_registry_mirrors``.

    Args:
        value: by registry (``docker.io``, ``registry.example.com:5000``) a list of endpoints: addresses, or mappings
            of ``endpoint``, ``ca`` and ``skip_verify``.

    Raises:
        Refusal: with everything that is wrong in it.
    """
    problems: list[Problem] = []
    if not isinstance(value, Mapping):
        problem = _wrong("", repr(value), "a mapping of registries to lists of endpoints", "Write it so.")
        raise Refusal([problem])
    mirrors = {}
    for registry, endpoints in value.items():
        if not _REGISTRY.fullmatch(str(registry)):
            problems.append(
                _wrong("", repr(registry), "a registry's host, with its port if any", "Leave out scheme and path.")
            )
        if not isinstance(endpoints, (list, tuple)) or not endpoints:
            problems.append(_wrong(registry, repr(endpoints), "a list of endpoints", "Write it so, or remove it."))
            continue
        parsed = [mirror for endpoint in endpoints if (mirror := _mirror(str(registry), endpoint, problems))]
        if len({(mirror.host, mirror.prefix) for mirror in parsed}) < len(parsed):
            problems.append(_wrong(registry, "an endpoint twice", "each one once", "Remove one of them."))
        mirrors[str(registry)] = tuple(parsed)
    if problems:
        raise Refusal(problems)
    return mirrors


def _wrong(registry: Any, found: str, wanted: str, action: str) -> Problem:
    subject = f"cluster_registry_mirrors[{registry}]" if registry else "cluster_registry_mirrors"
    return Problem(CLUSTER, subject, found, wanted, action)


def _mirror(registry: str, value: Any, problems: list[Problem]) -> Mirror | None:
    options = value if isinstance(value, Mapping) else {"endpoint": value}
    before = len(problems)
    for name in options:
        if name not in _MIRROR_OPTIONS:
            near = difflib.get_close_matches(str(name), _MIRROR_OPTIONS, n=1)
            action = f"Did you mean {near[0]}?" if near else "Remove it."
            problems.append(_wrong(registry, f"{name}", f"one of {', '.join(_MIRROR_OPTIONS)}", action))
    endpoint, ca = options.get("endpoint"), options.get("ca") or ""
    url = urllib.parse.urlsplit(endpoint if isinstance(endpoint, str) else "")
    if url.scheme not in ("http", "https") or not _REGISTRY.fullmatch(url.netloc) or url.query or url.fragment:
        problems.append(
            _wrong(registry, repr(endpoint), "http:// or https://, a host, and a path if any", "Correct the endpoint.")
        )
    if ca and (not isinstance(ca, str) or not _CERTIFICATE.search(ca) or _PRIVATE_KEY.search(ca)):
        # What was found may be a key: it is not shown.
        problems.append(
            _wrong(registry, "a ca that is no PEM of certificates alone", "the text of one", "Give the file's content.")
        )
    if not isinstance(options.get("skip_verify", False), bool):
        problems.append(_wrong(registry, f"skip_verify {options['skip_verify']!r}", "true or false", "Write it so."))
    if len(problems) > before:
        return None
    return Mirror(url.scheme, url.netloc, url.path.strip("/"), ca, options.get("skip_verify", False))


def refused_by_docker(host: str, mirrors: Mirrors) -> list[Problem]:
    """Mirrors that Docker cannot use: it knows those of Docker Hub alone, without a path (dockerd(8))."""
    action = f"Set cluster_registry_mirrors of {host} to what Docker can do, or use another runtime there."
    problems = [
        Problem(host, f"cluster_registry_mirrors[{registry}]", "Docker", "docker.io, the one that it mirrors", action)
        for registry in mirrors
        if registry != "docker.io"
    ]
    return problems + [
        Problem(host, "cluster_registry_mirrors[docker.io]", f"{mirror.host}/{mirror.prefix}", "no path", action)
        for mirror in mirrors.get("docker.io", ())
        if mirror.prefix
    ]


def check(host: str, settings: Mapping[str, Any], kubernetes: versions.Version) -> Iterator[Problem]:
    """What is wrong with the runtime that one host is to run.

    Args:
        host: its inventory name.
        settings: ``cluster_container_runtime``, ``cluster_cri_socket`` and ``cluster_registry_mirrors`` of it, None
            where it has none.
        kubernetes: the version that it is to run.
    """
    runtime = settings.get("cluster_container_runtime") or CONTAINERD
    socket = settings.get("cluster_cri_socket")
    if runtime not in RUNTIMES:
        near = difflib.get_close_matches(str(runtime), RUNTIMES, n=1)
        action = f"Did you mean {near[0]}?" if near else "Choose one of them."
        yield Problem(host, "cluster_container_runtime", repr(runtime), f"one of {', '.join(RUNTIMES)}", action)
    elif runtime == DOCKER and kubernetes.minor > _LAST_DOCKERSHIM:
        yield Problem(
            host=host,
            subject="cluster_container_runtime",
            found=f"docker, with Kubernetes {kubernetes}",
            wanted="containerd or crio: dockershim was removed with Kubernetes 1.24",
            action="Choose one of them for this host; images that Docker built run on both.",
        )
    if socket and not re.fullmatch(r"(?:unix://)?/\S+", str(socket)):
        action = "Give the path, with or without unix:// before it."
        yield Problem(host, "cluster_cri_socket", repr(socket), "the absolute path of a Unix socket", action)
    try:
        mirrors = parse_mirrors(settings.get("cluster_registry_mirrors") or {})
    except Refusal as refusal:
        yield from refusal.problems
    else:
        if runtime == DOCKER:
            yield from refused_by_docker(host, mirrors)
