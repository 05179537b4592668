# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches that kubeadm lays over what it generates: files in a folder that its configuration, or an argument, names.

Sources: kubeadm's help for --experimental-patches of 1.20, kubernetes#110405 (kubeletconfiguration), #124820
(corednsdeployment) and #138090 (kubeproxydaemonset).
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from . import versions
from .changes import Change, file_change
from .config_values import show
from .files import read_text
from .problems import CLUSTER, Problem

FOLDER = "/etc/kubernetes/patches"

# What kubeadm can patch, with the first minor that does.
TARGETS = {
    "etcd": 20,
    "kube-apiserver": 20,
    "kube-controller-manager": 20,
    "kube-scheduler": 20,
    "kubeletconfiguration": 25,
    "corednsdeployment": 31,
    "kubeproxydaemonset": 36,
}
_NAME = re.compile(r"(?P<target>[a-z-]+)(?P<suffix>[A-Za-z0-9._-]*)(\+(?P<type>\w+))?\.(json|yaml)", re.ASCII)


def check(subject: str, patches: Any, version: versions.Version | None, host: str = CLUSTER) -> list[Problem]:
    """What is wrong with patches, by file name.

    Args:
        subject: what they are called in messages.
        patches: file names with contents, each text, or what it is in YAML.
        version: of the kubeadm that reads them; None where it is not known.
        host: who has them.
    """
    if not isinstance(patches, Mapping):
        return [Problem(host, subject, show(patches), "a mapping of file names to patches", "Write it so.")]
    problems = []
    targets = [target for target, since in TARGETS.items() if version is None or version.minor >= since]
    for name, content in patches.items():
        here = f"{subject}[{name}]"
        match = _NAME.fullmatch(name) if isinstance(name, str) else None
        target = match and next((target for target in targets if match["target"].startswith(target)), None)
        if match is None or target is None or (match["type"] or "merge") not in ("strategic", "merge", "json"):
            written = re.split(r"[+.]", str(name))[0]
            near = difflib.get_close_matches(written, [other for other in targets if other != written], n=1)
            wanted = f"target[suffix][+patchtype].json or .yaml, the target one of {', '.join(targets)}"
            action = "Name it so, such as kube-apiserver0+merge.yaml."
            if near and not written.startswith(tuple(targets)):
                action = f"Did you mean {near[0]}?"
            problems.append(Problem(host, here, "a name that kubeadm passes over", wanted, action))
            continue
        form, word = (list, "a list of operations") if match["type"] == "json" else (dict, "a mapping")
        if not isinstance(content, (str, form)) or not content:
            wanted = f"{word}, or the text of one"
            problems.append(Problem(host, here, show(content), wanted, "Write the patch, or remove its name."))
    return problems


def changes(patches: Mapping[str, Any]) -> list[Change]:
    """What makes these the patches of this host, and no others."""
    found: list[Change] = []
    for name, content in sorted(patches.items()):
        text = content if isinstance(content, str) else json.dumps(content, indent=2, sort_keys=True) + "\n"
        found += file_change(f"{FOLDER}/{name}", text, 0o600)
    for name in sorted(os.listdir(FOLDER)) if os.path.isdir(FOLDER) else ():
        path = f"{FOLDER}/{name}"
        if name not in patches and os.path.isfile(path):
            found.append(Change(path, read_text(path) or "", "", lambda path=path: os.unlink(path)))
    return found


def named_in(node: Mapping[str, Any], patches: Mapping[str, Any]) -> dict[str, Any]:
    """A node's configuration that names the folder, where there are patches."""
    return {**node, "patches": {"directory": FOLDER}} if patches else {**node}
