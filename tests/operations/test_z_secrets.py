# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret of the cluster shows in what the runs of this session said, kept or left; see tests/shared/secrecy."""

from __future__ import annotations

import pytest
from canary import REAL, WAYS
from secrecy import NoSecretShows
from support import CANARY, ROOT


class TestSecrets(NoSecretShows):
    """Of a cluster that has been reset since, so that no file of it is there to be looked at."""

    test_files_of_the_cluster_are_roots_alone = None  # test_8_secrets asked while there was one

    def test_uploaded_certificates_and_snapshots_were_opened(self) -> None:
        assert CANARY.harvest.unopened == 0
        assert CANARY.harvest.data_keys or ("snapshot.yml", REAL) not in CANARY.ways

    def test_every_playbook_was_seen_in_check_mode_for_real_and_failing(self, keeps_lab: bool) -> None:
        if keeps_lab:
            pytest.skip("not all tests have to run where the lab is kept")
        books = [path.name for path in (ROOT / "playbooks").glob("*.yml")]
        assert {(book, way) for book in books for way in WAYS} - CANARY.ways == set()
