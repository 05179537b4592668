# SPDX-License-Identifier: GPL-3.0-or-later
"""A control plane's certificates and keys are judged by how they fit together, each by its file."""

from __future__ import annotations

import datetime
import functools

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import pki
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import (
    BORN,
    DIES,
    Identity,
    Key,
    authority,
    ec_key,
)

NOW = BORN + datetime.timedelta(days=1)
SHARED = pki.shared_pairs()
EXTERNAL = ["/etc/etcd/ca.crt", "/etc/etcd/client.crt", "/etc/etcd/client.key"]


def public_pem(key: Key) -> str:
    encoding, layout = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, layout).decode()


def contents_of(made: dict[str, Identity]) -> dict[str, str]:
    """The shared files of a cluster whose authorities are these, the service accounts' key pair under ``sa``."""
    found = {}
    for name in ("ca", "front-proxy-ca", "etcd/ca"):
        found[f"{pki.FOLDER}/{name}.crt"] = made[name].pem
        found[f"{pki.FOLDER}/{name}.key"] = made[name].key_pem
    found[str(pki.SERVICE_ACCOUNTS.private)] = made["sa"].key_pem
    found[pki.SERVICE_ACCOUNTS.public] = public_pem(made["sa"].key)
    return found


@functools.cache
def cluster() -> dict[str, Identity]:
    return {name: authority(name) for name in ("ca", "front-proxy-ca", "etcd/ca", "sa")}


def shared() -> dict[str, str]:
    return contents_of(cluster())


def test_shared_files_are_those_that_a_person_would_copy_and_no_leaf() -> None:
    names = "ca.crt ca.key sa.key sa.pub front-proxy-ca.crt front-proxy-ca.key etcd/ca.crt etcd/ca.key"
    assert set(pki.paths(SHARED)) == {f"/etc/kubernetes/pki/{name}" for name in names.split()}


def test_shared_files_with_external_etcd_are_its_client_files_where_they_are_configured() -> None:
    names = "ca.crt ca.key sa.key sa.pub front-proxy-ca.crt front-proxy-ca.key"
    assert set(pki.paths(pki.shared_pairs(EXTERNAL))) == {
        *(f"/etc/kubernetes/pki/{name}" for name in names.split())
    } | {*EXTERNAL}


@pytest.mark.parametrize("paths", [["/a"], ["/a", "/b"], ["a", "/b", "/c"], ["/a", "/b", "/c", "/d"]])
def test_client_files_of_external_etcd_that_are_not_three_paths_are_refused(paths: list[str]) -> None:
    with pytest.raises(ValueError, match="wanted the absolute paths of caFile, certFile and keyFile"):
        pki.shared_pairs(paths)


def test_client_files_of_external_etcd_are_read_from_the_clusters_configuration() -> None:
    external = {"endpoints": [], "caFile": "/a", "certFile": "/b", "keyFile": "/c"}
    assert pki.etcd_client_of({"etcd": {"external": external}}) == ["/a", "/b", "/c"]
    assert pki.etcd_client_of({"etcd": {"local": {}}}) == pki.etcd_client_of({}) == []


@pytest.mark.parametrize("path", pki.paths(pki.shared_pairs(EXTERNAL)))
def test_keys_are_roots_alone_and_certificates_everybodys(path: str) -> None:
    assert pki.mode(pki.shared_pairs(EXTERNAL), path) == (0o600 if path.endswith(".key") else 0o644)


def test_judge_whole_files_have_no_problem_and_pairs_share_their_public_key() -> None:
    found = pki.judge(SHARED, shared(), NOW)
    assert found.problems == []
    assert set(found.public_keys) == set(pki.paths(SHARED))
    assert all(found.public_keys[pair.public] == found.public_keys[str(pair.private)] for pair in SHARED)


def test_judge_of_nothing_finds_nothing() -> None:
    assert pki.judge(pki.ALL, {}, NOW) == pki.Findings()


def test_judge_tells_nothing_of_a_private_key() -> None:
    found = str(pki.judge(SHARED, shared(), NOW))
    for identity in cluster().values():
        assert not any(line in found for line in identity.key_pem.splitlines())


@pytest.mark.parametrize("path", pki.paths(SHARED))
@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda _text: "", "nothing in it"),
        (lambda _text: " \n", "nothing in it"),
        (lambda text: text[:-30], "no whole PEM"),
    ],
    ids=["empty", "blank", "truncated"],
)
def test_judge_names_the_file_that_is_cut(path: str, damage: object, found: str) -> None:
    contents = shared()
    (problem,) = pki.judge(SHARED, {**contents, path: damage(contents[path])}, NOW).problems  # type: ignore[operator]
    assert problem.subject == path
    assert found in problem.found
    assert "reset" in problem.action


@pytest.mark.parametrize("path", pki.paths(SHARED))
def test_judge_names_the_file_that_cannot_be_read(path: str) -> None:
    unreadable = IsADirectoryError(21, "Is a directory")
    (problem,) = pki.judge(SHARED, {**shared(), path: unreadable}, NOW).problems
    assert (problem.subject, problem.found) == (path, "what nobody can read (Is a directory)")


@pytest.mark.parametrize("pair", SHARED, ids=lambda pair: pair.public)
def test_judge_names_the_key_that_does_not_belong_to_its_certificate(pair: pki.Pair) -> None:
    other = authority("other").key_pem
    (problem,) = pki.judge(SHARED, {**shared(), str(pair.private): other}, NOW).problems
    assert problem.subject == pair.private
    assert pair.public in problem.found


def test_judge_key_of_a_leaf_that_is_another_ones_is_named() -> None:
    leaf = cluster()["ca"].issue("kube-apiserver")
    path = f"{pki.FOLDER}/apiserver"
    contents = {f"{path}.crt": leaf.pem, f"{path}.key": authority("x").key_pem}
    (problem,) = pki.judge(pki.ALL, contents, NOW).problems
    assert problem.subject == f"{path}.key"


@pytest.mark.parametrize("name", ["ca", "front-proxy-ca", "etcd/ca"])
@pytest.mark.parametrize(
    ("now", "word"), [(DIES + datetime.timedelta(seconds=1), "ended"), (BORN - datetime.timedelta(days=1), "begins")]
)
def test_judge_authority_outside_its_life_is_named_and_a_leaf_is_not(
    name: str, now: datetime.datetime, word: str
) -> None:
    identity = cluster()[name]
    leaf = f"{pki.FOLDER}/apiserver.crt"
    contents = {f"{pki.FOLDER}/{name}.crt": identity.pem, leaf: identity.issue("kube-apiserver").pem}
    (problem,) = pki.judge(pki.ALL, contents, now).problems
    assert problem.subject == f"{pki.FOLDER}/{name}.crt"
    assert word in problem.found
    assert "clock" in problem.action


def test_judge_bundle_is_another_fingerprint_and_the_same_public_key() -> None:
    path, ca = pki.CLUSTER_CA.public, cluster()["ca"]
    one, two = (pki.judge(SHARED, {path: text}, NOW) for text in (ca.pem, ca.pem + authority("old").pem))
    assert one.public_keys == two.public_keys
    assert one.fingerprints != two.fingerprints


def test_missing_names_each_file_that_is_not_there() -> None:
    contents = shared()
    del contents[f"{pki.FOLDER}/ca.key"]
    (problem,) = pki.missing(SHARED, contents)
    assert problem.subject == f"{pki.FOLDER}/ca.key"


def test_foreign_names_each_file_of_another_cluster() -> None:
    other = contents_of({**cluster(), "ca": authority("ca")})
    have, get = pki.judge(SHARED, other, NOW), pki.judge(SHARED, shared(), NOW)
    assert {problem.subject for problem in pki.foreign(have, get)} == {*pki.CLUSTER_CA.paths}


def test_foreign_passes_over_what_is_missing_cut_or_renewed() -> None:
    have = shared()
    have[f"{pki.FOLDER}/ca.crt"] = authority("kubernetes", key=cluster()["ca"].key).pem
    have[f"{pki.FOLDER}/sa.key"] = ""
    del have[f"{pki.FOLDER}/etcd/ca.key"]
    assert pki.foreign(pki.judge(SHARED, have, NOW), pki.judge(SHARED, shared(), NOW)) == []


@given(st.dictionaries(st.sampled_from(pki.paths(pki.ALL)), st.text() | st.just(OSError(5, "Input/output error"))))
def test_judge_of_any_text_finds_a_problem_in_each_file_and_never_fails(contents: dict[str, str | OSError]) -> None:
    found = pki.judge(pki.ALL, contents, NOW)
    assert {problem.subject for problem in found.problems} == set(contents)
    assert found.public_keys == {}


@functools.cache
def keys() -> tuple[Identity, ...]:
    return tuple(authority(key=ec_key()) for _number in range(3))


@given(st.lists(st.integers(0, 2), min_size=8, max_size=8))
def test_judge_any_mixture_of_keys_is_refused_where_a_pair_differs(picks: list[int]) -> None:
    contents, expected = {}, set()
    for pair, public, private in zip(SHARED, picks[::2], picks[1::2]):
        own = public_pem(keys()[public].key) if pair.public.endswith(".pub") else keys()[public].pem
        contents.update({pair.public: own, str(pair.private): keys()[private].key_pem})
        expected |= {pair.private} if public != private else set()
    assert {problem.subject for problem in pki.judge(SHARED, contents, NOW).problems} == expected
