# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab builds once and keeps in its cache."""
