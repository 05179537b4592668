# SPDX-License-Identifier: GPL-3.0-or-later
"""What all unit tests share: how hard Hypothesis looks."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

# In CI the same examples each time, so that a change is judged by what it changes; elsewhere new ones, which find more.
# No deadline: the machine that runs the tests may run a whole lab beside them.
settings.register_profile(
    "unit",
    max_examples=100,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
    report_multiple_bugs=False,
    phases=[Phase.explicit, *([] if "CI" in os.environ else [Phase.reuse]), Phase.generate, Phase.shrink],
)
settings.load_profile("unit")
