# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests as the controller reads them, from files and URLs, by their checksums. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from ansible.module_utils.urls import open_url

from ansible_collections.kubeadm.ha.plugins.module_utils import pod_network, subnets
from ansible_collections.kubeadm.ha.plugins.module_utils.files import write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem

TIMEOUT_SECONDS = 30
_TEXT = "tag:yaml.org,2002:str"


class ManifestLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as kubectl reads it: what looks like a date, or like hours and minutes, is text."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        tag: str = super().resolve(kind, value, implicit)
        name = tag.rpartition(":")[2]
        if kind is yaml.ScalarNode and (name == "timestamp" or (name in ("int", "float") and ":" in value)):
            return _TEXT
        return tag


def load(variables: Mapping[str, Any], folder: str | None) -> tuple[list[pod_network.Document], list[Problem]]:
    """The objects that the manifests of a pod network bring, and all that stands against them.

    Args:
        variables: values of ``cluster_*`` variables, by name, which ``pod_network.check_choice`` has found sound.
        folder: to which paths are relative.
    """
    network = variables.get("cluster_network") or pod_network.BRIDGE
    if network not in pod_network.FROM_MANIFESTS:
        return [], []
    manifests = variables.get("cluster_network_manifests") or []
    wanted = pod_network.sources(network, manifests, str(variables["cluster_kubernetes_version"]))
    read, problems = read_all(wanted, folder)
    pods = subnets.parse(variables["cluster_pod_subnet"])
    bin_dir = variables.get("cluster_cni_bin_dir")
    objects, more = pod_network.prepare(network, read, pods, bin_dir, complete=not problems)
    return objects, problems + more


def read_all(
    wanted: Iterable[pod_network.Source], folder: str | None
) -> tuple[list[tuple[str, list[Any]]], list[Problem]]:
    """Each manifest's place and documents, and what is wrong with those that cannot be read."""
    read, problems = [], []
    for source in wanted:
        try:
            read.append((source.place, list(yaml.load_all(fetch(source, folder), Loader=ManifestLoader))))
        except (OSError, ValueError, yaml.YAMLError) as error:
            found = " ".join((_where(error) if isinstance(error, yaml.YAMLError) else str(error)).split())
            wish = f"a manifest that this controller can read{', with this checksum' if source.checksum else ''}"
            action = "Give the controller a way there (https_proxy), or download it elsewhere and name the file."
            hint = action if source.is_url else "Correct cluster_network_manifests, or the file."
            problems.append(Problem(CLUSTER, source.place, found, wish, hint))
    return read, problems


def _where(error: yaml.YAMLError) -> str:
    """What is wrong with YAML, and where, without the text there: it may be a secret's."""
    mark = getattr(error, "problem_mark", None)
    return f"{getattr(error, 'problem', 'no YAML')}" + (f", in line {mark.line + 1}" if mark else "")


def fetch(source: pod_network.Source, folder: str | None) -> bytes:
    """A manifest's content. One with a checksum is fetched once, and kept under it for the runs to come.

    Raises:
        OSError: it cannot be read.
        ValueError: its checksum is another.
    """
    if not source.is_url:
        with open(os.path.join(folder or "", os.path.expanduser(source.place)), "rb") as stream:
            return _verified(stream.read(), source)
    kept = os.path.join(_cache(), source.checksum.partition(":")[2]) if source.checksum else None
    if kept:
        with contextlib.suppress(OSError, ValueError), open(kept, "rb") as stream:
            return _verified(stream.read(), source)
    content = _verified(open_url(source.place, timeout=TIMEOUT_SECONDS, follow_redirects="safe").read(), source)
    if kept:
        with contextlib.suppress(OSError):  # a controller without a home directory fetches it each time
            write_atomic(kept, content, 0o600)
    return content


def _verified(content: bytes, source: pod_network.Source) -> bytes:
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if source.checksum and found != source.checksum:
        raise ValueError(f"{found}, which is not {source.checksum}")
    return content


def _cache() -> str:
    """Where manifests are kept, by their checksums (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "kubeadm.ha", "manifests")
