# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret of the cluster shows in what the runs of this session said, kept or left; see tests/shared/canary."""

from __future__ import annotations

import pytest
from canary import REAL, WAYS
from support import CANARY, CONTROL_PLANES, ROOT

pytestmark = pytest.mark.usefixtures("cluster")


def test_no_secret_shows_anywhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert CANARY.search(tmp_path_factory.getbasetemp()) == []


def test_secrets_were_known_that_could_show(keeps_lab: bool) -> None:
    """Of each control plane four shared keys, seven of its own and those in its kubeconfigs."""
    assert CANARY.harvest.keys >= 14 * len(CONTROL_PLANES)
    assert CANARY.harvest.tokens
    assert CANARY.harvest.certificate_keys or keeps_lab
    assert CANARY.harvest.unopened == 0
    assert CANARY.harvest.data_keys or ("snapshot.yml", REAL) not in CANARY.ways


def test_every_playbook_was_seen_in_check_mode_for_real_and_failing(keeps_lab: bool) -> None:
    if keeps_lab:
        pytest.skip("not all tests have to run where the lab is kept")
    books = [path.name for path in (ROOT / "playbooks").glob("*.yml")]
    assert {(book, way) for book in books for way in WAYS} - CANARY.ways == set()
