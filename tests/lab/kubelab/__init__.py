# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of real multi-host machines on one Linux machine, for building kubeadm clusters on."""
