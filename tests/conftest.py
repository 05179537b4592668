# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of the lab, as every suite that has some gets them: bare ones, gone after it, unless the lab is to be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.register_assert_rewrite("secrecy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-lab", action="store_true", help="use the lab that is up, and leave it up")


@pytest.fixture(scope="session")
def keeps_lab(request: pytest.FixtureRequest) -> bool:
    """Whether the lab that is up is used, whatever is on it, and left up."""
    return bool(request.config.getoption("--keep-lab"))


@pytest.fixture(scope="session")
def boot(keeps_lab: bool) -> Iterator[Callable[..., None]]:
    """Boots hosts of the lab by their names, or all of the usual ones."""
    from support import lab  # not where suites without hosts begin

    if not keeps_lab:
        lab("down")
    yield lambda *names: lab("up", *names)
    if not keeps_lab:
        lab("down")
