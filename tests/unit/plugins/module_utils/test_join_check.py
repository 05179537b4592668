# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials are tried before kubeadm is: what lets nobody in is told at once; what may pass is left to kubeadm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import discovery, join_check, kube_api, kubeconfig, x509
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import https_server
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity

TOKEN = discovery.parse_token("abcdef.0123456789abcdef")
UPLOADED = {"metadata": {"name": "kubeadm-certs"}, "data": {}}


class Cluster:
    """An API server that publishes its CA, and answers those whom it lets in."""

    def __init__(self, ca: Identity) -> None:
        text = kubeconfig.render(cluster="", user="", config=kubeconfig.Kubeconfig("https://192.0.2.10:6443", ca.pem))
        self.info: https_server.Answer = (200, {"kind": "ConfigMap", "data": {"kubeconfig": text}})
        self.uploaded: https_server.Answer = (200, UPLOADED)
        self.refusals = 0
        self.server: https_server.Server

    def answer(self, request: https_server.Request) -> https_server.Answer:
        if request.authorization is None:
            return self.info
        assert request.authorization == f"Bearer {TOKEN}"
        if self.refusals:
            self.refusals -= 1
            return 401, {"message": "Unauthorized"}
        return self.uploaded if request.path == discovery.UPLOADED else self.info

    @property
    def sent_token(self) -> bool:
        return any(request.authorization for request in self.server.requests)


@pytest.fixture
def cluster(ca: Identity, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(ca)
    with contextlib.ExitStack() as stack:
        cluster.server = stack.enter_context(https_server.serve(cluster.answer, ca, tmp_path))
        yield cluster


@pytest.fixture
def check(cluster: Cluster, ca: Identity) -> Callable[..., list[Problem]]:
    def asked(**changes: Any) -> list[Problem]:
        ca_hash = changes.pop("ca_hash", x509.parse(ca.pem).public_key_hash)
        endpoint = cluster.server.url.partition("//")[2]
        return join_check.check("w1", endpoint, TOKEN, ca_hash, **{"downloads": True, "patience": 0, **changes})

    return asked


Check = Callable[..., list[Problem]]


@pytest.mark.parametrize("downloads", [True, False])
def test_check_finds_nothing_against_credentials_that_let_in(cluster: Cluster, check: Check, downloads: bool) -> None:
    assert check(downloads=downloads) == []
    assert cluster.server.paths[-1] == (discovery.UPLOADED if downloads else kube_api.CLUSTER_INFO)


def test_check_another_authority_is_told_and_is_not_given_the_token(
    cluster: Cluster, check: Check, ca: Identity
) -> None:
    (problem,) = check(ca_hash=f"sha256:{'0' * 64}")
    assert (problem.host, problem.subject) == ("w1", "discovery hash")
    assert x509.parse(ca.pem).public_key_hash in problem.found
    assert not cluster.sent_token


def test_check_hash_may_be_in_upper_case(check: Check, ca: Identity) -> None:
    assert check(ca_hash=x509.parse(ca.pem).public_key_hash.upper()) == []


def test_check_token_that_is_refused_is_told_without_its_secret(cluster: Cluster, check: Check) -> None:
    cluster.refusals = 100
    (problem,) = check()
    assert problem.subject == "bootstrap token abcdef"
    assert TOKEN.secret not in str(problem)
    assert "Run again" in problem.action


def test_check_token_that_is_not_known_everywhere_yet_is_tried_again(
    cluster: Cluster, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join_check.time, "sleep", lambda _seconds: None)
    cluster.refusals = 3
    assert check(patience=60) == []


def test_check_certificates_that_are_gone_are_told(cluster: Cluster, check: Check) -> None:
    cluster.uploaded = (404, {"message": "not found"})
    (problem,) = check()
    assert (problem.subject, problem.found) == ("uploaded certificates", "none in the cluster")
    assert check(downloads=False) == []


@pytest.mark.parametrize(("whose", "refused"), [("abcdef", False), ("fedcba", True)], ids=["own", "another's"])
def test_check_certificates_of_another_run_are_told(cluster: Cluster, check: Check, whose: str, refused: bool) -> None:
    cluster.uploaded = (200, discovery.upload_for(UPLOADED, whose))
    found = check()
    assert bool(found) == refused
    if refused:
        assert "of the run that made token fedcba" in found[0].found


@pytest.mark.parametrize("answer", [(403, {}), (500, {}), (200, "no JSON")], ids=["forbidden", "fails", "mumbles"])
def test_check_what_may_pass_is_left_to_kubeadm(cluster: Cluster, check: Check, answer: https_server.Answer) -> None:
    cluster.info = answer
    assert check() == []
    assert not cluster.sent_token


def test_check_certificates_that_cannot_be_asked_for_are_left_to_kubeadm(cluster: Cluster, check: Check) -> None:
    cluster.uploaded = (403, {"message": "forbidden"})
    assert check() == []


def test_check_silent_endpoint_is_left_to_kubeadm() -> None:
    endpoint = https_server.unused_url().partition("//")[2]
    assert join_check.check("w1", endpoint, TOKEN, f"sha256:{'0' * 64}", downloads=False, patience=0) == []
