# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host's credentials will let it in: asked before kubeadm is, which keeps trying for five minutes."""

from __future__ import annotations

import time
from collections.abc import Callable

from . import discovery, kube_api, x509
from .https_json import JsonClient, RequestFailed, verified_context
from .problems import Problem

# A token made a moment ago may not have reached every API server's cache.
PATIENCE = 10.0
_AGAIN = "It was deleted, or ended, after this run made it. Run again."


def check(
    host: str,
    endpoint: str,
    token: discovery.Token,
    ca_hash: str,
    *,
    downloads: bool,
    patience: float = PATIENCE,
    timeout: float = 5.0,
) -> list[Problem]:
    """What stands against a join with these credentials.

    Args:
        host: who joins.
        endpoint: where the cluster is, ``host:port``.
        token: to be let in by.
        ca_hash: which CA the endpoint must publish.
        downloads: the shared certificates are to come through the API.
        patience: seconds for which to ask again.
        timeout: seconds for one answer.

    Returns:
        Nothing also where the cluster cannot be asked: what passes, kubeadm waits for.
    """
    deadline = time.monotonic() + patience
    while True:
        problem, passing = _ask(host, endpoint, token, ca_hash, downloads, timeout)
        if not problem or not passing or time.monotonic() > deadline:
            return [problem] if problem else []
        time.sleep(0.5)


def _ask(
    host: str, endpoint: str, token: discovery.Token, ca_hash: str, downloads: bool, timeout: float
) -> tuple[Problem | None, bool]:
    """A problem, if there is one, and whether it may pass within seconds."""
    server = f"https://{endpoint}"

    def refuse(subject: str, found: str, wanted: str, action: str) -> Problem:
        return Problem(host, subject, found, wanted, action)

    try:
        info = kube_api.cluster_info(server, timeout)
        if info is None:
            return None, False
        published = {certificate.public_key_hash for certificate in x509.parse_all(info.ca)}
    except (RequestFailed, x509.MalformedCertificate):
        return None, False
    if ca_hash.lower() not in published:
        found = f"a cluster of CA {', '.join(sorted(published))} at {endpoint}"
        wanted = f"{ca_hash}, the control planes' of this run"
        return refuse("discovery hash", found, wanted, "See where the endpoint leads to from this host."), False
    # The token is a secret, and goes to a server that this CA vouches for.
    client = JsonClient(server, verified_context(info.ca), timeout, token=str(token))
    return _let_in(client, token, downloads, refuse)


def _let_in(
    client: JsonClient, token: discovery.Token, downloads: bool, refuse: Callable[[str, str, str, str], Problem]
) -> tuple[Problem | None, bool]:
    subject = f"bootstrap token {token.id}"
    try:
        uploaded = client.request("GET", discovery.UPLOADED if downloads else kube_api.CLUSTER_INFO)
    except RequestFailed as error:
        if error.status == 401:
            return refuse(subject, "it refused by the API server", "one that lets in", _AGAIN), True
        if error.status == 404 and downloads:
            return refuse("uploaded certificates", "none in the cluster", "those of this run", _AGAIN), False
        return None, False
    other = discovery.uploaded_for(uploaded) if downloads else None
    if other and other != token.id:
        found = f"those of the run that made token {other}"
        action = "Two runs are under way. Let the other one end, and run again."
        return refuse("uploaded certificates", found, f"those of this run, with token {token.id}", action), False
    return None, False
