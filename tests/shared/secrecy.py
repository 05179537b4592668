# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that each suite with a cluster asks at its end; see tests/shared/canary for how they are answered."""

from __future__ import annotations

import pytest
from support import CANARY


@pytest.mark.usefixtures("cluster")
class NoSecretShows:
    """No secret of the cluster shows in what the runs of this session said, kept or left.

    Attributes:
        control_planes: how many the cluster has.
        certificate_keys: whether its certificates were handed on by kubeadm, under such a key.
    """

    control_planes = 3
    certificate_keys = True

    def test_no_secret_shows_anywhere(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        assert CANARY.search(tmp_path_factory.getbasetemp()) == []

    def test_files_of_the_cluster_are_roots_alone(self) -> None:
        assert CANARY.modes() == []

    def test_secrets_were_known_that_could_show(self, keeps_lab: bool) -> None:
        """Of each control plane four shared keys, seven of its own and those in its kubeconfigs."""
        assert CANARY.harvest.keys >= 14 * self.control_planes
        assert CANARY.harvest.tokens
        assert CANARY.harvest.certificate_keys or keeps_lab or not self.certificate_keys
