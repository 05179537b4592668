#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_snapshot
short_description: Take a snapshot of a whole cluster, encrypted
version_added: 0.1.0
description:
  - Takes, on a control plane, a snapshot of etcd as its API server reaches it, stacked or external, with certificates
    and keys that control planes share, and the file by which the API server encrypts Secrets, where there is one.
    kubeadm's configuration lies in etcd.
  - All of it is encrypted as it comes, and nothing of it is ever written in clear, not even to memory that looks like a
    disk. A snapshot may be larger than what a host can spare of that, and a process that is killed leaves ciphertext
    alone.
  - The file takes its place once it was decrypted in parts, read back page by page, and is what etcd says that it sent,
    of this cluster, and not older than a read that a quorum stood behind.
  - The key of the file is sealed to O(public_key). Nobody opens it but the owner of the private half, by
    M(kubeadm.ha.snapshot_key) and M(kubeadm.ha.cluster_snapshot_open).
requirements:
  - cryptography for the Python of this host (package C(python3-cryptography)), not in check mode
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
attributes:
  idempotent:
    support: none
    details: Each run takes a snapshot of what there is by then.
options:
  dest:
    description:
      - Where to put it on this host, with mode 0600. It belongs to whoever became root by C(sudo), so that it can be
        fetched without that.
    type: path
    required: true
  public_key:
    description: To whom it is sealed, an X25519 or RSA key in PEM, as C(openssl pkey -pubout) writes it.
    type: str
    required: true
  timeout_seconds:
    description: For how long etcd may be silent before it is given up.
    type: int
    default: 30
seealso:
  - module: kubeadm.ha.cluster_snapshot_info
  - module: kubeadm.ha.cluster_snapshot_open
  - module: kubeadm.ha.etcd_snapshot
"""

EXAMPLES = r"""
- name: Take a snapshot of the cluster
  kubeadm.ha.cluster_snapshot:
    dest: /var/spool/kubeadm.ha/cluster.snapshot
    public_key: "{{ lookup('ansible.builtin.file', 'snapshot.pub') }}"
  register: snapshot
"""

RETURN = r"""
path:
  description: Where it is on this host.
  returned: success
  type: str
endpoint:
  description: The member of etcd that gave it.
  returned: success
  type: str
missing:
  description: Files that belong into it, and are not on this host.
  returned: success
  type: list
  elements: str
  sample: [/etc/kubernetes/pki/etcd/ca.key]
name:
  description: How it is called where it is kept, by cluster, cluster id and time.
  returned: success, not in check mode
  type: str
  sample: kubernetes-0123456789ab-20261120T200000Z.snapshot
header:
  description: What it says of itself to those who cannot open it, as M(kubeadm.ha.cluster_snapshot_info) tells it.
  returned: success, not in check mode
  type: dict
size_bytes:
  description: Size of the file.
  returned: success, not in check mode
  type: int
"""

import datetime
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    envelope,
    etcd,
    etcd_snapshot,
    etcd_stream,
    evidence,
    identity,
    pki,
    sealing,
    snapshot_files,
    static_pods,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.files import partial, read_each, read_text, replacing
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal
from ansible_collections.kubeadm.ha.plugins.module_utils.snapshot_files import ApiServer

# Who fetches it has to reach it; what else is there is not shown.
FOLDER_MODE = 0o711
TIME = "%Y%m%dT%H%M%SZ"
READ = "Look at its mode, and whether it is a file."


@dataclass(frozen=True)
class ControlPlane:
    """What this host brings to a snapshot.

    Attributes:
        server: how its API server reaches etcd.
        cluster_id: by its CA.
        texts: by path, the files that go into the snapshot,
        missing: and those that are not there.
        problems: what is wrong with those that are; they go into it as they are.
    """

    server: ApiServer
    cluster_id: str
    texts: Mapping[str, str]
    missing: list[str]
    problems: list[Problem]


def look(host: str) -> ControlPlane:
    """
    Raises:
        Refusal: this is no control plane, or a file cannot be read.
    """
    manifest = evidence.POD_MANIFESTS[0]
    server = snapshot_files.api_server(static_pods.flags_of(read_text(manifest) or ""), manifest, host)
    if not isinstance(server, ApiServer):
        raise Refusal(server)
    stacked = os.path.exists(evidence.ETCD_MANIFEST)
    paths = snapshot_files.wanted_files(server, stacked=stacked)
    found = read_each(paths)
    unreadable = [
        Problem(host, path, f"what nobody can read ({content.strerror or content})", "a file", READ)
        for path, content in found.items()
        if isinstance(content, OSError)
    ]
    if unreadable:
        raise Refusal(unreadable)
    texts = {path: str(content) for path, content in found.items()}
    pairs = pki.shared_pairs(() if stacked else server.client)
    findings = pki.judge(pairs, texts, datetime.datetime.now(datetime.timezone.utc))
    cluster_id = identity.cluster_id(findings.public_keys.get(pki.CLUSTER_CA.public))
    if not cluster_id:
        action = "Without it nobody knows whose snapshot it is. Run this on a control plane that has it."
        raise Refusal([Problem(host, pki.CLUSTER_CA.public, "no CA", "the cluster's CA", action)])
    missing = [path for path in paths if path not in texts]
    return ControlPlane(server, cluster_id, texts, missing, [replace(one, host=host) for one in findings.problems])


def take(options: Mapping[str, Any], *, check_mode: bool) -> tuple[dict[str, Any], list[Problem]]:
    """Take it, or in check mode see whether it could be taken.

    Returns:
        The module's result, and what is wrong with files of this host.

    Raises:
        Refusal: this is no control plane, there is no room, another run is at it, or what came is not this cluster's.
        RequestFailed: etcd does not give it.
        EnvelopeBroken: the public key is none.
        UnusableSnapshot: what came is no snapshot.
        OSError: it cannot be written.
    """
    host, dest, timeout = socket.gethostname(), options["dest"], float(options["timeout_seconds"])
    envelope.check_text(options["public_key"])
    to = None if sealing.IMPORT_ERROR else envelope.recipient(options["public_key"])
    own = look(host)
    context = etcd.client_context(*own.server.client)
    source = etcd_stream.choose(own.server.endpoints, context, timeout)
    problem = etcd_stream.room_problem(dest, source.database_bytes, etcd_stream.size_of(partial(dest)))
    if problem:
        raise Refusal([problem])
    result: dict[str, Any] = {"path": dest, "endpoint": source.endpoint, "missing": own.missing}
    if check_mode or to is None:
        return result, own.problems
    moment = datetime.datetime.now(datetime.timezone.utc).strftime(TIME)
    key, file_id = envelope.new_key(), envelope.new_id()
    with replacing(dest, FOLDER_MODE) as file:
        writer = envelope.Writer(file, key)
        for blob in etcd_stream.blobs(source, context, timeout):
            writer.write(blob)
        etcd_bytes = writer.written
        writer.write(snapshot_files.documents(own.texts, snapshot_files.read_modes([*own.texts])))
        writer.finish()
        file.flush()
        contents, size = read_back(file, key, etcd_bytes, dest, own, source.revision, host)
        header = {
            "id": file_id,
            "sealed": envelope.seal_key(key, to, file_id),
            **snapshot_files.told(contents),
            "cluster_id": own.cluster_id,
            "prefix": own.server.prefix,
            "taken_at": moment,
            "bytes": size,
        }
        writer.write_header(header)
        if os.environ.get("SUDO_UID", "").isdigit():
            os.fchown(file.fileno(), int(os.environ["SUDO_UID"]), -1)
    name = snapshot_files.name(contents.cluster_name, own.cluster_id, moment)
    return {**result, "name": name, "header": snapshot_files.shown(header), "size_bytes": size}, own.problems


def read_back(
    file: BinaryIO, key: bytes, etcd_bytes: int, dest: str, own: ControlPlane, least_revision: int, host: str
) -> tuple[snapshot_files.Contents, int]:
    """What is in the file by now, and its size.

    Raises:
        Refusal: it is another cluster's, or older than it was to be.
        EnvelopeBroken: it is not what was written.
        UnusableSnapshot: what came is no snapshot.
    """
    descriptor, size = file.fileno(), os.fstat(file.fileno()).st_size
    reader = envelope.Reader(lambda offset, length: os.pread(descriptor, length, offset), size, key)
    contents = snapshot_files.read(reader.read_at, reader.size, etcd_bytes, dest, own.server.prefix)
    problems = etcd_snapshot.judge(
        contents.etcd,
        host=host,
        # One that is encrypted does not say it; then this host's own CA has to do.
        cluster_id=own.cluster_id if contents.etcd.cluster_id else "",
        least_revision=least_revision,
    )
    if problems:
        raise Refusal(problems)
    return contents, size


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "public_key": {"type": "str", "required": True, "no_log": False},
            "timeout_seconds": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    if sealing.IMPORT_ERROR and not module.check_mode:
        module.fail_json(msg=sealing.MISSING, exception=sealing.IMPORT_ERROR)
    dest = module.params["dest"]
    before = "a file\n" if os.path.lexists(dest) else ""
    try:
        result, wrong = take(module.params, check_mode=module.check_mode)
    except (RequestFailed, Refusal, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    for problem in wrong:
        module.warn(str(problem))
    for path in result["missing"]:
        module.warn(f"{path}: found none on this host, wanted it in the snapshot. Keep a copy of it elsewhere.")
    diff = {"before_header": dest, "after_header": dest, "before": before, "after": "an encrypted snapshot, 0600\n"}
    module.exit_json(changed=True, diff=diff, **result)


if __name__ == "__main__":
    main()
