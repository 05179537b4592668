# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret of the cluster shows in what the runs of this session said, kept or left; see tests/shared/secrecy."""

from __future__ import annotations

from secrecy import NoSecretShows


class TestSecrets(NoSecretShows):
    """Also none that only etcd's hosts had."""

    control_planes = 2
