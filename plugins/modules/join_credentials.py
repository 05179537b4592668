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
  - With O(state=absent) deletes the token and the uploaded certificates again.
  - Returns secrets. Run it with C(no_log), and keep what it returns out of facts.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
attributes:
  idempotent:
    support: partial
    details: Each run with O(state=present) makes new credentials, because nobody keeps the old ones.
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
  returned: with O(control_plane=true), not in check mode
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
"""

import datetime
import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import discovery, etcd, evidence, kube_api, versions, x509
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed

UPLOADED = "/api/v1/namespaces/kube-system/secrets/kubeadm-certs"


def make(module: AnsibleModule) -> dict[str, Any]:
    """A token, its discovery hash, and a certificate key where one is needed."""
    api = kube_api.local_admin()
    token = discovery.new_token()
    now = datetime.datetime.now(datetime.timezone.utc)
    expires = now + datetime.timedelta(minutes=module.params["lifetime_minutes"])
    made: dict[str, Any] = {
        "token": str(token),
        "token_id": token.id,
        "ca_hash": x509.parse(read_text(evidence.CA) or "").public_key_hash,
        "expires": expires.isoformat(timespec="seconds"),
    }
    if module.params["control_plane"]:
        configuration = api.get(evidence.KUBEADM_CONFIG)["data"]["ClusterConfiguration"]
        made["certificate_key"] = upload_certificates(Kubeadm(module), configuration)
        made["cluster_configuration"] = configuration
        members = evidence.etcd_state(5.0)["members"] if etcd.has_client_certificate() else []
        made["etcd_endpoints"] = [url for member in members if member["healthy"] for url in member["client_urls"]]
    api.create(
        "/api/v1/namespaces/kube-system/secrets",
        discovery.token_secret(token, expires, "Made by kubeadm.ha for one run."),
    )
    return made


def upload_certificates(kubeadm: Kubeadm, configuration: str) -> str:
    """Have kubeadm encrypt the shared keys under a new key, and return that key.

    The phase does not read the cluster's configuration by itself, and would take external etcd for stacked.
    """
    key = discovery.new_certificate_key()
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
    return key


def take_back(module: AnsibleModule) -> bool:
    """Delete the token, the uploaded certificates, and the token that only gave these their life."""
    api = kube_api.local_admin()
    paths = []
    if module.params["token_id"]:
        paths.append(discovery.Token(module.params["token_id"], "").path)
    uploaded = api.find(UPLOADED)
    if uploaded is not None:
        owners = uploaded["metadata"].get("ownerReferences", [])
        paths += [f"/api/v1/namespaces/kube-system/secrets/{owner['name']}" for owner in owners]
        paths.append(UPLOADED)
    if module.check_mode:
        return any(api.find(path) is not None for path in paths)
    deleted = [api.delete(path) for path in paths]
    return any(deleted)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "token_id": {"type": "str", "no_log": False},
            "control_plane": {"type": "bool", "default": False},
            "lifetime_minutes": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    wanted = module.params["state"] == "present"
    try:
        # In check mode nothing was made that could be taken back; a real run would have made it.
        if module.check_mode and (wanted or not module.params["token_id"]):
            module.exit_json(changed=True)
        result = {"changed": True, **make(module)} if wanted else {"changed": take_back(module)}
    except (RequestFailed, KubeadmFailed, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
