# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificates say follows from profile, host and version, as with kubeadm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import certificate_profiles, pki, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.certificate_profiles import PROFILES, Claims, Host

ETCD2 = Host("etcd2", "192.0.2.22")
OLD, NEW = versions.Version(28, 15), versions.Version(29, 0)
SERVERS = ("etcd-server", "etcd-peer")
CLIENTS = {
    "etcd-healthcheck-client": "kube-etcd-healthcheck-client",
    "apiserver-etcd-client": "kube-apiserver-etcd-client",
}


def claims(profile: str, host: Host = ETCD2, version: versions.Version = OLD) -> Claims:
    return certificate_profiles.claims_of(PROFILES[profile], host, version)


def test_files_are_those_that_kubeadm_gives_an_etcd_member() -> None:
    names = "etcd/server etcd/peer etcd/healthcheck-client apiserver-etcd-client"
    assert [profile.pair() for profile in PROFILES.values()] == [
        pki.Pair(f"/etc/kubernetes/pki/{name}.crt", f"/etc/kubernetes/pki/{name}.key") for name in names.split()
    ]
    assert {profile.pair() for profile in PROFILES.values()} <= {*pki.LEAVES}
    assert certificate_profiles.authority_pair() == pki.ETCD_CA


@pytest.mark.parametrize("profile", SERVERS)
def test_server_is_the_node_at_its_names_and_addresses_and_a_client_too(profile: str) -> None:
    names = {"DNS:etcd2", "DNS:localhost", "IP:192.0.2.22", "IP:127.0.0.1", "IP:::1"}
    assert claims(profile) == Claims("etcd2", frozenset(), frozenset(names), frozenset({"server", "client"}))
    assert claims(profile) == claims(profile, version=NEW)


@pytest.mark.parametrize(("profile", "name"), CLIENTS.items())
def test_client_is_of_the_administrators_group_before_1_29_alone(profile: str, name: str) -> None:
    for version, organizations in ((OLD, {"system:masters"}), (NEW, set())):
        made = claims(profile, version=version)
        assert made == Claims(name, frozenset(organizations), frozenset(), frozenset({"client"}))


@pytest.mark.parametrize("profile", CLIENTS)
def test_client_says_nothing_of_its_host(profile: str) -> None:
    assert claims(profile) == claims(profile, Host("", ""))
    assert certificate_profiles.check_host("cp1", Host("", ""), [PROFILES[profile]]) == []


def test_alternative_names_come_on_top_each_where_it_was_said_in_their_canonical_form() -> None:
    servers = ["etcd.example.com", "*.etcd.example.com", "192.0.2.99", "localhost"]
    more = Host("etcd2", "2001:DB8:0::22", {"serverCertSANs": servers, "peerCertSANs": ["2001:DB8:0::23"]})
    own = {"DNS:etcd2", "DNS:localhost", "IP:2001:db8::22", "IP:127.0.0.1", "IP:::1"}
    assert claims("etcd-server", more).names == own | {
        *("DNS:etcd.example.com", "DNS:*.etcd.example.com", "IP:192.0.2.99")
    }
    assert claims("etcd-peer", more).names == own | {"IP:2001:db8::23"}
    assert claims("apiserver-etcd-client", more).names == frozenset()


def test_host_is_read_from_what_the_plan_says_of_it() -> None:
    step = {"node_name": "etcd2", "address": "192.0.2.22", "groups": ["plan_etcd"], "join_role": None}
    assert Host.from_options(step) == ETCD2
    local = {"serverCertSANs": ["a"], "imageTag": "3.5.21-0"}
    assert Host.from_options({**step, "local": local}) == Host("etcd2", "192.0.2.22", local)
    for nothing in ({}, {"node_name": None, "address": None, "local": None}, {"local": ["a"]}, [], "etcd2", None):
        assert Host.from_options(nothing) == Host("", "")  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [None, [], ""])
def test_host_without_alternative_names_has_none(names: object) -> None:
    assert Host("etcd2", "192.0.2.22", {"peerCertSANs": names}).more_names(PROFILES["etcd-peer"]) == []


@pytest.mark.parametrize(
    "name", ["", "ETCD2", "etcd_2", "-etcd", "etcd.", "a b", "etcd2\n", "*.etcd", "e" * 65, "ätcd"]
)
def test_node_name_that_no_node_can_have_is_refused(name: str) -> None:
    (problem,) = certificate_profiles.check_host("e2", Host(name, "192.0.2.22"), [PROFILES["etcd-server"]])
    assert (problem.host, problem.subject, problem.found) == ("e2", "node name", repr(name))
    assert "cluster_node_name" in problem.action


@pytest.mark.parametrize(
    "address", ["", "etcd2", "192.0.2", "192.0.2.0/24", "0.0.0.0", "127.0.0.1", "::1", "ff02::1", "fe80::1%eth0"]
)
def test_address_that_others_do_not_reach_is_refused(address: str) -> None:
    (problem,) = certificate_profiles.check_host("e2", Host("etcd2", address), [PROFILES["etcd-peer"]])
    assert (problem.subject, problem.found) == ("address", repr(address))
    assert "cluster_node_address" in problem.action


@pytest.mark.parametrize(
    "name", ["", "Etcd", "a_b", "*", "a.*.b", "user@example.com", "http://a", "192.0.2.0/24", "a\n", "::1%a"]
)
def test_alternative_name_that_is_neither_name_nor_address_is_refused(name: str) -> None:
    host = Host("etcd2", "192.0.2.22", {"peerCertSANs": ["etcd.example.com", name], "serverCertSANs": ["a_b"]})
    (problem,) = certificate_profiles.check_host("e2", host, [PROFILES["etcd-peer"]])
    assert (problem.subject, problem.found) == ("peerCertSANs", repr(name))


def test_everything_wrong_with_a_host_is_told_at_once() -> None:
    assert len(certificate_profiles.check_host("e2", Host("", "", {"peerCertSANs": ["-"]}), [*PROFILES.values()])) == 3


def test_claims_are_told_as_people_read_them() -> None:
    assert str(claims("etcd-server")) == (
        "CN=etcd2 for DNS:etcd2, DNS:localhost, IP:127.0.0.1, IP:192.0.2.22, IP:::1 as client and server"
    )
    assert str(claims("apiserver-etcd-client")) == "O=system:masters/CN=kube-apiserver-etcd-client as client"


@given(st.ip_addresses(), st.sampled_from(SERVERS))
def test_every_address_is_named_once(address: object, profile: str) -> None:
    names = claims(
        profile, Host("etcd2", str(address), {"serverCertSANs": [str(address)], "peerCertSANs": str(address)})
    ).names
    assert f"IP:{address}" in names
    assert len(names) in (4, 5)
