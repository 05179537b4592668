# SPDX-License-Identifier: GPL-3.0-or-later
"""Linux's own files: what is changed in them, and that everything else stays to the letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import node_settings

PROC_SWAPS = """\
Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/sda2                               partition\t1998844\t\t0\t\t-2
/swapfile                               file\t\t2097148\t\t524\t\t-3
"""
FSTAB = """\
# /etc/fstab: static file system information; a swap line follows.
UUID=0a3407de-014b-458b-b5c1-848e92a327a3 /               ext4    errors=remount-ro,x-systemd.growfs 0       1

UUID=b411dc99-f0a0-4c87-9e05-184977be8539 none            swap    sw              0       0
  /swapfile\tswap\tswap\tdefaults,pri=5\t0 0
#/dev/sdb1 none swap sw 0 0
server:/swap /srv/swap nfs rw,hard 0 0
/dev/mapper/vg-swap /mnt/swap ext4 defaults 0 2
tmpfs /tmp tmpfs nosuid,nodev 0 0"""
fstab_lines = st.sampled_from(FSTAB.splitlines()) | st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")))


def test_active_swaps_are_devices_and_files() -> None:
    assert node_settings.active_swaps(PROC_SWAPS) == ["/dev/sda2", "/swapfile"]


@pytest.mark.parametrize("text", ["", PROC_SWAPS.splitlines()[0] + "\n"])
def test_active_swaps_of_a_host_without_any_are_none(text: str) -> None:
    assert node_settings.active_swaps(text) == []


def test_active_swaps_names_are_as_swapoff_takes_them() -> None:
    """The kernel writes a blank in a path as an octal escape (seq_path in fs/seq_file.c)."""
    text = PROC_SWAPS.splitlines()[0] + "\n/srv/my\\040swap file 1024 0 -2\n"
    assert node_settings.active_swaps(text) == ["/srv/my swap"]


def test_without_swap_comments_out_the_swap_entries_alone() -> None:
    before, after = FSTAB.splitlines(), node_settings.without_swap(FSTAB).splitlines()
    changed = {number for number, (old, new) in enumerate(zip(before, after)) if old != new}
    assert len(before) == len(after)
    assert changed == {3, 4}
    assert all(after[number] == f"# {before[number]}" for number in changed)


def test_without_swap_adds_no_line_end() -> None:
    assert not node_settings.without_swap(FSTAB).endswith("\n")


@given(st.lists(fstab_lines).map("\n".join))
def test_without_swap_again_changes_nothing(fstab: str) -> None:
    once = node_settings.without_swap(fstab)
    assert node_settings.without_swap(once) == once


@given(st.lists(fstab_lines).map("\n".join))
def test_without_swap_takes_away_nothing(fstab: str) -> None:
    assert [line.removeprefix("# ") for line in node_settings.without_swap(fstab).split("\n")] == [
        line.removeprefix("# ") for line in fstab.split("\n")
    ]


def test_sysctl_conf_is_sorted_and_says_who_wrote_it() -> None:
    values = {"vm.overcommit_memory": 1, "net.ipv4.ip_forward": "1"}
    assert node_settings.sysctl_conf(values) == (
        "# Written by kubeadm.ha.\nnet.ipv4.ip_forward = 1\nvm.overcommit_memory = 1\n"
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("kernel/domainname", "kernel/domainname"),
        # The two that sysctl.d(5) gives for the interface enp3s0.200.
        ("net/ipv4/conf/enp3s0.200/forwarding", "net/ipv4/conf/enp3s0.200/forwarding"),
        ("net.ipv4.conf.enp3s0/200.forwarding", "net/ipv4/conf/enp3s0.200/forwarding"),
    ],
)
def test_sysctl_path_is_where_systemd_would_write(name: str, path: str) -> None:
    assert node_settings.sysctl_path(name) == f"/proc/sys/{path}"


@pytest.mark.parametrize(
    ("unit", "remedy"),
    [
        (("swapfile.swap", "generated", "/run/systemd/generator/swapfile.swap"), "mask"),
        (("zramswap.service", "enabled", "/lib/systemd/system/zramswap.service"), "mask"),
        (("data.swap", "static", "/usr/lib/systemd/system/data.swap"), "mask"),
        (("mine.swap", "enabled", "/etc/systemd/system/mine.swap"), "disable"),
        (("mine.swap", "enabled-runtime", "/etc/systemd/system/mine.swap"), "disable"),
        (("mine.swap", "disabled", "/etc/systemd/system/mine.swap"), None),
        # One that the kernel's list of swaps alone tells systemd of.
        (("dev-sdb1.swap", "", ""), None),
    ],
)
def test_unit_is_masked_unless_an_administrator_wrote_it(unit: tuple[str, str, str], remedy: str | None) -> None:
    assert node_settings.Unit(*unit).remedy == remedy


SHOWN = """\
Id=swapfile.swap
LoadState=loaded
FragmentPath=/run/systemd/generator/swapfile.swap
UnitFileState=generated

Id=dev-vda3.swap
LoadState=masked
FragmentPath=/etc/systemd/system/dev-vda3.swap
UnitFileState=masked

Id=zram-config.service
LoadState=not-found
FragmentPath=
UnitFileState=
"""


def test_units_are_those_that_are_there_and_not_masked() -> None:
    path = "/run/systemd/generator/swapfile.swap"
    assert node_settings.units(SHOWN) == [node_settings.Unit("swapfile.swap", "generated", path)]
    assert node_settings.units("") == []


@pytest.mark.parametrize(("one", "other"), [("1\n", 1), ("32768\t60999\n", "32768 60999"), (0, "0")])
def test_values_that_the_kernel_writes_otherwise_are_the_same(one: object, other: object) -> None:
    assert node_settings.same_value(one, other)
    assert not node_settings.same_value(one, f"{other}1")


def test_sysctl_files_come_by_name_and_of_one_name_from_the_first_folder() -> None:
    paths = [
        "/usr/lib/sysctl.d/50-default.conf",
        "/etc/sysctl.d/99-sysctl.conf",
        "/run/sysctl.d/50-default.conf",
        "/usr/lib/sysctl.d/99-z.conf",
        "/etc/sysctl.d/10-a.conf",
    ]
    expected = [paths[4], paths[2], paths[1], paths[3]]
    assert node_settings.sysctl_order(paths) == node_settings.sysctl_order(reversed(paths)) == expected


def test_sysctl_settings_are_read_as_systemd_reads_them() -> None:
    text = "# net.ipv4.ip_forward=0\n;a=b\n-net/ipv4/ip_forward = 1 \nnet.ipv4.conf.*.rp_filter=2\n-net.excluded\n"
    assert node_settings.sysctl_settings(text) == {"/proc/sys/net/ipv4/ip_forward": "1"}


FORWARD = "net.ipv4.ip_forward"


@given(st.lists(st.tuples(st.sampled_from([FORWARD, "net/ipv4/ip_forward", "vm.swappiness"]), st.integers(0, 1))))
def test_sysctl_is_undone_by_the_last_word_alone(lines: list[tuple[str, int]]) -> None:
    later = {f"/etc/sysctl.d/zz-{index}.conf": f"{name} = {value}\n" for index, (name, value) in enumerate(lines)}
    words = [(path, value) for path, (name, value) in zip(later, lines) if name != "vm.swappiness"]
    undone = node_settings.undone_sysctls({FORWARD: 1}, later)
    assert undone == ([(FORWARD, "0", words[-1][0])] if words and words[-1][1] == 0 else [])


names = st.text("abcdef1-", min_size=1, max_size=8)
entries = st.dictionaries(names, st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), min_size=1)
hosts_files = st.sampled_from(["", "127.0.0.1 localhost\n", "127.0.0.1 localhost", "# a\n\n::1 ip6-localhost\n"])


@given(hosts_files, entries, st.booleans())
def test_hosts_are_named_once_and_all_else_stays(text: str, wanted: dict[str, str], complete: bool) -> None:
    once = node_settings.with_hosts(text, wanted, complete=complete)
    assert node_settings.with_hosts(once, wanted, complete=complete) == once
    assert once.startswith(text)
    assert [f"{address} {name}" for name, address in sorted(wanted.items())] == once.splitlines()[-len(wanted) - 1 : -1]


@given(entries, entries)
def test_hosts_stay_in_the_block_until_all_are_known(before: dict[str, str], after: dict[str, str]) -> None:
    text = node_settings.with_hosts("127.0.0.1 localhost\n", before, complete=True) + "192.0.2.9 mine\n"
    assert text.endswith("192.0.2.9 mine\n")
    part = node_settings.with_hosts(text, after, complete=False)
    assert part == node_settings.with_hosts(text, {**before, **after}, complete=True)
    assert part.endswith("192.0.2.9 mine\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "# SELINUX=enforcing is\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
            "# SELINUX=enforcing is\nSELINUX=permissive\nSELINUXTYPE=targeted\n",
        ),
        ("SELINUX=permissive\n", "SELINUX=permissive\n"),
        ("SELINUX=disabled\n", "SELINUX=disabled\n"),
        ("", ""),
    ],
)
def test_selinux_that_enforces_becomes_permissive_and_no_other(before: str, after: str) -> None:
    assert node_settings.permissive_selinux(before) == after


def test_modules_conf_is_sorted_whatever_the_order() -> None:
    expected = "# Written by kubeadm.ha.\nbr_netfilter\noverlay\n"
    assert node_settings.modules_conf(["overlay", "br_netfilter"]) == expected
    assert node_settings.modules_conf(["br_netfilter", "overlay"]) == expected


QUERY = """\
Name: iptables
Link: /usr/sbin/iptables
Slaves:
 iptables-restore /usr/sbin/iptables-restore
 iptables-save /usr/sbin/iptables-save
Status: auto
Best: /usr/sbin/iptables-nft
Value: /usr/sbin/iptables-nft

Alternative: /usr/sbin/iptables-legacy
Priority: 10
Slaves:
 iptables-restore /usr/sbin/iptables-legacy-restore

Alternative: /usr/sbin/iptables-nft
Priority: 20
Slaves:
 iptables-restore /usr/sbin/iptables-nft-restore
"""


def test_alternative_in_use_tells_the_current_one_and_the_choices() -> None:
    assert node_settings.alternative_in_use(QUERY) == (
        "/usr/sbin/iptables-nft",
        ["/usr/sbin/iptables-legacy", "/usr/sbin/iptables-nft"],
    )


def test_alternative_in_use_of_no_answer_is_none() -> None:
    assert node_settings.alternative_in_use("") == (None, [])
