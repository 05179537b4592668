# SPDX-License-Identifier: GPL-3.0-or-later
"""What an interrupted kubeadm init has left half made, and when it is no longer to be touched."""

from __future__ import annotations

from collections.abc import Iterable
from unittest import mock

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, pki
from ansible_collections.kubeadm.ha.plugins.modules import kubeadm_init

DATA = "/var/lib/etcd"
WHOLE = dict.fromkeys((*pki.paths(pki.ALL), *kubeadm_init.CONFS), "whole")
LEAF = pki.LEAVES[0]


def half_made(
    files: dict[str, str], *, external: bool = False, has_run: bool = False, traces: Iterable[str] = ()
) -> set[str]:
    def read_each(paths: Iterable[str]) -> dict[str, str]:
        return {path: files[path] for path in paths if path in files}

    with (
        mock.patch.object(evidence, "has_run", return_value=has_run),
        mock.patch.object(evidence, "traces", return_value=[*files, *traces]),
        mock.patch.object(kubeadm_init, "read_each", read_each),
        mock.patch.object(kubeadm_init, "read_text", files.get),
    ):
        return set(kubeadm_init.half_made(DATA, external))


def without(*paths: str | None) -> dict[str, str]:
    return {path: text for path, text in WHOLE.items() if path not in paths}


def test_what_is_whole_stays() -> None:
    assert half_made(WHOLE) == set()
    assert half_made({}) == set()


def test_key_without_its_certificate_is_half_made_and_nothing_else_is() -> None:
    assert half_made(without(LEAF.public)) == {LEAF.private}


@pytest.mark.parametrize("path", kubeadm_init.CONFS)
def test_empty_kubeconfig_is_half_made(path: str) -> None:
    assert half_made({**WHOLE, path: ""}) == {path}


def test_everything_that_the_ca_of_a_cluster_has_signed_goes_with_it() -> None:
    found = half_made({**WHOLE, pki.CLUSTER_CA.public: "\n"})
    assert found == {*pki.CLUSTER_CA.paths, *pki.paths(pki.LEAVES), *kubeadm_init.CONFS}


def test_ca_whose_key_is_kept_elsewhere_is_whole() -> None:
    assert half_made(without(pki.CLUSTER_CA.private)) == set()


@pytest.mark.parametrize(
    ("external", "has_run", "traces"),
    [(False, True, ()), (False, False, (f"{DATA}/member",)), (True, False, (evidence.POD_MANIFESTS[0],))],
    ids=["a node of a cluster", "etcd has data", "API server beside an etcd elsewhere"],
)
def test_what_an_api_server_may_have_used_stays(external: bool, has_run: bool, traces: tuple[str, ...]) -> None:
    files = {**WHOLE, LEAF.public: ""}
    assert half_made(files, external=external, has_run=has_run, traces=traces) == set()


def test_what_was_handed_over_for_an_etcd_elsewhere_stays() -> None:
    assert half_made({**WHOLE, pki.ETCD_CLIENT.public: ""}, external=True) == set()
    renewed = half_made({**WHOLE, pki.CLUSTER_CA.private: ""}, external=True)
    assert renewed.isdisjoint(pki.ETCD_CLIENT_FILES)
    assert LEAF.private in renewed
