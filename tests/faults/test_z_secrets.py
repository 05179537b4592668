# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret of the cluster shows in what its runs said, kept or left; see tests/shared/secrecy."""

from __future__ import annotations

from secrecy import NoSecretShows


class TestSecrets(NoSecretShows):
    """Though most of them failed."""

    control_planes = 2
