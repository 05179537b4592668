# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeconfig files as kubeadm writes them are read, ours are read by everybody, and no key is shown."""

from __future__ import annotations

import base64
import contextlib
import string
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeconfig import Kubeconfig
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# As kubeadm 1.20 writes admin.conf, field for field.
ADMIN_CONF = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: {server}
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: kubernetes-admin
  name: kubernetes-admin@kubernetes
current-context: kubernetes-admin@kubernetes
kind: Config
preferences: {{}}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"""
# As kubeadm leaves kubelet.conf once the kubelet rotates its certificate.
KUBELET_CONF = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: https://192.0.2.10:6443
  name: default-cluster
contexts:
- context:
    cluster: default-cluster
    namespace: default
    user: default-auth
  name: default-context
current-context: default-context
kind: Config
preferences: {{}}
users:
- name: default-auth
  user:
    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem
    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem
"""
# As kube-public/cluster-info holds it: no user at all.
CLUSTER_INFO = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: https://[2001:db8::10]:6443
  name: ""
contexts: null
current-context: ""
kind: Config
preferences: {{}}
users: null
"""


@pytest.fixture(scope="module")
def admin(ca: Identity) -> Identity:
    return ca.issue("kubernetes-admin")


def test_parse_admin_conf_of_kubeadm(ca: Identity, admin: Identity) -> None:
    text = ADMIN_CONF.format(
        ca=encoded(ca.pem),
        server="https://lb.example.com:6443",
        certificate=encoded(admin.pem),
        key=encoded(admin.key_pem),
    )
    assert kubeconfig.parse(text) == Kubeconfig("https://lb.example.com:6443", ca.pem, admin.pem, admin.key_pem)


def test_parse_kubelet_conf_of_kubeadm_embeds_no_certificate(ca: Identity) -> None:
    found = kubeconfig.parse(KUBELET_CONF.format(ca=encoded(ca.pem)))
    assert found == Kubeconfig("https://192.0.2.10:6443", ca.pem, "", "")


def test_parse_cluster_info_has_server_and_ca(ca: Identity) -> None:
    found = kubeconfig.parse(CLUSTER_INFO.format(ca=encoded(ca.pem)))
    assert found == Kubeconfig("https://[2001:db8::10]:6443", ca.pem)


@pytest.mark.parametrize("server", ['"https://10.0.0.1:6443"', "'https://10.0.0.1:6443'", "https://10.0.0.1:6443  "])
def test_parse_server_without_quotes_and_blanks(server: str) -> None:
    assert kubeconfig.parse(f"    server: {server}\n").server == "https://10.0.0.1:6443"


@pytest.mark.parametrize(
    "text",
    ["", "apiVersion: v1\n", "server:\n", "    server: https://x\n    certificate-authority-data: %%%\n",
     "    server: https://x\n    client-key-data: /w==\n", "    server: https://x\n    client-key-data: YQ=\n"],
    ids=["empty", "no server", "no value", "no base64", "no text", "cut base64"],
)  # fmt: skip
def test_parse_anything_else_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        kubeconfig.parse(text)


def test_parse_refusal_does_not_repeat_a_key(admin: Identity) -> None:
    broken = encoded(admin.key_pem)[:-3] + "%"
    with pytest.raises(ValueError) as refused:
        kubeconfig.parse(f"    server: https://x\n    client-key-data: {broken}\n")
    assert broken not in str(refused.value)


names = st.text(string.ascii_letters + string.digits + " -_.:@#'\"{}[]*&!|>%`é", min_size=1, max_size=20)
pems = st.text(st.characters(codec="utf-8"), max_size=60)


@given(cluster=names, user=names, ca=pems, certificate=pems, key=pems)
def test_render_is_a_kubeconfig_that_parse_and_everybody_reads(
    cluster: str, user: str, ca: str, certificate: str, key: str
) -> None:
    config = Kubeconfig("https://[2001:db8::10]:6443", ca, certificate, key)
    text = kubeconfig.render(cluster=cluster, user=user, config=config)
    assert kubeconfig.parse(text) == config
    document: dict[str, Any] = yaml.safe_load(text)
    (context,) = [one for one in document["contexts"] if one["name"] == document["current-context"]]
    (found_cluster,) = [one for one in document["clusters"] if one["name"] == context["context"]["cluster"]]
    (found_user,) = [one for one in document["users"] if one["name"] == context["context"]["user"]]
    assert (found_cluster["name"], found_user["name"]) == (cluster, user)
    assert found_cluster["cluster"]["server"] == config.server
    assert base64.b64decode(found_cluster["cluster"]["certificate-authority-data"] or "").decode() == ca
    assert base64.b64decode(found_user["user"]["client-certificate-data"] or "").decode() == certificate
    assert base64.b64decode(found_user["user"]["client-key-data"] or "").decode() == key
    assert (document["apiVersion"], document["kind"]) == ("v1", "Config")


def test_kubeconfig_repr_keeps_its_key(ca: Identity, admin: Identity) -> None:
    shown = repr(Kubeconfig("https://x", ca.pem, admin.pem, admin.key_pem))
    assert "PRIVATE KEY" not in shown
    assert admin.key_pem.splitlines()[1] not in shown


@given(st.text() | st.lists(st.tuples(st.sampled_from(("server", "client-key-data", "x")), st.text())).map(
    lambda pairs: "\n".join(f"{key}: {value}" for key, value in pairs)
))  # fmt: skip
@example('server: ""')
def test_parse_of_any_text_is_a_kubeconfig_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert kubeconfig.parse(text).server
