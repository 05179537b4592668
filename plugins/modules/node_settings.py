#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_settings
short_description: Set a host's kernel and swap as a node needs them
version_added: 0.1.0
description:
  - Turns swap off, loads kernel modules, sets sysctls and chooses the iptables variant, now and for the next boot, in
    one execution.
  - Judges by what works. A feature that is built into the kernel needs no module, and a setting that already holds is
    not touched.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  swap:
    description: Whether swap may stay. Where false it is turned off, taken out of fstab, and its units are masked.
    type: bool
    default: true
  modules:
    description:
      - Kernel modules by name, each with what is there once its feature is - a path, or the name of a file system.
    type: dict
    default: {}
  sysctls:
    description: Kernel settings.
    type: dict
    default: {}
  iptables:
    description: The variant for iptables, ip6tables, arptables and ebtables. V(keep) leaves them alone.
    type: str
    choices: [legacy, nft, keep]
    default: keep
"""

EXAMPLES = r"""
- name: Let bridged packets pass iptables
  kubeadm.ha.node_settings:
    swap: false
    modules:
      br_netfilter: /proc/sys/net/bridge
    sysctls:
      net.bridge.bridge-nf-call-iptables: 1
      net.ipv4.ip_forward: 1
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [swap /dev/sda2]
"""

import os
from collections.abc import Iterator

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import node_settings as settings
from ansible_collections.kubeadm.ha.plugins.module_utils.changes import Change, ChangeFailed, file_change
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text

SYSCTL_CONF = "/etc/sysctl.d/90-kubeadm-ha.conf"
MODULES_CONF = "/etc/modules-load.d/kubeadm-ha.conf"
TOOLS = ("iptables", "ip6tables", "arptables", "ebtables")


class Settings:
    """The changes that a host needs, one kind of setting a method."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def _run(self, *argv: str) -> tuple[int, str]:
        """Exit code and text; a tool that is not installed fails like one that refuses."""
        try:
            code, output, error = self._module.run_command(list(argv), handle_exceptions=False)
        except OSError as missing:
            return 127, str(missing)
        return code, output.strip() or error.strip()

    def _must_run(self, *argv: str) -> None:
        code, text = self._run(*argv)
        if code != 0:
            raise ChangeFailed(f"{' '.join(argv)}: failed with code {code}: {text}")

    def swap(self) -> Iterator[Change]:
        """Swap off now, at the next mount -a, and at the next boot."""
        for device in settings.active_swaps(read_text("/proc/swaps") or ""):
            yield Change(f"swap {device}", "on", "off", lambda device=device: self._must_run("swapoff", device))
        fstab = read_text("/etc/fstab") or ""
        if settings.without_swap(fstab) != fstab:
            mode = os.stat("/etc/fstab").st_mode & 0o777
            yield from file_change("/etc/fstab", settings.without_swap(fstab), mode)
        # Partitions of the right type are swapped on by generated units that no fstab names.
        _code, units = self._run("systemctl", "list-units", "--type=swap", "--all", "--plain", "--no-legend")
        for unit in [line.split()[0] for line in units.splitlines() if ".swap" in line]:
            if self._run("systemctl", "is-enabled", unit)[1] != "masked":
                yield Change(f"unit {unit}", "unmasked", "masked", lambda unit=unit: self._mask(unit))

    def _load(self, name: str) -> None:
        self._must_run("modprobe", name)

    def _mask(self, unit: str) -> None:
        self._must_run("systemctl", "mask", unit)

    def modules(self, wanted: dict[str, str]) -> Iterator[Change]:
        """Kernel features, by module where they are one.

        Raises:
            ChangeFailed: the kernel neither has the feature nor a module for it.
        """
        filesystems = (read_text("/proc/filesystems") or "").split()
        for name, witness in sorted(wanted.items()):
            if witness in filesystems or os.path.exists(witness) or os.path.isdir(f"/sys/module/{name}"):
                continue
            code, text = self._run("modprobe", "--dry-run", name)
            if code != 0:
                raise ChangeFailed(
                    f"kernel module {name}: found neither it nor {witness}, wanted one of them. "
                    f"Install the kernel's modules package, or another kernel ({text})."
                )
            yield Change(f"kernel module {name}", "absent", "loaded", lambda name=name: self._load(name))
        # A name without a module file, as in a kernel that has it built in, would fail the unit that reads the list.
        loadable = [name for name in wanted if self._run("modprobe", "--dry-run", "--first-time", name)[0] == 0]
        loaded = [name for name in wanted if f"\n{name} " in "\n" + (read_text("/proc/modules") or "")]
        names = sorted({*loadable, *loaded})
        if names:
            yield from file_change(MODULES_CONF, settings.modules_conf(names), 0o644)

    def sysctls(self, wanted: dict[str, object]) -> Iterator[Change]:
        """Kernel settings, in force and for the next boot."""
        if wanted:
            yield from file_change(SYSCTL_CONF, settings.sysctl_conf(wanted), 0o644)
        for name, value in sorted(wanted.items()):
            path = settings.sysctl_path(name)
            found = (read_text(path) or "absent").strip()
            if found != str(value):
                yield Change(f"sysctl {name}", found, str(value), lambda p=path, v=value: self._write_sysctl(p, v))

    @staticmethod
    def _write_sysctl(path: str, value: object) -> None:
        with open(path, "w", encoding="ascii") as stream:
            stream.write(f"{value}\n")

    def iptables(self, variant: str) -> Iterator[Change]:
        """Which of the installed variants the plain names lead to."""
        for tool in TOOLS:
            code, query = self._run("update-alternatives", "--query", tool)
            if code != 0:
                continue  # not installed, or of one variant only, as on the RedHat family
            current, choices = settings.alternative_in_use(query)
            target = next((choice for choice in choices if choice.endswith(f"{tool}-{variant}")), None)
            if target and target != current:
                yield Change(
                    f"alternative {tool}",
                    str(current),
                    target,
                    lambda t=tool, p=target: self._must_run("update-alternatives", "--set", t, p),
                )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "swap": {"type": "bool", "default": True},
            "modules": {"type": "dict", "default": {}},
            "sysctls": {"type": "dict", "default": {}},
            "iptables": {"type": "str", "choices": ["legacy", "nft", "keep"], "default": "keep"},
        },
        supports_check_mode=True,
    )
    options, host = module.params, Settings(module)
    made: list[Change] = []

    def bring_about(changes: Iterator[Change]) -> None:
        for change in changes:
            made.append(change)
            if not module.check_mode:
                change.apply()

    try:
        if not options["swap"]:
            bring_about(host.swap())
        # Modules come before sysctls: the bridge's settings exist once br_netfilter does.
        bring_about(host.modules(options["modules"]))
        bring_about(host.sysctls(options["sysctls"]))
        if options["iptables"] != "keep":
            bring_about(host.iptables(options["iptables"]))
    except (ChangeFailed, OSError) as error:
        module.fail_json(msg=str(error), changes=[change.subject for change in made])
    module.exit_json(
        changed=bool(made), changes=[change.subject for change in made], diff=[change.diff() for change in made]
    )


if __name__ == "__main__":
    main()
