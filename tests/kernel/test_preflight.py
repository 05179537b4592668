# SPDX-License-Identifier: GPL-3.0-or-later
"""On a kernel that can really swap, load modules and boot again: what preflight sets is so, and stays so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import INVENTORY, PLAYBOOK, Runs, preflight
from support import ROOT, STATE, Run, ansible_environment, playbook
from testinfra.host import Host

SETTINGS = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.ipv4.ip_forward")


def told(run: Run) -> str:
    """What a run says that it changed, or would: its differences, task by task."""
    return run.output[run.output.index("TASK [") : run.output.index("PLAY RECAP")]


def look() -> dict[str, Any]:
    """What node_info shows of the machine."""
    done = subprocess.run(
        ["ansible", "vm1", "-i", INVENTORY, "--one-line", "-m", "kubeadm.ha.node_info", "-a"]
        + ["endpoint=10.0.2.15:6443 version=1.20.2 timeout_seconds=1"],
        cwd=ROOT,
        env=ansible_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


def test_machine_is_seen_for_what_it_is(unfit: Host) -> None:
    found = look()
    machine = found["machine"]
    assert machine["product_uuid"] == unfit.check_output("cat /sys/class/dmi/id/product_uuid")
    assert machine["cgroups"]["version"] == 2
    assert {"cpu", "cpuset", "memory", "pids"} <= set(machine["cgroups"]["controllers"])
    assert unfit.check_output("cat /proc/1/comm") == "systemd"
    assert not machine["container"]
    assert machine["kernel"] == unfit.check_output("uname -r")
    assert machine["addresses"] == ["10.0.2.15"] == [found["address"]]
    assert machine["default_route"]
    assert machine["owners"]["22"].startswith("sshd, process ")
    assert "systemd-timesyncd" not in machine["services"]


def test_plan_says_all_that_stands_against_the_machine(unfit: Host) -> None:
    unfit.check_output("systemd-run --quiet --collect --unit=squatter python3 -m http.server --bind 127.0.0.1 10259")
    unfit.check_output("mkdir --parents /var/lib/etcd/lost+found")
    try:
        plan = playbook(inventory=INVENTORY, book="playbooks/plan.yml")
    finally:
        unfit.check_output("systemctl stop squatter && rmdir /var/lib/etcd/lost+found")
    assert plan.code != 0
    refused = re.findall(r"^  Refused: vm1: (.*)$", plan.output, re.MULTILINE)
    assert [line.partition(", wanted ")[0].split(":")[0] for line in refused] == [
        "/var/lib/etcd",
        "disk",
        "memory",
        "port 10259",
    ]
    assert "found in use by python3, process " in refused[-1]
    assert "  Know: vm1: clock: found no service that keeps it" in plan.output


def test_plan_tells_of_a_clock_that_was_set_wrong(unfit: Host, tmp_path: Path) -> None:
    """By what another host says; the machine that runs Ansible will do."""
    everything = yaml.safe_load((INVENTORY / "hosts.yml").read_text())
    everything["all"]["vars"] |= {
        "ansible_ssh_common_args": f"-F {STATE / 'vm' / 'ssh_config'}",
        "cluster_control_plane_endpoint": "127.0.0.1:6443",  # the other host is not to look for it elsewhere
    }
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    everything["all"]["children"]["workers"] = {"hosts": {"beside": {**here, "cluster_node_address": "192.0.2.1"}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(everything))
    unfit.check_output("date --set='1 day'")
    try:
        plan = playbook(inventory=tmp_path, book="playbooks/plan.yml")
    finally:
        unfit.check_output("date --set='1 day ago'")
    assert plan.code != 0
    assert re.search(r"Refused: vm1: clock: found 86\d{3} s ahead of the others", plan.output), plan.output


def test_file_that_has_the_last_word_at_boot_is_named_before_anything_changes(unfit: Host) -> None:
    path = "/etc/sysctl.d/zzz-hardening.conf"
    before = unfit.file("/proc/swaps").content_string
    unfit.check_output(f"echo 'net.ipv4.ip_forward = 0' > {path}")
    try:
        run = playbook(inventory=INVENTORY, book=str(PLAYBOOK))
    finally:
        unfit.check_output(f"rm {path}")
    assert run.code != 0
    assert f"sysctl net.ipv4.ip_forward: found 0 in {path}, which has the last word at boot, wanted 1." in run.output
    assert run.changed == {"vm1": 0}
    assert unfit.file("/proc/swaps").content_string == before


def test_swap_of_every_kind_was_on(runs: Runs) -> None:
    found = {line.split()[0] for line in runs.swaps_before.splitlines()[1:]}
    assert found == {"/swap1", "/swap2", "/swap3", "/dev/zram0"}


def test_check_mode_changes_nothing_and_tells_exactly_what_a_run_then_does(runs: Runs) -> None:
    assert runs.swaps_after_check == runs.swaps_before
    assert told(runs.checked) == told(runs.done)
    assert runs.done.changed == {"vm1": 1}
    units = [f"unit {name}" for name in ("swap1.swap", "swap2.swap", "swap3.swap", "zramswap.service")]
    for subject in ("swap /swap1", "/etc/fstab", *units, "kernel module br_netfilter", "sysctl net.ipv4.ip_forward"):
        assert subject in told(runs.checked)


def test_second_run_changes_nothing(runs: Runs) -> None:
    assert runs.again.changed == {"vm1": 0}


def test_swap_is_off(fit: Host) -> None:
    assert len(fit.file("/proc/swaps").content_string.splitlines()) == 1


@pytest.mark.parametrize("module", ["br_netfilter", "overlay"])
def test_module_is_loaded(fit: Host, module: str) -> None:
    assert f"\n{module} " in "\n" + fit.file("/proc/modules").content_string


@pytest.mark.parametrize("setting", SETTINGS)
def test_sysctl_is_in_force_whatever_other_files_say(fit: Host, setting: str) -> None:
    assert fit.sysctl(setting) == 1


@pytest.mark.parametrize("tool", ["iptables", "ip6tables", "arptables", "ebtables"])
def test_tool_is_the_legacy_one(fit: Host, tool: str) -> None:
    assert fit.check_output(f"readlink /etc/alternatives/{tool}") == f"/usr/sbin/{tool}-legacy"


def test_no_unit_failed(fit: Host) -> None:
    assert fit.check_output("systemctl list-units --failed --plain --no-legend") == ""


def test_hosts_are_known_by_name(fit: Host) -> None:
    assert fit.check_output("getent hosts cp1").split()[0] == "192.0.2.11"


@pytest.mark.parametrize("fit", ["after a reboot"], indirect=True)
def test_run_after_a_reboot_changes_nothing(fit: Host) -> None:
    assert preflight("--check").changed == {"vm1": 0}
