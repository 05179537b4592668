# SPDX-License-Identifier: GPL-3.0-or-later
"""What all unit tests share: how hard Hypothesis looks."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

# No deadline: the machine that runs the tests may run a whole lab beside them.
settings.register_profile(
    "unit",
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
settings.load_profile("unit")
