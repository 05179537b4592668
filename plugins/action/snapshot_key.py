# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of an encrypted snapshot, opened on the controller and sealed for the host that is to open the file."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.kubeadm.ha.plugins.module_utils import envelope, etcd_snapshot, sealing, snapshot_files
from ansible_collections.kubeadm.ha.plugins.module_utils.files import unreadable
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal


class ActionModule(ActionBase):
    """See plugins/modules/snapshot_key.py for what it takes and returns."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(
            argument_spec={
                "path": {"type": "path", "required": True},
                "private_key": {"type": "path", "required": True, "no_log": False},
                "passphrase": {"type": "str", "default": "", "no_log": True},
                "receiver": {"type": "str", "default": ""},
                "cluster_id": {"type": "str", "default": ""},
            },
        )
        if sealing.IMPORT_ERROR:
            raise AnsibleActionFail(sealing.MISSING)
        unset = [name for name in ("path", "private_key") if not options[name]]
        if unset:
            raise AnsibleActionFail("\n".join(f"{name}: found none, wanted a path." for name in unset))
        try:
            header, sealed = relay(**options)
        except (Refusal, ValueError) as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(unreadable(error)) from None
        result.update(changed=False, envelope=sealed, header=snapshot_files.shown(header))
        return result


def relay(
    *, path: str, private_key: str, passphrase: str, receiver: str, cluster_id: str
) -> tuple[dict[str, Any], str]:
    """The header of the snapshot, and its key for the receiver.

    Raises:
        EnvelopeBroken: the file is cut short or damaged, or the private key is not its own.
        SealBroken: the receiver's key is none.
        Refusal: it is of another cluster.
        OSError: a file cannot be read.
    """
    with open(path, "rb") as file:
        descriptor, size = file.fileno(), os.fstat(file.fileno()).st_size
        header = snapshot_files.read_header(lambda offset, length: os.pread(descriptor, length, offset), size, path)
    problems = etcd_snapshot.judge(snapshot_files.of_header(header, path), host="controller", cluster_id=cluster_id)
    if problems:
        raise Refusal(problems)
    with open(private_key, "rb") as file:
        key = envelope.open_key(header, file.read(), passphrase)
    return header, envelope.relay_key(key, receiver, header["id"]) if receiver else ""
