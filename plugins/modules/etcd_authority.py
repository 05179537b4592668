#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_authority
short_description: Make this host the one that holds etcd's CA
version_added: 0.1.0
description:
  - Has C(kubeadm init phase certs) make etcd's CA, unless there is one, and the certificates of this host's own etcd
    and of its clients that are missing or do not do what they should.
  - A CA that is here with its key is taken over. A CA certificate without its key is refused, and so is a CA that has
    ended, or whose key does not belong to it.
  - What an interrupted kubeadm left is cleared away first. kubeadm itself would stop at it.
requirements:
  - cryptography for the Python of this host (package C(python3-cryptography)), not in check mode
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._certificates
  - kubeadm.ha._certificates.host
  - kubeadm.ha._certificates.profiles
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  ca_hashes:
    description:
      - Public key hashes of the CAs that other hosts of this etcd trust already, as M(kubeadm.ha.certificate_request)
        returns them; empty ones are passed over. No new CA is made where there are any, and another one is refused.
    type: list
    elements: str
    default: []
seealso:
  - module: kubeadm.ha.certificate_issue
"""

EXAMPLES = r"""
- name: Make etcd's CA, and the certificates of this host
  kubeadm.ha.etcd_authority:
    version: 1.20.2
    node_name: etcd1
    address: 192.0.2.21
"""

RETURN = r"""
ca_hash:
  description: Public key hash of etcd's CA; empty in check mode where there is none yet.
  returned: success
  type: str
reasons:
  description: By phase of kubeadm, why it was run, or in check mode would be.
  returned: success
  type: dict
  sample: {etcd-ca: no certificate}
"""

import contextlib
import datetime
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    certificates,
    issuing,
    kubeadm_config,
    requesting,
    sealing,
    versions,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.certificate_profiles import (
    ARGUMENT_SPEC,
    HOST_SPEC,
    PROFILES,
    PROFILES_SPEC,
    Host,
    authority_pair,
    check_host,
    claims_of,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_each, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed, alone, shown
from ansible_collections.kubeadm.ha.plugins.module_utils.pki import paths
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal, describe

CA_PHASE = "etcd-ca"
# kubeadm looks for a runtime where none is named, and stops where it finds two. Certificates need none.
_ANY_SOCKET = "unix:///run/containerd/containerd.sock"


def description(options: Mapping[str, Any]) -> kubeadm_config.Description:
    """What kubeadm is told of this host."""
    names = list(options["alternative_names"])
    return kubeadm_config.Description(
        cluster={
            "kubernetesVersion": f"v{versions.parse(options['version'])}",
            "certificatesDir": options["directory"],
            "etcd": {"local": {"serverCertSANs": names, "peerCertSANs": names}},
        },
        node={
            "nodeRegistration": {"name": options["node_name"], "criSocket": _ANY_SOCKET},
            "localAPIEndpoint": {"advertiseAddress": options["address"]},
        },
    )


def marker(options: Mapping[str, Any]) -> str:
    """The file that is there while kubeadm makes a CA: who finds half a CA beside it may make it anew."""
    return f"{options['directory']}/etcd/.ca-in-the-making"


def needed(options: Mapping[str, Any], now: datetime.datetime) -> tuple[dict[str, str], list[str]]:
    """Why each phase of kubeadm has to run, and the files that are in its way.

    Raises:
        Refusal: this host must not be the authority, or cannot be.
    """
    version, host = versions.parse(options["version"]), Host.from_options(options)
    problems = check_host("", host, [*PROFILES.values()])
    if problems:
        raise Refusal(problems)
    leaves = {PROFILES[name]: PROFILES[name].pair(options["directory"]) for name in dict.fromkeys(options["profiles"])}
    ca_pair = authority_pair(options["directory"])
    contents = read_each(paths([ca_pair, *leaves.values()]))
    interrupted = os.path.exists(marker(options))
    reason = issuing.ca_has_to_be_made(
        ca_pair, leaves.values(), contents, options["ca_hashes"], interrupted=interrupted, now=now
    )
    ca = None if reason else requesting.find_ca(None, ca_pair.public, contents)
    phases = {CA_PHASE: (ca_pair, reason)}
    for profile, pair in leaves.items():
        wanted = claims_of(profile, host, version)
        phases[profile.name] = pair, requesting.look(pair, contents, wanted, ca, now).reason
    reasons = {phase: reason for phase, (_pair, reason) in phases.items() if reason}
    return reasons, [path for phase in reasons for path in phases[phase][0].paths if path in contents]


def provide(module: AnsibleModule, lock: int | None) -> dict[str, Any]:
    """Run kubeadm's phases where they are needed.

    Raises:
        Refusal: see ``needed``.
    """
    options, now = module.params, datetime.datetime.now(datetime.timezone.utc)
    reasons, in_the_way = needed(options, now)
    result: dict[str, Any] = {"changed": bool(reasons), "reasons": reasons}
    if reasons:
        kubeadm = Kubeadm(module, lock)
        at_hand = kubeadm.version() if kubeadm.installed else versions.parse(options["version"])
        documents = kubeadm_config.render_init(description(options), at_hand)
        if not module.check_mode:
            if CA_PHASE in reasons:
                write_atomic(marker(options), b"", 0o600)
            for path in in_the_way:
                os.unlink(path)
            for phase in reasons:
                kubeadm.run(["init", "phase", "certs", phase], config=kubeadm_config.dump(documents))
        removed = {"before_header": "removed", "after_header": "removed", "after": ""}
        result["diff"] = [
            *([{**removed, "before": "".join(f"{path}\n" for path in in_the_way)}] if in_the_way else ()),
            shown(f"kubeadm init phase certs {', '.join(reasons)}", documents),
        ]
    if not module.check_mode:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(marker(options))
    ca_path = authority_pair(options["directory"]).public
    return {**result, "ca_hash": requesting.ca_hash(ca_path, read_each([ca_path]))}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENT_SPEC,
            **HOST_SPEC,
            **PROFILES_SPEC,
            "ca_hashes": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    if certificates.IMPORT_ERROR and not module.check_mode:
        module.fail_json(msg=sealing.MISSING, exception=certificates.IMPORT_ERROR)
    try:
        with alone(module.check_mode) as lock:
            result = provide(module, lock)
    except Refusal as refusal:
        module.fail_json(msg=describe(replace(found, host=socket.gethostname()) for found in refusal.problems))
    except (KubeadmFailed, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
