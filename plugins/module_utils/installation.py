# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Kubernetes' programs come to a host, judged beside those that are there. Pure."""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import apt, skew, versions
from .problems import Problem
from .programs import FLAGS_FILE, FOLDERS
from .versions import Version

BINARIES = "binaries"
PACKAGES = "packages"
EXISTING = "existing"
METHODS = (BINARIES, PACKAGES, EXISTING)

PACKAGES_BIN_DIR = "/usr/bin"
PACKAGES_CNI_BIN_DIR = "/opt/cni/bin"
PACKAGE_MANAGERS = ("apt", "dnf")
# Upstream's repositories begin with this minor version (kubernetes/release, metadata.yaml of its packages).
OLDEST_PACKAGED_MINOR = 24
# What the role downloads, by the names that checksums are given under.
FILES = ("kubeadm", "kubelet", "kubectl", "crictl", "cni_plugins")
# Units here stand before those of packages (systemd.unit(5)).
_ADMIN_UNITS = "/etc/systemd/system/"


@dataclass(frozen=True)
class Installation:
    """What the inventory says of one host's programs.

    Attributes:
        method: one of ``METHODS``.
        bin_dir: where ``binaries`` puts programs.
        cni_bin_dir: where CNI plugins are.
        repository: URL of the packages' repository, where it is not upstream's.
        key: URL of its key, or the key itself, where it does not lie beside it.
        checksums: SHA-256 by file, of those that are pinned; as the user wrote it.
        downgrade: packages may be replaced by older ones.
    """

    method: str = BINARIES
    bin_dir: str = "/usr/local/bin"
    cni_bin_dir: str = PACKAGES_CNI_BIN_DIR
    repository: str | None = None
    key: str | None = None
    checksums: Any = None
    downgrade: bool = False

    @classmethod
    def from_variables(cls, variables: Mapping[str, Any]) -> Installation:
        """From one host's variables of the inventory."""
        said = {
            "method": variables.get("cluster_install_method"),
            "bin_dir": variables.get("cluster_bin_dir"),
            "cni_bin_dir": variables.get("cluster_cni_bin_dir"),
            "repository": variables.get("cluster_package_repository"),
            "key": variables.get("cluster_package_key"),
            "checksums": variables.get("cluster_checksums"),
            "downgrade": variables.get("cluster_package_downgrade"),
        }
        return cls(**{key: value for key, value in said.items() if value is not None})


def check_inventory(host: str, wanted: Installation, version: str) -> list[Problem]:
    """What is wrong with the variables themselves, before any host is looked at."""
    problems = []
    if wanted.method not in METHODS:
        near = difflib.get_close_matches(str(wanted.method), METHODS, n=1)
        action = f"Did you mean {near[0]}?" if near else "Choose one of them."
        problems.append(
            Problem(host, "cluster_install_method", repr(wanted.method), f"one of {', '.join(METHODS)}", action)
        )
    if wanted.method == PACKAGES:
        problems += _check_packages(host, wanted, version)
    # What is no mapping is refused as such by cluster_input.
    checksums = wanted.checksums if isinstance(wanted.checksums, Mapping) else {}
    for name, checksum in sorted(checksums.items()):
        if name not in FILES:
            near = difflib.get_close_matches(str(name), FILES, n=1)
            action = f"Did you mean {near[0]}?" if near else "Remove it: it would pin nothing."
            problems.append(
                Problem(host, "cluster_checksums", f"the name {name}", f"one of {', '.join(FILES)}", action)
            )
        elif not re.fullmatch(r"[0-9a-f]{64}", str(checksum)):
            action = "Write the SHA-256 of the download, as sha256sum prints it."
            problems.append(
                Problem(host, f"cluster_checksums.{name}", repr(checksum), "64 lower case hexadecimal digits", action)
            )
    return problems


def _check_packages(host: str, wanted: Installation, version: str) -> Iterable[Problem]:
    try:
        minor = versions.parse(version).minor
    except ValueError:
        minor = OLDEST_PACKAGED_MINOR  # the version itself is judged elsewhere
    if minor < OLDEST_PACKAGED_MINOR and not wanted.repository:
        yield Problem(
            host=host,
            subject="cluster_install_method",
            found=f"packages, of Kubernetes {version}",
            wanted=f"a version from 1.{OLDEST_PACKAGED_MINOR} on, as upstream has no packages of older ones",
            action="Set cluster_package_repository to one that has them, or cluster_install_method to binaries.",
        )
    if wanted.repository and not wanted.repository.endswith("/"):
        wish = "the URL of a folder, with a slash at its end"
        yield Problem(host, "cluster_package_repository", wanted.repository, wish, "Put a slash at its end.")
    if wanted.cni_bin_dir != PACKAGES_CNI_BIN_DIR:
        yield Problem(
            host=host,
            subject="cluster_cni_bin_dir",
            found=wanted.cni_bin_dir,
            wanted=f"{PACKAGES_CNI_BIN_DIR}, where the package kubernetes-cni puts the plugins",
            action="Remove the variable, or choose another cluster_install_method.",
        )


def check_new_node(
    host: str,
    wanted: Installation,
    version: Version,
    programs: Mapping[str, Mapping[str, Any]],
    kubelet_unit: Mapping[str, Any],
    package_manager: str,
) -> list[Problem]:
    """What stands against one host's programs becoming, or already being, those that make it a node.

    Args:
        host: its inventory name.
        wanted: what the inventory says of it.
        version: the cluster's.
        programs: those that are there; see ``programs.collect``.
        kubelet_unit: likewise.
        package_manager: the name of the Ansible module that installs its packages.
    """
    if wanted.method == EXISTING:
        skewed = check_skew(host, version, programs, joins=True)
        return [*_missing(host, version, programs), *skewed, *_unit(host, kubelet_unit)]
    problems = _shadowed(host, wanted, programs, kubelet_unit)
    if wanted.method == PACKAGES:
        problems += [*_packaged(host, wanted, version, programs), *_managed(host, wanted, package_manager)]
    return problems


def check_member(
    host: str,
    wanted: Installation,
    version: Version,
    programs: Mapping[str, Mapping[str, Any]],
    kubelet_unit: Mapping[str, Any],
) -> list[Problem]:
    """Whether what the role would install is what a node of the cluster has, for it must not change it."""
    if wanted.method == EXISTING:
        return []
    return _shadowed(host, wanted, programs, kubelet_unit) + [
        Problem(
            host=host,
            subject=f"{programs[name]['path']}",
            found=programs[name]["said"] or "no version",
            wanted=f"v{version}: a build never changes the version of a node",
            action=f"Upgrade this node, or leave it out with --limit '!{host}'.",
        )
        for name in ("kubeadm", "kubelet")
        if name in programs and programs[name]["version"] != str(version)
    ]


def check_skew(
    host: str, version: Version, programs: Mapping[str, Mapping[str, Any]], *, joins: bool = False
) -> list[Problem]:
    """Whether programs that are there go with a control plane of this version, also for a host that joins by them."""
    rules = {
        "kubeadm": skew.kubeadm_rule,
        "kubelet": functools.partial(skew.kubelet_rule, joins=joins),
        "kubectl": skew.kubectl_rule,
    }
    problems = []
    for name, program in sorted(programs.items()):
        if program["version"] is None:
            rule: str | None = "a release of the form v1.x.y"
        else:
            rule = rules[name](versions.parse(program["version"]), version)
        if rule:
            found = f"{program['said'] or 'no version'} ({program['path']})"
            action = f"Install a {name} that goes with Kubernetes {version}, or set cluster_kubernetes_version."
            problems.append(Problem(host, name, found, rule, action))
    return problems


def check_nodes(version: Version, nodes: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Nodes of the running cluster whose kubelets do not go with its control plane."""
    problems = []
    for name, node in sorted(nodes.items()):
        try:
            rule = skew.kubelet_rule(versions.parse(node["kubelet"]), version)
        except ValueError:
            continue  # a build of somebody's own says what it likes
        if rule:
            action = "Upgrade this node: it may fail at any time."
            problems.append(Problem(f"node {name}", "kubelet", node["kubelet"], rule, action))
    return problems


def _missing(host: str, version: Version, programs: Mapping[str, Any]) -> list[Problem]:
    return [
        Problem(
            host=host,
            subject=name,
            found="none",
            wanted=f"one that goes with Kubernetes {version}, as cluster_install_method is existing",
            action=f"Install it in the PATH, in {' or in '.join(FOLDERS)}, or choose another method.",
        )
        for name in ("kubeadm", "kubelet")
        if name not in programs
    ]


def _unit(host: str, unit: Mapping[str, Any]) -> list[Problem]:
    if unit.get("reads_flags") and unit.get("path"):
        return []
    found = f"{unit['path']}, which does not read it" if unit.get("path") else "no such unit"
    action = "Install kubeadm's drop-in for it (10-kubeadm.conf), as upstream's packages do, or choose another method."
    return [Problem(host, "kubelet.service", found, f"a unit that reads {FLAGS_FILE}", action)]


def _shadowed(
    host: str, wanted: Installation, programs: Mapping[str, Mapping[str, Any]], unit: Mapping[str, Any]
) -> list[Problem]:
    """Programs that would be run in place of those that are to be installed, and units in place of the packages'."""
    bin_dir = PACKAGES_BIN_DIR if wanted.method == PACKAGES else wanted.bin_dir
    first = FOLDERS[: FOLDERS.index(bin_dir)] if bin_dir in FOLDERS else FOLDERS
    problems = [
        Problem(
            host=host,
            subject=name,
            found=f"{programs[name]['path']}, which is looked for before {bin_dir}",
            wanted=f"{bin_dir}/{name} alone",
            action="Remove it, or set cluster_install_method (and cluster_bin_dir) to what brought it.",
        )
        for name in ("kubeadm", "kubelet")
        if name in programs and os.path.dirname(programs[name]["path"]) in first
    ]
    if wanted.method == PACKAGES:
        path = unit.get("path") or ""
        action = "Remove it and reload systemd, or set cluster_install_method to what brought it."
        problems += [
            Problem(host, "kubelet.service", found, "the packages' own unit alone", action)
            for found in sorted({*unit.get("own", ()), *([path] if path.startswith(_ADMIN_UNITS) else [])})
        ]
    return problems


def _managed(host: str, wanted: Installation, package_manager: str) -> Iterable[Problem]:
    if package_manager not in PACKAGE_MANAGERS:
        yield Problem(
            host=host,
            subject="package manager",
            found="none that is known" if package_manager == "auto" else package_manager,
            wanted=f"one of {', '.join(PACKAGE_MANAGERS)}, which upstream has repositories for",
            action="Set cluster_install_method to binaries, or install them yourself and set it to existing.",
        )
    elif package_manager != "apt" and apt.is_armoured((wanted.key or "").encode()):
        action = "Put the key into a file of the host, and set the variable to its file:// URL."
        yield Problem(host, "cluster_package_key", "the key itself", f"its URL, as {package_manager} wants it", action)


def _packaged(
    host: str, wanted: Installation, version: Version, programs: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """Packages that somebody else keeps at another version, and newer ones."""
    problems = []
    for name, program in sorted(programs.items()):
        if program["version"] in (None, str(version)) or os.path.dirname(program["path"]) != PACKAGES_BIN_DIR:
            continue
        if program["held"]:
            action = f"apt-mark unhold {name}, or set cluster_install_method to existing."
            problems.append(Problem(host, name, f"v{program['version']}, held by somebody", f"v{version}", action))
        elif versions.parse(program["version"]) > version and not wanted.downgrade:
            action = "Set cluster_package_downgrade to true, or cluster_kubernetes_version to what is there."
            problems.append(Problem(host, name, f"v{program['version']}, which is newer", f"v{version}", action))
    return problems
