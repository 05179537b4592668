# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module makes of its host, and that it does not take a word for a deed. The rest is tried on real hosts."""

from __future__ import annotations

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, kube_api, kubeconfig, pki, x509
from ansible_collections.kubeadm.ha.plugins.module_utils.changes import Change, ChangeFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.identity import cluster_id
from ansible_collections.kubeadm.ha.plugins.modules import kubeadm_reset
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import authority

OURS, THEIRS = authority().pem, authority().pem
IDS = {pem: cluster_id(x509.parse(pem).public_key_hash) for pem in (OURS, THEIRS)}


def config(ca: str) -> str:
    return kubeconfig.render(cluster="lab", user="kubelet", config=kubeconfig.Kubeconfig("https://192.0.2.10:6443", ca))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, []),
        ({pki.CLUSTER_CA.public: OURS}, [OURS]),
        ({pki.CLUSTER_CA.public: OURS[:100], evidence.KUBELET_CONF: config(OURS)}, [OURS]),
        ({kubeadm_reset.BOOTSTRAP_CONF: config(OURS)}, [OURS]),
        ({pki.CLUSTER_CA.public: OURS, kube_api.ADMIN_CONF: config(THEIRS)}, [OURS, THEIRS]),
        ({pki.CLUSTER_CA.public: OURS + THEIRS}, [OURS, THEIRS]),
    ],
    ids=["bare", "whole", "cut short", "joining", "contradictory", "rotating"],
)
def test_cluster_ids_are_of_every_ca_that_is_here(
    files: dict[str, str], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeadm_reset, "read_text", files.get)
    assert kubeadm_reset.cluster_ids() == sorted(IDS[pem] for pem in found)


class Host:
    """Things to be removed, some of which take several tries, or come with others."""

    def __init__(self, tries: dict[str, int], hidden: dict[str, str] | None = None) -> None:
        self.tries = tries
        self.hidden = hidden or {}

    def changes(self) -> list[Change]:
        return [Change(name, "there", "", lambda name=name: self.remove(name)) for name in self.tries]

    def remove(self, name: str) -> None:
        self.tries[name] = self.tries.get(name, 1) - 1
        if not self.tries[name]:
            del self.tries[name]
            if name in self.hidden:
                self.tries[self.hidden.pop(name)] = 1


def bring_about(host: Host) -> list[str]:
    return [change.subject for change in kubeadm_reset.bring_about(host, host.changes())]  # type: ignore[arg-type]


def test_bring_about_looks_again_until_nothing_is_left() -> None:
    assert bring_about(Host({"pods": 2, "link": 1}, hidden={"link": "route"})) == ["pods", "link", "route"]


def test_bring_about_says_what_will_not_go() -> None:
    with pytest.raises(ChangeFailed, match="found link after 3 tries, wanted nothing of a cluster"):
        bring_about(Host({"pods": 1, "link": 9}))
