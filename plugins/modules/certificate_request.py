#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_request
short_description: Ask for certificates of etcd, for keys that stay on this host
version_added: 0.1.0
description:
  - With O(state=requested), looks at the certificates that this host is to have. For those that are missing, cut,
    expired, of another CA or without a name that they need, makes a key where there is none and returns a request.
  - With O(state=present), installs what M(kubeadm.ha.certificate_issue) made of the requests. Before anything is
    written, each certificate has to belong to the key of this host, to be signed by the CA, and to say what it should
    and no more.
  - A pair that is whole is left alone, whoever made it. Another CA than O(ca) on this host is refused.
  - Keys are never returned. They are written whole or not at all, so that after an interruption the next request is for
    the same key.
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
  state:
    description: Whether to ask for certificates, or to install them.
    type: str
    choices: [requested, present]
    default: present
  ca:
    description:
      - The certificate of etcd's CA, PEM. Needed with O(state=present), but for check mode. With O(state=requested) it
        replaces what is on this host for looking at the certificates.
    type: str
  certificates:
    description: By profile, the certificate that was issued for this host, PEM.
    type: dict
    default: {}
seealso:
  - module: kubeadm.ha.certificate_issue
  - module: kubeadm.ha.etcd_authority
"""

EXAMPLES = r"""
- name: Ask for the certificates of an etcd member
  kubeadm.ha.certificate_request:
    state: requested
    version: 1.20.2
    node_name: etcd2
    address: 192.0.2.22
  register: request

- name: Install what certificate_issue has made of it meanwhile
  kubeadm.ha.certificate_request:
    version: 1.20.2
    node_name: etcd2
    address: 192.0.2.22
    ca: "{{ issued.ca }}"
    certificates: "{{ issued.certificates.etcd2 }}"
"""

RETURN = r"""
reasons:
  description: By profile, why a certificate is needed. Those that are whole are left out.
  returned: success
  type: dict
  sample: {etcd-server: no certificate}
requests:
  description: By profile, the request (PKCS #10, PEM). In check mode there are none.
  returned: with O(state=requested)
  type: dict
public_keys:
  description: By profile, the hash of the public half of each key that is here.
  returned: success
  type: dict
  sample: {etcd-server: "sha256:..."}
ca_hash:
  description: Public key hash of etcd's CA on this host; empty where it has none.
  returned: success
  type: str
files:
  description: The files that were written, or in check mode would be.
  returned: success
  type: list
  elements: str
"""

import datetime
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import certificates, requesting, sealing, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.certificate_profiles import (
    ARGUMENT_SPEC,
    HOST_SPEC,
    PROFILES,
    PROFILES_SPEC,
    Claims,
    Host,
    authority_pair,
    check_host,
    claims_of,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_each, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import KubeadmFailed, alone
from ansible_collections.kubeadm.ha.plugins.module_utils.pki import Pair
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal, describe

Contents = Mapping[str, "str | OSError"]


@dataclass(frozen=True)
class Part:
    """A certificate of this host: where it is, what it should say, and what is there of it."""

    name: str
    pair: Pair
    wanted: Claims
    look: requesting.Look


@dataclass(frozen=True)
class File:
    """A file to be written.

    Attributes:
        text: empty in check mode, where it is still to come.
        before: what the one that is here says, for people.
        after: what the new one says.
    """

    path: str
    mode: int
    text: str
    before: str
    after: str


def observe(options: Mapping[str, Any], now: datetime.datetime) -> tuple[list[Part], Contents]:
    """What is here of the certificates that this host is to have, and the files by path.

    Raises:
        Refusal: no certificate can say this of a host, or files must not be replaced.
    """
    version, host = versions.parse(options["version"]), Host.from_options(options)
    profiles = [PROFILES[name] for name in dict.fromkeys(options["profiles"])]
    problems = check_host("", host, profiles)
    if problems:
        raise Refusal(problems)
    ca_path = authority_pair(options["directory"]).public
    pairs = {profile: profile.pair(options["directory"]) for profile in profiles}
    contents = read_each([ca_path, *(path for pair in pairs.values() for path in pair.paths)])
    parts = []
    ca = requesting.find_ca(options["ca"], ca_path, contents)
    for profile, pair in pairs.items():
        wanted = claims_of(profile, host, version)
        try:
            parts.append(Part(profile.name, pair, wanted, requesting.look(pair, contents, wanted, ca, now)))
        except Refusal as refusal:
            problems += refusal.problems
    if problems:
        raise Refusal(problems)
    return parts, contents


def request(module: AnsibleModule) -> dict[str, Any]:
    """Make the keys that are missing, and a request for each certificate that is.

    Raises:
        Refusal: see ``observe``.
    """
    parts, contents = observe(module.params, datetime.datetime.now(datetime.timezone.utc))
    needed = [part for part in parts if part.look.reason]
    files = [
        File(str(part.pair.private), 0o600, "" if module.check_mode else certificates.new_key(), "", "a new key")
        for part in needed
        if not part.look.key_hash
    ]
    keys = {**contents, **{file.path: file.text for file in files}}
    requests = {
        part.name: certificates.request(str(keys[str(part.pair.private)]), part.wanted)
        for part in needed
        if not module.check_mode
    }
    return {**finish(module, parts, contents, files), "requests": requests}


def install(module: AnsibleModule) -> dict[str, Any]:
    """Write the certificates that have come, once all of them are known to be right.

    Raises:
        Refusal: one is not, or one is missing.
        ValueError: the CA is missing.
    """
    options, now = module.params, datetime.datetime.now(datetime.timezone.utc)
    if not (options["ca"] or module.check_mode):
        raise ValueError("ca: found none, wanted the certificate of etcd's CA, as certificate_issue returns it.")
    parts, contents = observe(options, now)
    path = authority_pair(options["directory"]).public
    files, problems = [], []
    if requesting.ca_is_needed(options["ca"], path, contents, now):
        files.append(File(path, 0o644, options["ca"] or "", "", "etcd's CA"))
    for part in parts:
        if not part.look.reason:
            continue
        pem = options["certificates"].get(part.name)
        if module.check_mode and not pem:
            files.append(File(part.pair.public, 0o644, "", part.look.said, str(part.wanted)))
            continue
        try:
            said = requesting.check_issued(pem, part.look, options["ca"], part.wanted, now)
            files.append(File(part.pair.public, 0o644, str(pem), part.look.said, said))
        except certificates.Unusable as error:
            action = "Ask again with state=requested, and have certificate_issue sign what it returns."
            problems.append(Problem("", part.pair.public, str(error), f"a certificate of {part.wanted}", action))
    if problems:
        raise Refusal(problems)
    return finish(module, parts, contents, files)


def finish(module: AnsibleModule, parts: list[Part], contents: Contents, files: list[File]) -> dict[str, Any]:
    """Write the files, take from others what is root's alone, and tell what was here before."""
    written = {file.path for file in files}
    for part in parts:
        path = str(part.pair.private)
        if path in contents and path not in written and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            files.append(File(path, 0o600, str(contents[path]), "a key that others may read", "the same for root"))
    if not module.check_mode:
        for file in files:
            write_atomic(file.path, file.text.encode(), file.mode)
    ca_path = authority_pair(module.params["directory"]).public
    result: dict[str, Any] = {
        "changed": bool(files),
        "files": [file.path for file in files],
        "reasons": {part.name: part.look.reason for part in parts if part.look.reason},
        "ca_hash": requesting.ca_hash(ca_path, read_each([ca_path])),
        "public_keys": public_keys(parts),
    }
    if files:
        before = "".join(f"{file.path} {file.before}\n" for file in files if file.before)
        after = "".join(f"{file.path} {file.mode:04o} {file.after}\n" for file in files)
        header = module.params["directory"]
        result["diff"] = {"before_header": header, "after_header": header, "before": before, "after": after}
    return result


def public_keys(parts: list[Part]) -> dict[str, str]:
    """By profile, of the keys that are here now."""
    now_here = read_each(str(part.pair.private) for part in parts)
    hashes = {part.name: certificates.key_hash(now_here.get(str(part.pair.private))) for part in parts}
    return {name: found for name, found in hashes.items() if found}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENT_SPEC,
            **HOST_SPEC,
            **PROFILES_SPEC,
            "state": {"type": "str", "choices": ["requested", "present"], "default": "present"},
            "ca": {"type": "str"},
            "certificates": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if certificates.IMPORT_ERROR and not module.check_mode:
        module.fail_json(msg=sealing.MISSING, exception=certificates.IMPORT_ERROR)
    try:
        with alone(module.check_mode):
            result = request(module) if module.params["state"] == "requested" else install(module)
    except Refusal as refusal:
        module.fail_json(msg=describe(replace(found, host=socket.gethostname()) for found in refusal.problems))
    except (KubeadmFailed, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
