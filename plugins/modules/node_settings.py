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
  - Turns swap off, loads kernel modules, sets sysctls, chooses the iptables variant, makes SELinux permissive and names
    the cluster's hosts in C(/etc/hosts), now and for the next boot, in one execution.
  - Judges by what works. A feature that is built into the kernel needs no module, and a setting that already holds is
    not touched.
  - Looks at everything before it changes anything, and fails with every reason at once.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  swap:
    description:
      - Whether swap may stay. Where false it is turned off, taken out of fstab, and its units are masked, services that
        swap on compressed memory included. Units that an administrator wrote are disabled.
    type: bool
    default: true
  modules:
    description:
      - Kernel modules by name, each with what is there once its feature is - a path, or the name of a file system.
    type: dict
    default: {}
  sysctls:
    description:
      - Kernel settings. They are written to a file of C(/etc/sysctl.d) whose name comes late in the order of
        systemd-sysctl. A file that comes later still and says otherwise is a reason to fail.
    type: dict
    default: {}
  iptables:
    description: The variant for iptables, ip6tables, arptables and ebtables. V(keep) leaves them alone.
    type: str
    choices: [legacy, nft, keep]
    default: keep
  selinux:
    description: V(permissive) makes an enforcing SELinux permissive. V(keep) leaves it alone.
    type: str
    choices: [permissive, keep]
    default: keep
  hosts:
    description: Addresses by name, for one block in C(/etc/hosts). Without any, the file is left alone.
    type: dict
    default: {}
  hosts_complete:
    description: Whether O(hosts) are all. Otherwise a name that is in the block already stays there.
    type: bool
    default: true
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

import glob
import os
from collections.abc import Iterator

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import node_settings as settings
from ansible_collections.kubeadm.ha.plugins.module_utils.changes import Change, ChangeFailed, file_change
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text

# After 99-sysctl.conf, by which distributions lead to /etc/sysctl.conf.
SYSCTL_CONF = "/etc/sysctl.d/99-zz-kubeadm-ha.conf"
MODULES_CONF = "/etc/modules-load.d/kubeadm-ha.conf"
SELINUX_CONF = "/etc/selinux/config"
SELINUX_ENFORCE = "/sys/fs/selinux/enforce"
TOOLS = ("iptables", "ip6tables", "arptables", "ebtables")
# Services that swap on without a unit for it: Debian's zram-tools, Ubuntu's zram-config, and dphys-swapfile.
SWAP_SERVICES = ("zramswap.service", "zram-config.service", "dphys-swapfile.service")


class Settings:
    """The changes that a host needs, one kind of setting a method, all by the state before the first of them."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self.problems: list[str] = []
        self._loads = False

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
            yield from file_change("/etc/fstab", settings.without_swap(fstab), _mode("/etc/fstab"))
        # Partitions of the right type are swapped on by generated units that no fstab names.
        properties = "--property=Id,LoadState,UnitFileState,FragmentPath"
        _code, shown = self._run("systemctl", "show", "*.swap", *SWAP_SERVICES, properties)
        for unit in settings.units(shown):
            if unit.remedy:
                after = {"mask": "masked", "disable": "disabled"}[unit.remedy]
                yield Change(f"unit {unit.name}", unit.state, after, lambda unit=unit: self._keep_off(unit))

    def _keep_off(self, unit: settings.Unit) -> None:
        self._must_run("systemctl", str(unit.remedy), unit.name)

    def _load(self, name: str) -> None:
        self._must_run("modprobe", name)

    def modules(self, wanted: dict[str, str]) -> Iterator[Change]:
        """Kernel features, by module where they are one; a problem where the kernel has neither."""
        filesystems = (read_text("/proc/filesystems") or "").split()
        for name, witness in sorted(wanted.items()):
            if witness in filesystems or os.path.exists(witness) or os.path.isdir(f"/sys/module/{name}"):
                continue
            code, text = self._run("modprobe", "--dry-run", name)
            if code != 0:
                self.problems.append(
                    f"kernel module {name}: found neither it nor {witness}, wanted one of them. "
                    f"Install the kernel's modules package, or another kernel ({text})."
                )
                continue
            self._loads = True
            yield Change(f"kernel module {name}", "absent", "loaded", lambda name=name: self._load(name))
        # A name without a module file, as in a kernel that has it built in, would fail the unit that reads the list.
        loadable = [name for name in wanted if self._run("modprobe", "--dry-run", "--first-time", name)[0] == 0]
        loaded = [name for name in wanted if f"\n{name} " in "\n" + (read_text("/proc/modules") or "")]
        names = sorted({*loadable, *loaded})
        if names:
            yield from file_change(MODULES_CONF, settings.modules_conf(names), 0o644)

    def sysctls(self, wanted: dict[str, object]) -> Iterator[Change]:
        """Kernel settings, in force and for the next boot; a problem where something else has the last word there."""
        if not wanted:
            return
        ordered = settings.sysctl_order(
            [SYSCTL_CONF, *(path for folder in settings.SYSCTL_FOLDERS for path in glob.glob(f"{folder}/*.conf"))]
        )
        later = {path: read_text(path) or "" for path in ordered[ordered.index(SYSCTL_CONF) + 1 :]}
        for name, value, path in settings.undone_sysctls(wanted, later):
            self.problems.append(
                f"sysctl {name}: found {value} in {path}, which has the last word at boot, wanted {wanted[name]}. "
                f"Take it out of there, or rename the file to come before {os.path.basename(SYSCTL_CONF)}."
            )
        yield from file_change(SYSCTL_CONF, settings.sysctl_conf(wanted), 0o644)
        for name, value in sorted(wanted.items()):
            path = settings.sysctl_path(name)
            found = read_text(path)
            # The bridge's settings come with br_netfilter, which may be about to be loaded.
            if found is None and not self._loads:
                self.problems.append(
                    f"sysctl {name}: found no {path}, wanted {value}. Correct the name, or load its kernel module."
                )
            elif found is None or not settings.same_value(found, value):
                before = "absent" if found is None else found.strip()
                yield Change(f"sysctl {name}", before, str(value), lambda p=path, v=value: self._write(p, v))

    @staticmethod
    def _write(path: str, value: object) -> None:
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

    def selinux(self) -> Iterator[Change]:
        """An enforcing SELinux made permissive, in force and for the next boot."""
        config = read_text(SELINUX_CONF)
        if config is not None:
            yield from file_change(SELINUX_CONF, settings.permissive_selinux(config), _mode(SELINUX_CONF))
        if (read_text(SELINUX_ENFORCE) or "").strip() == "1":
            yield Change("SELinux", "enforcing", "permissive", lambda: self._write(SELINUX_ENFORCE, 0))

    @staticmethod
    def hosts(entries: dict[str, str], *, complete: bool) -> Iterator[Change]:
        """The cluster's hosts by name."""
        if entries:
            text = settings.with_hosts(read_text("/etc/hosts") or "", entries, complete=complete)
            yield from file_change("/etc/hosts", text, 0o644)


def _mode(path: str) -> int:
    return os.stat(path).st_mode & 0o777


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "swap": {"type": "bool", "default": True},
            "modules": {"type": "dict", "default": {}},
            "sysctls": {"type": "dict", "default": {}},
            "iptables": {"type": "str", "choices": ["legacy", "nft", "keep"], "default": "keep"},
            "selinux": {"type": "str", "choices": ["permissive", "keep"], "default": "keep"},
            "hosts": {"type": "dict", "default": {}},
            "hosts_complete": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    options, host = module.params, Settings(module)
    made: list[Change] = []
    try:
        # All of it is decided before any of it is done, so that a run does what check mode said.
        wanted = [
            *([] if options["swap"] else host.swap()),
            # Modules come before sysctls: the bridge's settings exist once br_netfilter does.
            *host.modules(options["modules"]),
            *host.sysctls(options["sysctls"]),
            *([] if options["iptables"] == "keep" else host.iptables(options["iptables"])),
            *([] if options["selinux"] == "keep" else host.selinux()),
            *host.hosts(options["hosts"], complete=options["hosts_complete"]),
        ]
        if host.problems:
            module.fail_json(msg="\n".join(host.problems), changes=[])
        for change in wanted:
            if not module.check_mode:
                change.apply()
            made.append(change)
    except (ChangeFailed, OSError) as error:
        module.fail_json(msg=str(error), changes=[change.subject for change in made])
    module.exit_json(
        changed=bool(made), changes=[change.subject for change in made], diff=[change.diff() for change in made]
    )


if __name__ == "__main__":
    main()
