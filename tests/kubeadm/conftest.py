# SPDX-License-Identifier: GPL-3.0-or-later
"""The real kubeadm, which the lab builds."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubelab import packages
from kubelab.artifacts.kubernetes import binaries
from kubelab.cache import Cache
from kubelab.settings import STATE, cache_directory


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kubeadm 1.20."""
    log = tmp_path_factory.mktemp("build") / "build.log"
    packages.install_missing(log)
    cache = Cache(cache_directory(), STATE / "logs")
    return cache.get(binaries(cache, log)) / "bin/kubeadm"
