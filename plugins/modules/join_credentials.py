#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: join_credentials
short_description: Make what hosts need to join, and take it back
version_added: 0.1.0
description:
  - Makes, on a live control plane, a bootstrap token of a short life, computes the discovery hash, and for joining
    control planes uploads the certificates under a fresh certificate key.
  - With O(token) keeps credentials valid that were made before - a token that ends soon or is gone gets a new life, and
    certificates that are gone are uploaded again under the same O(certificate_key).
  - With O(state=absent) deletes the token and the uploaded certificates again. Those that another run has uploaded in
    the meantime, with a token of its own, stay.
  - Returns secrets. Run it with C(no_log), and keep what it returns out of facts.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
attributes:
  idempotent:
    support: partial
    details: Each run with O(state=present) makes new credentials where O(token) does not say which to keep.
options:
  state:
    description: Whether to make credentials or to take them back.
    type: str
    choices: [present, absent]
    default: present
  token_id:
    description: The public part of the token to take back.
    type: str
  control_plane:
    description: Whether control planes are to join, which need the cluster's keys.
    type: bool
    default: false
  upload_certificates:
    description: Whether the certificates reach joining control planes through the API, and not by other ways.
    type: bool
    default: true
  token:
    description: A token that was made before, to be kept valid. A secret.
    type: str
  certificate_key:
    description: The certificate key that was made with O(token). A secret.
    type: str
  lifetime_minutes:
    description: How long the token is valid, should nobody take it back.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Make credentials for workers
  kubeadm.ha.join_credentials:
  register: credentials
  no_log: true

- name: Keep them valid for hosts that join late
  kubeadm.ha.join_credentials:
    token: "{{ credentials.token }}"
  no_log: true
  when: now(utc=true).strftime('%Y-%m-%dT%H:%M:%SZ') > credentials.renew_after

- name: Take them back
  kubeadm.ha.join_credentials:
    state: absent
    token_id: "{{ credentials.token_id }}"
"""

RETURN = r"""
token:
  description: The bootstrap token. A secret.
  returned: with O(state=present), not in check mode
  type: str
token_id:
  description: Its public part.
  returned: with O(state=present), not in check mode
  type: str
certificate_key:
  description: The key of the uploaded certificates. A secret.
  returned: with O(control_plane=true) and O(upload_certificates=true), not in check mode
  type: str
ca_hash:
  description: The discovery hash, which pins the cluster's CA.
  returned: with O(state=present), not in check mode
  type: str
etcd_endpoints:
  description: Client URLs of etcd's healthy members.
  returned: with O(control_plane=true), not in check mode
  type: list
  elements: str
cluster_configuration:
  description: The cluster's ClusterConfiguration as kubeadm keeps it, YAML.
  returned: with O(control_plane=true), not in check mode
  type: str
expires:
  description: When the token ends by itself, UTC.
  returned: with O(state=present), not in check mode
  type: str
renew_after:
  description: From when on a host that is yet to join needs the token renewed, UTC, as C(2026-01-31T23:59:59Z).
  returned: with O(state=present) and no O(token), not in check mode
  type: str
"""

import contextlib
import datetime
import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import discovery, etcd, evidence, kube_api, versions, x509
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed

# A join may take so much of a token's life, or of a short one this part.
MARGIN = datetime.timedelta(minutes=10)
MARGIN_PART = 3
DESCRIPTION = "Made by kubeadm.ha for one run."


def make(module: AnsibleModule) -> dict[str, Any]:
    """A token, its discovery hash, and a certificate key where one is needed; all of it or nothing."""
    api = kube_api.local_admin()
    token = discovery.new_token()
    now = datetime.datetime.now(datetime.timezone.utc)
    lifetime = datetime.timedelta(minutes=module.params["lifetime_minutes"])
    made: dict[str, Any] = {
        "token": str(token),
        "token_id": token.id,
        "ca_hash": x509.parse(read_text(evidence.CA) or "").public_key_hash,
        "expires": (now + lifetime).isoformat(timespec="seconds"),
        "renew_after": (now + lifetime - margin(lifetime)).strftime(discovery.TIME),
    }
    try:
        if module.params["control_plane"]:
            configuration = api.get(evidence.KUBEADM_CONFIG)["data"]["ClusterConfiguration"]
            if module.params["upload_certificates"]:
                made["certificate_key"] = discovery.new_certificate_key()
                upload(module, api, configuration, made["certificate_key"], token.id)
            made["cluster_configuration"] = configuration
            members = evidence.etcd_state(5.0)["members"] if etcd.has_client_certificate() else []
            made["etcd_endpoints"] = [url for member in members if member["healthy"] for url in member["client_urls"]]
        api.create(discovery.SECRETS, discovery.token_secret(token, now + lifetime, DESCRIPTION))
    except BaseException:
        # Nobody learns of what was made so far, so nobody would take it back.
        with contextlib.suppress(RequestFailed):
            take_back(api, token.id)
        raise
    return made


def margin(lifetime: datetime.timedelta) -> datetime.timedelta:
    """How long before its end a token is renewed."""
    return min(MARGIN, lifetime / MARGIN_PART)


def keep(module: AnsibleModule) -> dict[str, Any]:
    """Keep a token and the certificates that go with it valid, where they would end before a join is over."""
    api = kube_api.local_admin()
    token = discovery.parse_token(module.params["token"])
    now = datetime.datetime.now(datetime.timezone.utc)
    lifetime = datetime.timedelta(minutes=module.params["lifetime_minutes"])
    soon, expires = now + margin(lifetime), now + lifetime
    changed = False
    found = api.find(token.path)
    if discovery.expiration(found) < soon:
        changed = True
        if not module.check_mode:
            wanted = discovery.token_secret(token, expires, DESCRIPTION)
            api.replace(token.path, wanted) if found else api.create(discovery.SECRETS, wanted)
    key = module.params["certificate_key"]
    if key:
        uploaded = api.find(discovery.UPLOADED)
        # kubeadm lets them live as long as a token that does nothing else.
        ends = [discovery.expiration(api.find(owner)) for owner in owners_of(uploaded)]
        ours = uploaded is not None and discovery.uploaded_for(uploaded) in (None, token.id)
        if not ours or any(end < soon for end in ends):
            changed = True
            if not module.check_mode:
                configuration = api.get(evidence.KUBEADM_CONFIG)["data"]["ClusterConfiguration"]
                upload(module, api, configuration, key, token.id)
    return {"changed": changed, "expires": expires.isoformat(timespec="seconds")}


def owners_of(uploaded: dict[str, Any] | None) -> list[str]:
    """Where the tokens are with whose end the uploaded certificates go."""
    references = uploaded["metadata"].get("ownerReferences", []) if uploaded else []
    return [f"{discovery.SECRETS}/{reference['name']}" for reference in references]


def upload(module: AnsibleModule, api: kube_api.KubeApi, configuration: str, key: str, token_id: str) -> None:
    """Upload the shared certificates, in the place of those of an earlier run, and say with which token they go.

    By that another run that is under way sees that it has lost its own, and leaves these alone when it ends.
    """
    before = owners_of(api.find(discovery.UPLOADED))
    upload_certificates(Kubeadm(module), configuration, key)
    uploaded = api.get(discovery.UPLOADED)
    api.replace(discovery.UPLOADED, discovery.upload_for(uploaded, token_id))
    for owner in set(before) - set(owners_of(uploaded)):
        api.delete(owner)


def upload_certificates(kubeadm: Kubeadm, configuration: str, key: str) -> None:
    """Have kubeadm encrypt the shared keys under this key.

    The phase does not read the cluster's configuration by itself, and would take external etcd for stacked.
    """
    node = {
        "apiVersion": f"kubeadm.k8s.io/{versions.config_api(kubeadm.version())}",
        "kind": "InitConfiguration",
        "certificateKey": key,
    }
    kubeadm.run(
        ["init", "phase", "upload-certs", "--upload-certs"],
        config=f"{json.dumps(node)}\n---\n{configuration}",
        secrets=[key],
    )


def take_back(api: kube_api.KubeApi, token_id: str | None, *, check_mode: bool = False) -> bool:
    """Delete the token, and the uploaded certificates with what gave them life, unless another run's are there."""
    paths = [discovery.Token(token_id, "").path] if token_id else []
    uploaded = api.find(discovery.UPLOADED)
    if uploaded is not None and (not token_id or discovery.uploaded_for(uploaded) in (None, token_id)):
        paths += [*owners_of(uploaded), discovery.UPLOADED]
    if check_mode:
        return any(api.find(path) is not None for path in paths)
    deleted = [api.delete(path) for path in paths]
    return any(deleted)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "token_id": {"type": "str", "no_log": False},
            "control_plane": {"type": "bool", "default": False},
            "upload_certificates": {"type": "bool", "default": True},
            "token": {"type": "str", "no_log": True},
            "certificate_key": {"type": "str", "no_log": True},
            "lifetime_minutes": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        if options["state"] == "absent":
            # In check mode nothing was made that could be taken back; a real run would have made it.
            if module.check_mode and not options["token_id"]:
                module.exit_json(changed=True)
            api = kube_api.local_admin()
            result = {"changed": take_back(api, options["token_id"], check_mode=module.check_mode)}
        elif options["token"]:
            result = keep(module)
        elif module.check_mode:
            result = {"changed": True}
        else:
            result = {"changed": True, **make(module)}
    except (RequestFailed, KubeadmFailed, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
