#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_issue
short_description: Sign requests for certificates of etcd, where its CA is
version_added: 0.1.0
description:
  - Signs what M(kubeadm.ha.certificate_request) returned on other hosts with the key of etcd's CA, which is read in its
    place on this host and never returned.
  - What a certificate says follows from O(hosts) alone. A request that asks for anything else, that its key has not
    signed, or that carries a key of another host is refused, and so is a server with another host's name or address;
    then nothing is signed for anybody.
  - A CA that has ended, that is none, or whose key is missing or another one's is refused.
  - Changes nothing on this host.
requirements:
  - cryptography for the Python of this host (package C(python3-cryptography)), not in check mode
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._certificates
  - kubeadm.ha._certificates.profiles
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
attributes:
  idempotent:
    support: partial
    details: Nothing changes, but each certificate is a new one.
options:
  hosts:
    description:
      - By host, what its certificates may say of it, in C(node_name) and C(address), which have the meaning that
        M(kubeadm.ha.certificate_request) gives them. What else may be there is not read.
      - Take it from the inventory or the plan, and not from what those hosts say of themselves.
    type: dict
    default: {}
  local:
    description: By host, what O(kubeadm.ha.certificate_request#module:local) is there.
    type: dict
    default: {}
  requests:
    description:
      - By host, what M(kubeadm.ha.certificate_request) returned there as
        RV(kubeadm.ha.certificate_request#module:requests).
    type: dict
    default: {}
seealso:
  - module: kubeadm.ha.certificate_request
  - module: kubeadm.ha.etcd_authority
"""

EXAMPLES = r"""
- name: Sign the requests of two hosts
  kubeadm.ha.certificate_issue:
    version: 1.20.2
    hosts:
      etcd2: {node_name: etcd2, address: 192.0.2.22}
      etcd3: {node_name: etcd3, address: 192.0.2.23}
    requests:
      etcd2: "{{ hostvars.etcd2.request.requests }}"
      etcd3: "{{ hostvars.etcd3.request.requests }}"
  register: issued
"""

RETURN = r"""
certificates:
  description: By host and profile, the certificate (PEM).
  returned: success, empty in check mode
  type: dict
ca:
  description: The certificate of etcd's CA (PEM).
  returned: success, empty in check mode where there is none
  type: str
ca_hash:
  description: Its public key hash.
  returned: success, empty in check mode where there is none
  type: str
"""

import datetime
import socket
from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import certificates, issuing, requesting, sealing, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.certificate_profiles import (
    ARGUMENT_SPEC,
    PROFILES_SPEC,
    Host,
    authority_pair,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_each
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal, describe


def issue(module: AnsibleModule) -> dict[str, object]:
    """The certificates, and the CA.

    Raises:
        Refusal: the CA cannot sign, or a request must not be signed.
    """
    options, pair = module.params, authority_pair(module.params["directory"])
    contents = read_each(pair.paths)
    if module.check_mode:
        content = contents.get(pair.public, "")
        ca = content if isinstance(content, str) else ""
        return {"certificates": {}, "ca": ca, "ca_hash": requesting.ca_hash(pair.public, contents)}
    now = datetime.datetime.now(datetime.timezone.utc)
    authority = issuing.load_authority(pair, contents, now)
    certificates = issuing.issue_all(
        authority,
        {host: asked or {} for host, asked in options["requests"].items()},
        {
            host: Host.from_options({**said, "local": options["local"].get(host)})
            for host, said in options["hosts"].items()
            if isinstance(said, dict)
        },
        options["profiles"],
        versions.parse(options["version"]),
        now,
    )
    ca_hash = authority.certificate.identity.public_key_hash
    return {"certificates": certificates, "ca": authority.pem, "ca_hash": ca_hash}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENT_SPEC,
            **PROFILES_SPEC,
            "hosts": {"type": "dict", "default": {}},
            "local": {"type": "dict", "default": {}},
            "requests": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if certificates.IMPORT_ERROR and not module.check_mode:
        module.fail_json(msg=sealing.MISSING, exception=certificates.IMPORT_ERROR)
    try:
        result = issue(module)
    except Refusal as refusal:
        # What is wrong with the CA is wrong here; what is wrong with a request is wrong on its host.
        module.fail_json(
            msg=describe(replace(found, host=found.host or socket.gethostname()) for found in refusal.problems)
        )
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
