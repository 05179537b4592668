# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which etcd endpoints API servers use, and what stands against giving one others.

Pure. They stand in manifests and in the cluster's ClusterConfiguration, as text. Only the endpoints are changed, and
each other letter stays: what users have patched or written there is theirs. kubeadm writes both texts with one item a
line; what is written otherwise is left to whoever wrote it so.
Sources: kubeadm's phases/controlplane/manifests.go of 1.20, apis/kubeadm/v1beta2 and v1beta4 (types.go).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .etcd import hexadecimal
from .external_etcd import Answer
from .problems import Problem

_FLAG = re.compile(r"^(?P<before>[ \t]*- (?P<quote>[\"']?)--etcd-servers=)(?P<value>[^\"'\s#]*)(?P=quote)[ \t]*$", re.M)
_SECTION = re.compile(r"^etcd:[ \t]*\n(?:[ \t]+\S.*\n?)+", re.MULTILINE)
_LIST = re.compile(
    r"^(?P<indent> +)(?P<name>endpoints|httpEndpoints):[ \t]*\n(?P<items>(?:(?P=indent) *- \S.*(?:\n|\Z))+)",
    re.MULTILINE,
)


class UnknownForm(ValueError):
    """The text is not written as kubeadm writes it; the message says what was looked for."""


def of_manifest(text: str | None) -> list[str]:
    """The endpoints in an API server's manifest; none where it has none, or has them more than once."""
    found = list(_FLAG.finditer(text or ""))
    return found[0]["value"].split(",") if len(found) == 1 else []


def in_manifest(text: str, endpoints: Sequence[str]) -> str:
    """The manifest with these endpoints.

    Raises:
        UnknownForm: it does not have the flag --etcd-servers on a line of its own, once.
    """
    found = list(_FLAG.finditer(text))
    if len(found) != 1:
        raise UnknownForm(f"{len(found)} lines with --etcd-servers")
    start, end = found[0].span("value")
    return text[:start] + ",".join(endpoints) + text[end:]


def of_configuration(text: str) -> list[str]:
    """The endpoints of external etcd in a ClusterConfiguration; none where it has none."""
    return _lists(text).get("endpoints", ((0, 0), []))[1]


def in_configuration(text: str, endpoints: Sequence[str]) -> str:
    """The ClusterConfiguration with these endpoints; those for plain HTTP follow where they were the same.

    Raises:
        UnknownForm: it has no external etcd with a list of endpoints, an item a line.
    """
    lists = _lists(text)
    if "endpoints" not in lists:
        raise UnknownForm("no list below etcd.external.endpoints")
    before = lists["endpoints"][1]
    spans = [(span, items) for span, items in lists.values() if items == before]
    for (start, end), _items in sorted(spans, reverse=True):
        first = text[start:end].split("\n", 1)[0]
        prefix = first[: first.index("- ") + 2]
        text = text[:start] + "".join(f"{prefix}{endpoint}\n" for endpoint in endpoints) + text[end:]
    return text


def _lists(text: str) -> dict[str, tuple[tuple[int, int], list[str]]]:
    """By name the place and the items of each list of endpoints."""
    section = _SECTION.search(text)
    if section is None or not re.search(r"^ +external:[ \t]*$", section[0], re.MULTILINE):
        return {}
    return {
        match["name"]: (
            (section.start() + match.start("items"), section.start() + match.end("items")),
            [line.strip()[2:].strip(" \"'") for line in match["items"].splitlines()],
        )
        for match in _LIST.finditer(section[0])
    }


def problems(host: str, answers: Mapping[str, Answer], before: Sequence[str], wanted: Sequence[str]) -> list[Problem]:
    """What stands against these endpoints in place of those that an API server uses.

    Args:
        host: whose API server it is.
        answers: what each endpoint, of both kinds, answers now.
        before: those it uses.
        wanted: those it is to use.
    """
    clusters = {answers[url].cluster for url in before if answers[url].speaks}
    if not clusters:
        action = "Bring one back first: nothing else shows whether the new endpoints are of the same etcd."
        found = f"no answer at {', '.join(before) or 'any'}"
        return [Problem(host, "etcd endpoints in use", found, "one that says which etcd it is", action)]
    advertised = {url.rstrip("/") for answer in answers.values() for _id, _name, urls in answer.members for url in urls}
    found = []
    for url in wanted:
        answer, subject = answers[url], f"etcd endpoint {url}"
        if answer.speaks and answer.cluster not in clusters:
            shown = f"etcd cluster {hexadecimal(answer.cluster)}"
            known = ", ".join(sorted(map(hexadecimal, clusters)))
            action = "Correct the endpoints: API servers would show another cluster, or none."
            found.append(Problem(host, subject, shown, f"{known}, which is in use", action))
        elif answer.learner:
            action = "Promote it first: it serves no API server."
            found.append(Problem(host, subject, "a learner", "a member that votes", action))
        elif not answer.speaks and url not in before and url.rstrip("/") not in advertised:
            action = "Start that member first, or leave the endpoint out."
            shown = answer.error or "no member of that URL"
            found.append(Problem(host, subject, shown, "a member of the etcd in use", action))
    if not any(answers[url].led and answers[url].keys is not None for url in wanted):
        answering = sum(1 for url in wanted if answers[url].speaks)
        shown = f"{answering} of {len(wanted)} endpoints that answer, and none that reads with a quorum"
        found.append(Problem(host, "etcd quorum", shown, "at least 1", "Bring etcd's members back first."))
    return found


def restart_problems(host: str, *, own: bool, others: int, ready: int) -> list[Problem]:
    """What stands against restarting an API server.

    Args:
        host: whose it is.
        own: it is ready itself; one that is not has nothing to lose.
        others: how many other API servers the cluster has,
        ready: and how many of these are ready.
    """
    if not own or not others or ready:
        return []
    shown = f"0 of the {others} others ready"
    return [Problem(host, "API servers", shown, "at least 1 while this one restarts", "Bring another one back first.")]
