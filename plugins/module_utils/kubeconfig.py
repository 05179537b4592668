# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubeconfig files that kubeadm writes: one cluster, one user, everything embedded.

Nodes carry no YAML library. kubeadm's own files hold each of these keys once, on a line of its own, so a line is read.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field

_LINE = re.compile(r"^\s*(?:- )?([a-z-]+): *(\S.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Kubeconfig:
    """Where an API server is and how to speak to it.

    Attributes:
        server: URL.
        ca: PEM of the CA, empty where the file names none.
        certificate: PEM of the client certificate, empty where the file embeds none.
        key: PEM of its private key, likewise.
    """

    server: str
    ca: str
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


def parse(text: str) -> Kubeconfig:
    """Read a kubeconfig as kubeadm writes it.

    Raises:
        ValueError: no server in it or several, or data that is not base64.
    """
    pairs = _LINE.findall(text)
    values = dict(pairs)
    servers = [value.strip("\"'") for key, value in pairs if key == "server"]
    if len(servers) != 1 or not servers[0]:
        raise ValueError(f"kubeconfig names {len([*filter(None, servers)])} servers, not one")

    def embedded(key: str) -> str:
        return base64.b64decode(values.get(key, ""), validate=True).decode()

    return Kubeconfig(
        server=servers[0],
        ca=embedded("certificate-authority-data"),
        certificate=embedded("client-certificate-data"),
        key=embedded("client-key-data"),
    )


def render(*, cluster: str, user: str, config: Kubeconfig) -> str:
    """A kubeconfig for one user of one cluster, as YAML in the layout that ``parse`` reads."""

    def encode(pem: str) -> str:
        return base64.b64encode(pem.encode()).decode()

    context = json.dumps(f"{user}@{cluster}")
    return f"""apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: {encode(config.ca)}
    server: {config.server}
  name: {json.dumps(cluster)}
contexts:
- context:
    cluster: {json.dumps(cluster)}
    user: {json.dumps(user)}
  name: {context}
current-context: {context}
preferences: {{}}
users:
- name: {json.dumps(user)}
  user:
    client-certificate-data: {encode(config.certificate)}
    client-key-data: {encode(config.key)}
"""
