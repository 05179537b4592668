#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_snapshot_open
short_description: Open an encrypted snapshot of a cluster
version_added: 0.1.0
description:
  - With O(state=requested), makes a key for one use and returns its public half, for M(kubeadm.ha.snapshot_key). The
    private half stays on this host, in memory (C(/run), for root alone), until it is used or the next request replaces
    it.
  - With O(state=present), decrypts O(src) on this host, and writes etcd's snapshot to O(dest), mode 0600. It takes its
    place once it was read back, page by page, and is what the header says.
  - The certificates, keys and other files in it are written below O(files_dest), where that is given, and kubeadm's
    configuration beside them. A file that is there and is not the same is refused, and nothing is written.
requirements:
  - cryptography for the Python of this host (package C(python3-cryptography)), not in check mode
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  state:
    description: Whether to ask for the key of the file, or to open it.
    type: str
    choices: [requested, present]
    default: present
  src:
    description: The encrypted snapshot, on this host. Needed with O(state=present).
    type: path
  envelope:
    description:
      - What M(kubeadm.ha.snapshot_key) returned for this host. Needed with O(state=present), but for check mode.
    type: str
  dest:
    description: Where to put etcd's snapshot. Needed with O(state=present).
    type: path
  files_dest:
    description:
      - A folder below which each other file is put under its whole path, as it was. V(/) puts them where they were.
    type: path
  cluster_id:
    description: The id of the cluster that it must be of.
    type: str
    default: ""
seealso:
  - module: kubeadm.ha.snapshot_key
  - module: kubeadm.ha.cluster_snapshot
"""

EXAMPLES = r"""
- name: Ask for the key of the snapshot
  kubeadm.ha.cluster_snapshot_open:
    state: requested
  register: request

- name: Open it, once snapshot_key has sealed the key for this host
  kubeadm.ha.cluster_snapshot_open:
    src: /var/spool/kubeadm.ha/cluster.snapshot
    envelope: "{{ key.envelope }}"
    dest: /var/backups/kubeadm.ha/etcd.db
"""

RETURN = r"""
public_key:
  description: What the key is to be sealed for; empty in check mode.
  returned: with O(state=requested)
  type: str
path:
  description: Where etcd's snapshot is.
  returned: with O(state=present)
  type: str
header:
  description:
    - What the snapshot says of itself, as M(kubeadm.ha.cluster_snapshot_info) tells it. Empty in check mode where
      O(src) is yet to come.
  returned: with O(state=present)
  type: dict
files:
  description: The files that were written, or in check mode would be, but for those that are the same already.
  returned: with O(state=present)
  type: list
  elements: str
"""

import contextlib
import hashlib
import os
import socket
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    envelope,
    etcd_snapshot,
    etcd_stream,
    receiver,
    sealing,
    snapshot_files,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.bolt import ReadAt
from ansible_collections.kubeadm.ha.plugins.module_utils.files import partial, replacing, unreadable, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal

RECEIVER_KEY = "/run/kubeadm-ha-snapshot.key"
CONFIGURATION = "kubeadm-config.yaml"
_PIECE_BYTES = 1 << 20


def below(folder: str, path: str) -> str:
    """
    Raises:
        EnvelopeBroken: the path leads elsewhere.
    """
    inside = os.path.normpath(path)
    if not os.path.isabs(path) or inside != path:
        raise envelope.EnvelopeBroken(f"file {path!r} of the snapshot: found no plain absolute path, wanted one.")
    return os.path.join(folder, inside.lstrip("/"))


def sha256_of(path: str) -> str:
    """Of a file's database, as a header says it; empty where there is no such file."""
    with contextlib.suppress(OSError, ValueError):
        return etcd_snapshot.read(path).sha256
    return ""


def differing(wanted: Mapping[str, tuple[int, bytes]], host: str) -> list[str]:
    """The files that are not there yet.

    Raises:
        Refusal: another one is there in their place.
    """
    new, problems = [], []
    for path, (_mode, content) in wanted.items():
        try:
            with open(path, "rb") as file:
                found = file.read()
        except FileNotFoundError:
            new.append(path)
            continue
        if found != content:
            action = "Move it away if it is not missed, or give another files_dest."
            digests = (hashlib.sha256(one).hexdigest()[:12] for one in (found, content))
            problems.append(Problem(host, path, *(f"sha256 {digest}…" for digest in digests), action))
    if problems:
        raise Refusal(problems)
    return new


def unpack(options: Mapping[str, Any], read_at: ReadAt, size: int, header: Mapping[str, Any], host: str) -> list[str]:
    """Write what is in it; return the files that were not there before.

    Raises:
        EnvelopeBroken: it is damaged, or the key is not its own.
        UnusableSnapshot: what is in it is no snapshot of etcd's.
        Refusal: other files are in the way, or there is no room.
        ValueError: nobody has asked for the key.
    """
    dest, folder = options["dest"], options["files_dest"]
    key = envelope.take_key(options["envelope"], receiver.take(RECEIVER_KEY), header["id"])
    envelope.check_header(header, key)
    problem = etcd_stream.room_problem(dest, header["etcd"]["bytes"], etcd_stream.size_of(partial(dest)))
    if problem:
        raise Refusal([problem])
    reader = envelope.Reader(read_at, size, key)
    reader.check_end()
    etcd_bytes = header["etcd"]["bytes"]
    contents = snapshot_files.read(reader.read_at, reader.size, etcd_bytes, options["src"], header["prefix"])
    if contents.etcd.sha256 != header["etcd"]["sha256"]:
        raise envelope.EnvelopeBroken(f"{options['src']}: found another database than its header says, wanted that.")
    wanted: dict[str, tuple[int, bytes]] = {}
    if folder:
        for path, (mode, text) in contents.files.items():
            wanted[below(folder, path)] = (0o600 if "PRIVATE KEY" in text else mode, text.encode())
        text = "---\n".join(contents.configuration[name] for name in sorted(contents.configuration))
        wanted[os.path.join(folder, "etc/kubernetes", CONFIGURATION)] = (0o600, text.encode())
    new = differing(wanted, host)
    if sha256_of(dest) != contents.etcd.sha256:
        with replacing(dest) as file:
            for offset in range(0, etcd_bytes, _PIECE_BYTES):
                file.write(reader.read_at(offset, min(_PIECE_BYTES, etcd_bytes - offset)))
            file.flush()
            etcd_snapshot.read(partial(dest))
        new.append(dest)
    for path in new:
        if path != dest:
            mode, content = wanted[path]
            write_atomic(path, content, mode)
    return new


def open_snapshot(options: Mapping[str, Any], *, host: str, check_mode: bool) -> tuple[dict[str, Any], list[str]]:
    """Open it, or in check mode see whether it could be the one.

    Returns:
        Its header, and the files that were written, or would be.

    Raises:
        EnvelopeBroken: it is cut short, damaged, or the key is another's.
        Refusal: it is of another cluster, other files are in the way, or there is no room.
        UnusableSnapshot: what is in it is no snapshot of etcd's.
        ValueError: nobody has asked for the key.
        OSError: a file cannot be read or written.
    """
    with open(options["src"], "rb") as file:
        descriptor, size = file.fileno(), os.fstat(file.fileno()).st_size

        def read_at(offset: int, length: int) -> bytes:
            return os.pread(descriptor, length, offset)

        header = snapshot_files.read_header(read_at, size, options["src"])
        found = snapshot_files.of_header(header, options["src"])
        problems = etcd_snapshot.judge(found, host=host, cluster_id=options.get("cluster_id", ""))
        if problems:
            raise Refusal(problems)
        if check_mode:
            there = sha256_of(options["dest"]) == found.sha256
            return header, [] if there else [options["dest"]]
        return header, unpack(options, read_at, size, header, host)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["requested", "present"], "default": "present"},
            "src": {"type": "path"},
            # Ciphertext, and of no use to a reader.
            "envelope": {"type": "str", "no_log": True},
            "dest": {"type": "path"},
            "files_dest": {"type": "path"},
            "cluster_id": {"type": "str", "default": ""},
        },
        required_if=[("state", "present", ("src", "dest"))],
        supports_check_mode=True,
    )
    if sealing.IMPORT_ERROR and not module.check_mode:
        module.fail_json(msg=sealing.MISSING, exception=sealing.IMPORT_ERROR)
    options = module.params
    try:
        if options["state"] == "requested":
            module.exit_json(changed=False, public_key="" if module.check_mode else receiver.request(RECEIVER_KEY))
        if not options["envelope"] and not module.check_mode:
            raise ValueError("envelope: found none, wanted what snapshot_key returned for this host.")
        if module.check_mode and not os.path.exists(options["src"]):
            header, written = {}, [options["dest"]]  # a real run would have copied it here
        else:
            header, written = open_snapshot(options, host=socket.gethostname(), check_mode=module.check_mode)
    except (Refusal, ValueError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=unreadable(error))
    dest = options["dest"]
    diff = {
        "before_header": dest,
        "after_header": dest,
        "before": "",
        "after": "".join(f"{path}\n" for path in written),
    }
    module.exit_json(
        changed=bool(written),
        path=dest,
        header=snapshot_files.shown(header) if header else {},
        files=written,
        diff=diff if written else [],
    )


if __name__ == "__main__":
    main()
