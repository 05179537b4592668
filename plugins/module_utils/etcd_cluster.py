# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd as a cluster: its members as they are now, and one change of them, made by the rules of ``membership``."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Union

from . import etcd, etcd_lock, membership
from .etcd import Member
from .https_json import Document, RequestFailed
from .membership import Change
from .problems import Refusal

FIRST_WITH_LEARNERS = (3, 4)

Decide = Callable[[list[Member]], Union[Change, None]]


class EtcdCluster:
    """The members of one cluster, asked one after the other until one answers."""

    def __init__(
        self, endpoints: list[str], context: ssl.SSLContext, *, timeout: float = 5.0, patience: float = 300.0
    ) -> None:
        """
        Args:
            endpoints: client URLs of members.
            context: speaks as a client that etcd trusts.
            timeout: seconds for one answer.
            patience: seconds until a change must have been accepted.
        """
        self._endpoints = list(endpoints)
        self._context = context
        self._timeout = timeout
        self._patience = patience

    def ask(self, method: str, body: Document) -> Document:
        """The first answer that a member gives.

        Raises:
            RequestFailed: what the last one said, as none has answered.
        """
        failure = RequestFailed("etcd: no endpoint to ask")
        for endpoint in self._endpoints:
            try:
                return etcd.call(endpoint, self._context, method, self._timeout, body)
            except RequestFailed as error:
                failure = error
        raise failure

    def members(self) -> list[Member]:
        """All members as they are now, by one that is sure of it: it has first made a read that needs the quorum.

        Without a quorum nobody is sure, and the best that is known is returned: it shows too few healthy voters.

        Raises:
            RequestFailed: nobody answers, or nobody can read though enough voters seem healthy.
        """
        failure = RequestFailed("etcd: no endpoint to ask")
        for endpoint in list(self._endpoints):
            try:
                # A member list itself can be asked for so only from 3.5 on.
                etcd.call(endpoint, self._context, "/kv/range", self._timeout, {"key": "AA==", "count_only": True})
                found = etcd.members(endpoint, self._context, self._timeout)
            except RequestFailed as error:
                failure = error
                continue
            # The one that was asked may be the one that leaves.
            others = {url for member in found for url in member.client_urls} - set(self._endpoints)
            self._endpoints += sorted(others)
            return found
        for endpoint in self._endpoints:
            try:
                known = etcd.members(endpoint, self._context, self._timeout)
            except RequestFailed:
                continue
            voters = membership.voters(known)
            if membership.healthy(voters) < etcd.quorum(len(voters)):
                return known
        raise failure

    def change(self, decide: Decide, host: str, *, least_voters: int = 2, check_mode: bool = False) -> list[Change]:
        """Make the changes that ``decide`` finds needed, each by a fresh look and under the lock, until it finds none.

        What a fresh look shows is what has happened, whatever etcd has answered: an answer can be lost on its way.

        Args:
            decide: the next change that these members need; None once they are as they should be. It may raise Refusal.
            host: whom problems are named for.
            least_voters: see ``membership.problem``.
            check_mode: only judge the first change.

        Returns:
            What was changed, or in check mode what would be.

        Raises:
            Refusal: a change would put the quorum at risk.
            RequestFailed: etcd does not answer, or refuses for good or for too long.
        """
        needed, waits = self._judged(decide, host, least_voters)
        if needed is None or check_mode:
            return [needed] if needed else []
        made: list[Change] = []
        asked: Change | None = None
        failure: RequestFailed | None = None
        deadline = time.monotonic() + self._patience
        with etcd_lock.held(self.ask, patience=self._patience) as lock:
            while True:
                late = time.monotonic() > deadline
                try:
                    needed, waits = self._judged(decide, host, least_voters)
                    if asked and (needed is None or needed.request != asked.request):
                        made.append(asked)
                        asked = failure = None
                    if needed is None:
                        return made
                    if late or (failure and not etcd.waits(failure)):
                        raise failure or waits or RequestFailed(f"etcd: found no sign that it would {needed}")
                    lock.renew()
                except RequestFailed as error:
                    if late or error is failure:
                        raise
                    time.sleep(0.5)
                    continue
                if waits is None:
                    asked, failure = needed, self._request(needed)
                if waits or failure:
                    time.sleep(0.5)

    def _judged(self, decide: Decide, host: str, least_voters: int) -> tuple[Change | None, Refusal | None]:
        """The next change by a fresh look; with it a reason to wait, where time alone may take that reason away."""
        members = self.members()
        needed = decide(members)
        problem = membership.problem(needed, members, host, least_voters=least_voters) if needed else None
        if needed is None or problem is None:
            return needed, None
        if not membership.passes(needed, members):
            raise Refusal([problem])
        return needed, Refusal([problem])

    def _request(self, change: Change) -> RequestFailed | None:
        """Ask for a change; return why it was not accepted."""
        method, body = change.request
        try:
            self.ask(f"/cluster/member/{method}", body)
        except RequestFailed as error:
            return error
        return None


# Documented by the fragment _etcd.
ARGUMENT_SPEC: Document = {
    "endpoints": {"type": "list", "elements": "str", "default": ["https://127.0.0.1:2379"]},
    "ca_file": {"type": "path", "default": f"{etcd.PKI}/ca.crt"},
    "cert_file": {"type": "path", "default": f"{etcd.PKI}/healthcheck-client.crt"},
    "key_file": {"type": "path", "default": f"{etcd.PKI}/healthcheck-client.key", "no_log": False},
}


def from_options(options: Document, patience: float = 300.0) -> EtcdCluster:
    """From the options of a module that takes ``ARGUMENT_SPEC``.

    Raises:
        OSError: a file is missing, or is no certificate or key.
    """
    context = etcd.client_context(options["ca_file"], options["cert_file"], options["key_file"])
    return EtcdCluster(options["endpoints"], context, patience=patience)


def knows_learners(members: list[Member]) -> bool:
    """Whether every member that says its version knows what a learner is."""
    versions = [member.version.split(".")[:2] for member in members if member.version]
    return bool(versions) and all((int(major), int(minor)) >= FIRST_WITH_LEARNERS for major, minor in versions)
