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
  - kubeadm works aside, so that what is here stays until all of the new is made, and that it may be interrupted.
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

import datetime
import os
import shutil
import socket
from collections.abc import Iterable, Mapping
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
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_each, read_text, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed, alone, shown
from ansible_collections.kubeadm.ha.plugins.module_utils.pki import ETCD_IN_THE_MAKING, Pair, mode, paths
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal, describe

CA_PHASE = "etcd-ca"
# kubeadm looks for a runtime where none is named, and stops where it finds two. Certificates need none.
_ANY_SOCKET = "unix:///run/containerd/containerd.sock"


def rendered(options: Mapping[str, Any], directory: str, kubeadm: versions.Version) -> list[dict[str, Any]]:
    """What this kubeadm is told of this host, to make certificates in a directory."""
    host = Host.from_options(options)
    local = {profile.more_names: host.more_names(profile) for profile in PROFILES.values() if profile.serves}
    description = kubeadm_config.Description(
        cluster={
            "kubernetesVersion": f"v{versions.parse(options['version'])}",
            "certificatesDir": directory,
            "etcd": {"local": local},
        },
        node={
            "nodeRegistration": {"name": host.node_name, "criSocket": _ANY_SOCKET},
            "localAPIEndpoint": {"advertiseAddress": host.address},
        },
    )
    return kubeadm_config.render_init(description, kubeadm)


def making(directory: str) -> str:
    """Where kubeadm makes what then is put into its place; who finds half a CA beside it may make the CA anew."""
    return f"{directory}/{os.path.basename(ETCD_IN_THE_MAKING)}"


def pair_of(phase: str, directory: str) -> Pair:
    return authority_pair(directory) if phase == CA_PHASE else PROFILES[phase].pair(directory)


def needed(options: Mapping[str, Any], now: datetime.datetime) -> dict[str, str]:
    """Why each phase of kubeadm has to run.

    Raises:
        Refusal: this host must not be the authority, or cannot be.
    """
    version, host = versions.parse(options["version"]), Host.from_options(options)
    problems = check_host("", host, [*PROFILES.values()])
    if problems:
        raise Refusal(problems)
    directory, profiles = options["directory"], [PROFILES[name] for name in dict.fromkeys(options["profiles"])]
    ca_pair, pairs = authority_pair(directory), [profile.pair(directory) for profile in profiles]
    contents = read_each(paths([ca_pair, *pairs]))
    interrupted = os.path.exists(making(directory))
    reason = issuing.ca_has_to_be_made(ca_pair, pairs, contents, options["ca_hashes"], interrupted=interrupted, now=now)
    ca = None if reason else requesting.find_ca(None, ca_pair.public, contents)
    reasons = {CA_PHASE: reason}
    for profile, pair in zip(profiles, pairs):
        reasons[profile.name] = requesting.look(pair, contents, claims_of(profile, host, version), ca, now).reason
    return {phase: reason for phase, reason in reasons.items() if reason}


def make(kubeadm: Kubeadm, at_hand: versions.Version, phases: Iterable[str], options: Mapping[str, Any]) -> None:
    """Have kubeadm make the files of these phases, and put them into their places when all of them are made.

    kubeadm stops at a pair that is not whole, and a member that runs must not be left without its own meanwhile.
    """
    directory, phases = options["directory"], list(phases)
    aside = making(directory)
    shutil.rmtree(aside, ignore_errors=True)  # there is none, unless a run was killed
    os.makedirs(f"{aside}/etcd", mode=0o700)
    os.chmod(aside, 0o700)
    if CA_PHASE not in phases:
        for path, link in zip(authority_pair(directory).paths, authority_pair(aside).paths):
            os.symlink(path, link)
    config = kubeadm_config.dump(rendered(options, aside, at_hand))
    for phase in phases:
        kubeadm.run(["init", "phase", "certs", phase], config=config)
    for phase in phases:
        pair = pair_of(phase, directory)
        for path, made in reversed([*zip(pair.paths, pair_of(phase, aside).paths)]):
            write_atomic(path, (read_text(made) or "").encode(), mode([pair], path))


def provide(module: AnsibleModule, lock: int | None) -> dict[str, Any]:
    """Run kubeadm's phases where they are needed.

    Raises:
        Refusal: see ``needed``.
    """
    options, now = module.params, datetime.datetime.now(datetime.timezone.utc)
    directory = options["directory"]
    reasons = needed(options, now)
    result: dict[str, Any] = {"changed": bool(reasons), "reasons": reasons}
    if reasons:
        kubeadm = Kubeadm(module, lock)
        at_hand = kubeadm.version() if kubeadm.installed else versions.parse(options["version"])
        result["diff"] = shown(f"kubeadm init phase certs {', '.join(reasons)}", rendered(options, directory, at_hand))
        if not module.check_mode:
            make(kubeadm, at_hand, reasons, options)
    if not module.check_mode:
        shutil.rmtree(making(directory), ignore_errors=True)  # of a run that was killed
    ca_path = authority_pair(directory).public
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
