# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd as a cluster: its members as they are now, and one change of them, made by the rules of ``membership``."""

from __future__ import annotations

import contextlib
import functools
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

from . import etcd, membership
from .etcd import Member
from .etcd_lock import Lock, LockLost
from .https_json import Document, RequestFailed
from .membership import Change
from .problems import Problem, Refusal

Decide = Callable[[list[Member]], Union[Change, None]]

_PAUSE_SECONDS = 0.5
# etcd gives a change up after 5 s and two election time-outs, of 1 s by default (ReqTimeout in etcd's
# server/config/config.go); until then, one that it has not answered may still come about.
_REQUEST_SECONDS = 10.0


@dataclass(frozen=True)
class _Judgement:
    """What a fresh look shows.

    Attributes:
        needed: the next change.
        problem: what stands against it, or against any.
        lasts: for how many seconds that may be so before it is a refusal.
    """

    needed: Change | None
    problem: Problem | None = None
    lasts: float = 0.0


class EtcdCluster:
    """The members of one cluster, asked one after the other until one answers."""

    def __init__(
        self,
        endpoints: list[str],
        context: ssl.SSLContext,
        *,
        timeout: float = 5.0,
        patience: float = 300.0,
        silence: float = 30.0,
    ) -> None:
        """
        Args:
            endpoints: client URLs of members.
            context: speaks as a client that etcd trusts.
            timeout: seconds for one answer.
            patience: seconds until a change must have been accepted.
            silence: seconds for which a member may be unwell before that counts against a change.
        """
        self._endpoints = list(endpoints)
        self._context = context
        self._timeout = timeout
        self._patience = patience
        self._silence = min(silence, patience)

    def ask(self, method: str, body: Document) -> Document:
        """The first answer that a member gives; who answers is asked first from then on.

        Raises:
            RequestFailed: none has; a refusal says more than a silence.
        """
        failure = _nobody()
        for endpoint in list(self._endpoints):
            try:
                answer = etcd.call(endpoint, self._context, method, self._timeout, body)
            except RequestFailed as error:
                failure = error if error.status or not failure.status else failure
                continue
            self._prefer(endpoint)
            return answer
        raise failure

    def members(self) -> list[Member]:
        """All members as they are now, by one that is sure of it.

        Without a quorum nobody is sure, and the best that is known is returned: it shows too few healthy voters.

        Raises:
            RequestFailed: nobody answers, or nobody is sure though enough voters seem healthy.
        """
        failure = _nobody()
        for endpoint in list(self._endpoints):
            try:
                found = etcd.members(endpoint, self._context, self._timeout, sure=True)
            except RequestFailed as error:
                failure = error
                continue
            self._prefer(endpoint)
            # The one that was asked may be the one that leaves.
            others = {url for member in found for url in member.client_urls} - set(self._endpoints)
            self._endpoints += sorted(others)
            return found
        for endpoint in self._endpoints:
            try:
                known = etcd.members(endpoint, self._context, self._timeout)
            except RequestFailed:
                continue
            if membership.quorum_problem(known, ""):
                return known
        raise failure

    def wait(self, problem: Callable[[list[Member]], Problem | None]) -> None:
        """Wait until nothing is wrong with the members.

        Raises:
            Refusal: something is, for too long.
            RequestFailed: etcd does not answer for too long.
        """
        deadline = time.monotonic() + self._patience
        while True:
            late = time.monotonic() > deadline
            try:
                found = problem(self.members())
            except RequestFailed as error:
                if late or not etcd.waits(error):
                    raise
            else:
                if found is None:
                    return
                if late:
                    raise Refusal([found])
            time.sleep(_PAUSE_SECONDS)

    def change(self, decide: Decide, host: str, *, least_voters: int = 2, check_mode: bool = False) -> list[Change]:
        """Make the changes that ``decide`` finds needed, each by a fresh look and under the lock, until it finds none.

        What a fresh look shows is what has happened, whatever etcd has answered: an answer can be lost on its way. The
        lock is held for one change and never while something is waited for, which may need the lock itself.

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
        made: list[Change] = []
        asked: Change | None = None
        refused: RequestFailed | None = None
        lock = Lock(self.ask)
        judge = functools.partial(self._judged, decide, host, least_voters)
        deadline = time.monotonic() + self._patience
        stands_since: float | None = None
        while True:
            now = time.monotonic()
            try:
                found = judge()
            except RequestFailed as error:
                if check_mode or now > deadline or not etcd.waits(error):
                    raise
                time.sleep(_PAUSE_SECONDS)
                continue
            needed = found.needed
            if found.problem:
                stands_since = now if stands_since is None else stands_since
                if check_mode and needed and found.lasts > self._silence:
                    return [needed]
                if check_mode or now >= min(deadline, stands_since + found.lasts):
                    raise Refusal([found.problem])
                time.sleep(_PAUSE_SECONDS)
                continue
            stands_since = None
            if asked and _differs(asked, needed):
                made.append(asked)
                asked = refused = None
            if needed is None:
                return made
            if check_mode:
                return [needed]
            for_good = refused and etcd.refuses(refused) and not etcd.waits(refused)
            if for_good or now > deadline:
                raise refused or RequestFailed(f"etcd: found no sign that it would {needed}")
            attempted, refused = self._attempt(lock, needed, judge, deadline - now)
            asked = attempted or asked
            if refused or not attempted:
                time.sleep(_PAUSE_SECONDS)

    def _attempt(
        self, lock: Lock, needed: Change, judge: Callable[[], _Judgement], patience: float
    ) -> tuple[Change | None, RequestFailed | None]:
        """Ask for a change under the lock, if a look that is taken under it still finds it needed and sound.

        Returns:
            The change, where it has or may have come about, and why it was not accepted.
        """
        try:
            with lock.held(patience):
                found = judge()
                if found.problem or _differs(needed, found.needed):
                    return None, None
                lock.renew()
                method, body = needed.request
                try:
                    # By the member that has just answered, and not if this process was frozen since.
                    etcd.call(
                        self._endpoints[0],
                        self._context,
                        f"/cluster/member/{method}",
                        _REQUEST_SECONDS,
                        body,
                        before_sending=lambda: lock.confirm(_REQUEST_SECONDS),
                    )
                except LockLost:
                    raise
                except RequestFailed as error:
                    if etcd.refuses(error):
                        return None, error
                    self._await_outcome(lock, needed, judge)
                    return needed, error
                return needed, None
        except RequestFailed as error:
            return None, error

    def _await_outcome(self, lock: Lock, asked: Change, judge: Callable[[], _Judgement]) -> None:
        """Keep the lock until what was asked for shows, or etcd has given it up: nobody is to judge in between."""
        ends = time.monotonic() + _REQUEST_SECONDS
        while time.monotonic() < ends:
            time.sleep(_PAUSE_SECONDS)
            with contextlib.suppress(RequestFailed, Refusal):
                lock.renew()
                found = judge()
                if found.problem is None and _differs(asked, found.needed):
                    return

    def _judged(self, decide: Decide, host: str, least_voters: int) -> _Judgement:
        members = self.members()
        problem = membership.quorum_problem(members, host)
        if problem:
            return _Judgement(None, problem, self._silence)
        needed = decide(members)
        problem = membership.problem(needed, members, host, least_voters=least_voters) if needed else None
        if needed is None or problem is None:
            return _Judgement(needed)
        if membership.passes(needed, members):
            return _Judgement(needed, problem, self._patience)
        well = membership.well(members)
        unwell = membership.passes(needed, well) or not membership.problem(
            needed, well, host, least_voters=least_voters
        )
        return _Judgement(needed, problem, self._silence if unwell else 0.0)

    def _prefer(self, endpoint: str) -> None:
        self._endpoints.sort(key=lambda one: one != endpoint)


def _differs(asked: Change, needed: Change | None) -> bool:
    return needed is None or needed.request != asked.request


def _nobody() -> RequestFailed:
    return RequestFailed("etcd: found nobody to ask, wanted client URLs of members that answer. See etcd's log.")


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
    releases = [etcd.release(member.version) for member in members if member.version]
    return bool(releases) and min(releases) >= etcd.FIRST_WITH_LEARNERS
