# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret of the cluster shows in what the runs of this session said, kept or left; see tests/shared/canary."""

from __future__ import annotations

import pytest
from external import CONTROL_PLANES
from support import CANARY

pytestmark = pytest.mark.usefixtures("cluster")


def test_no_secret_shows_anywhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert CANARY.search(tmp_path_factory.getbasetemp()) == []


def test_files_of_the_cluster_are_roots_alone() -> None:
    assert CANARY.modes() == []


def test_secrets_were_known_that_could_show(keeps_lab: bool) -> None:
    """Of each control plane four shared keys, seven of its own and those in its kubeconfigs."""
    assert CANARY.harvest.keys >= 14 * len(CONTROL_PLANES)
    assert CANARY.harvest.tokens
    assert CANARY.harvest.certificate_keys or keeps_lab
