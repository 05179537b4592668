# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry to the lab; `lab --help` says all."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):
    sys.exit(f"lab: Python: found {sys.version.split()[0]}, wanted 3.11 or later")

from kubelab.cli import main

sys.exit(main())
