# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap tokens as kubeadm and the API server accept them, and never shown by accident."""

from __future__ import annotations

import base64
import datetime
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import discovery

ALPHABET = string.digits + string.ascii_lowercase
EXPIRES = datetime.datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=datetime.timezone.utc)
ids, token_secrets = st.text(ALPHABET, min_size=6, max_size=6), st.text(ALPHABET, min_size=16, max_size=16)


def values(token: discovery.Token) -> dict[str, str]:
    data = discovery.token_secret(token, EXPIRES, "why")["data"]
    return {key: base64.b64decode(value, validate=True).decode() for key, value in data.items()}


def test_new_token_is_one_that_kubeadm_accepts() -> None:
    tokens = {str(discovery.new_token()) for _index in range(50)}
    assert len(tokens) == 50
    assert all(re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token) for token in tokens)


@given(ids, token_secrets)
def test_parse_token_reads_what_str_writes(id_: str, secret: str) -> None:
    assert discovery.parse_token(str(discovery.Token(id_, secret))) == discovery.Token(id_, secret)


@pytest.mark.parametrize(
    "text",
    ["", "abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdefg", "ABCDEF.0123456789abcdef",
     "abcdef-0123456789abcdef", " abcdef.0123456789abcdef", "abcdé1.0123456789abcdef"],
)  # fmt: skip
def test_parse_token_refuses_anything_else_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="wanted six characters, a dot and sixteen") as refused:
        discovery.parse_token(text)
    assert text not in str(refused.value) or not text


@given(ids, token_secrets)
def test_token_repr_keeps_its_secret(id_: str, secret: str) -> None:
    assert secret not in repr(discovery.Token(id_, secret)).replace(id_, "", 1)


def test_token_secret_is_the_object_that_the_api_server_looks_for() -> None:
    token = discovery.Token("abcdef", "0123456789abcdef")
    document = discovery.token_secret(token, EXPIRES, "why")
    assert (document["apiVersion"], document["kind"]) == ("v1", "Secret")
    assert document["type"] == "bootstrap.kubernetes.io/token"
    assert document["metadata"] == {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    assert token.path.endswith("/namespaces/kube-system/secrets/bootstrap-token-abcdef")


def test_token_secret_lets_a_node_join_until_it_ends() -> None:
    assert values(discovery.Token("abcdef", "0123456789abcdef")) == {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "expiration": "2026-05-06T07:08:09Z",
        "description": "why",
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
    }


def test_new_certificate_key_is_an_aes_256_key_in_hex() -> None:
    keys = {discovery.new_certificate_key() for _index in range(20)}
    assert len(keys) == 20
    assert all(len(bytes.fromhex(key)) == 32 and key == key.lower() for key in keys)


@given(st.text())
def test_parse_token_of_any_text_is_a_token_or_a_value_error(text: str) -> None:
    try:
        assert str(discovery.parse_token(text)) == text
    except ValueError as refused:
        assert len(text) < 8 or text not in str(refused)


def test_parse_token_refuses_a_line_end() -> None:
    with pytest.raises(ValueError, match="found 24 characters with 1 dots, and 1 neither"):
        discovery.parse_token("abcdef.0123456789abcdef\n")


@pytest.mark.parametrize("text", ["sha256:" + "0" * 64, "sha256:" + "aBcDeF01" * 8])
def test_check_ca_hash_accepts_what_kubeadm_does(text: str) -> None:
    discovery.check_ca_hash(text)


@pytest.mark.parametrize(
    "text", ["", "0" * 64, "sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha512:" + "0" * 64, f"sha256:{'g' * 64}"]
)
def test_check_ca_hash_refuses_anything_else_and_says_what(text: str) -> None:
    with pytest.raises(ValueError, match="wanted sha256: and 64 hexadecimal digits") as refused:
        discovery.check_ca_hash(text)
    assert repr(text) in str(refused.value)


@given(st.one_of(st.none(), st.dictionaries(st.sampled_from(("expiration", "x")), st.text())))
def test_expiration_of_any_secret_is_a_moment(data: dict[str, str] | None) -> None:
    moment = discovery.expiration(None if data is None else {"data": data})
    assert moment.tzinfo
