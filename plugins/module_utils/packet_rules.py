# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that a cluster put into a host's packet filter, told from all others.

Pure: what ``iptables-save`` prints comes in, and what ``iptables-restore --noflush`` takes goes out. That names nothing
but the cluster's own chains and the rules that lead to them, so what others change in between is not lost.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

# kube-proxy and the kubelet; Calico; Flannel; Cilium, which renames its old ones while it starts.
_CHAINS = ("KUBE-", "cali-", "FLANNEL-", "CILIUM_", "OLD_CILIUM_")
# CNI's plugins bridge and portmap: a chain for each container, and those that all containers share.
_CNI = "CNI-"
_CNI_SHARED = ("CNI-HOSTPORT-", "CNI-ADMIN", "CNI-FORWARD")
# What Calico and Flannel put into the kernel's own chains without a chain of theirs.
_COMMENTS = ("cali:", "flanneld ")
# The plugins' comment on whatever belongs to a container (containernetworking/plugins, utils.FormatComment).
_CONTAINER = re.compile(r'name: "([^"]*)" id: "')


@dataclass
class _Table:
    """One table: the chains that are not the kernel's own, and rules as words and as they were printed."""

    name: str
    chains: list[str] = field(default_factory=list)
    rules: list[tuple[list[str], str]] = field(default_factory=list)


def _tables(saved: str) -> Iterator[_Table]:
    table = None
    for line in saved.splitlines():
        if line.startswith("*"):
            table = _Table(line[1:].strip())
        elif table and line.startswith(":"):
            name, policy = line[1:].split()[:2]
            table.chains += [name] if policy == "-" else []
        elif table and line.startswith("-A "):
            table.rules.append((_words(line), line))
        elif table and line.startswith("COMMIT"):
            yield table
            table = None


def _words(rule: str) -> list[str]:
    try:
        return shlex.split(rule)
    except ValueError:  # a quote that is never closed: nobody's that is known here
        return rule.split()


def _after(words: list[str], *options: str) -> str:
    """The word that follows one of these options, empty where there is none."""
    return next((words[at + 1] for at, word in enumerate(words[:-1]) if word in options), "")


def _target(words: list[str]) -> str:
    return _after(words, "-j", "-g")


def removal(saved: str, *, foreign_networks: Collection[str] = (), masquerade: str = "") -> str:
    """What takes a cluster's rules away and leaves all others.

    Args:
        saved: what ``iptables-save`` or ``ip6tables-save`` printed.
        foreign_networks: CNI networks that belong to somebody else, by the name in their configuration.
        masquerade: the pod subnet for which this collection's bridge network has a rule of its own; empty for none.

    Returns:
        Input for ``iptables-restore --noflush``, empty where there is nothing of a cluster.
    """
    text = ""
    for table in _tables(saved):
        chains = _owned_chains(table, foreign_networks)
        rules = [line for words, line in table.rules if words[1] not in chains and _owned(words, chains, masquerade)]
        if not chains and not rules:
            continue
        lines = [f"*{table.name}"]
        lines += [f"-D {line[len('-A ') :]}" for line in rules]
        lines += [f"-{step} {chain}" for step in "FX" for chain in table.chains if chain in chains]
        text += "\n".join([*lines, "COMMIT", ""])
    return text


def names(saved: str) -> str:
    """A removal in the words that a person wants to see: chains and rules, without what is done to them."""
    found = (line.split(" ", 1) for line in saved.splitlines() if line.startswith(("-D ", "-X ")))
    return "".join(f"{rest}\n" if step == "-X" else f"-A {rest}\n" for step, rest in found)


def _owned_chains(table: _Table, foreign_networks: Collection[str]) -> set[str]:
    owned = {chain for chain in table.chains if chain.startswith(_CHAINS)}
    cni = {chain for chain in table.chains if chain.startswith(_CNI)}
    foreign = {
        _target(words)
        for words, _line in table.rules
        if (match := _CONTAINER.search(_after(words, "--comment"))) and match[1] in foreign_networks
    }
    shared = {chain for chain in cni if chain.startswith(_CNI_SHARED)}
    return owned | (cni - foreign - shared if cni & foreign else cni)


def _owned(words: list[str], chains: Collection[str], masquerade: str) -> bool:
    """Whether a rule in somebody else's chain is the cluster's."""
    if _target(words) in chains or _after(words, "--comment").startswith(_COMMENTS):
        return True
    own = ["-A", "POSTROUTING", "-s", masquerade, "!", "-d", masquerade, "-j", "MASQUERADE"]
    return bool(masquerade) and words == own
