# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence

from . import network, progress
from .build import Build, build, build_disk
from .cache import Cache
from .errors import LabError, UsageError
from .lab import HostStatus, Lab
from .settings import (
    BUILT_KUBERNETES,
    CONTROLLER,
    CONTROLLER_ADDRESS,
    HOSTS,
    MIRROR_PORT,
    STATE,
    SUITE,
    TOPOLOGIES,
    VIRTUAL_MACHINE,
    Host,
    cache_directory,
    host,
    kubernetes_version,
)
from .virtual import VirtualMachine

FAILED, MISUSED = 1, 2

Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 1 is failure, 2 is a command line that makes no sense."""
    options = parser().parse_args(arguments)
    # Folders made for a host become folders of that host, whose users must be able to read them.
    os.umask(0o022)
    try:
        if os.geteuid() != 0:
            raise LabError("user", found=f"number {os.geteuid()}", wanted="root (0)", do="run the command with sudo")
        options.run(options)
    except UsageError as error:
        print(f"lab: {error}", file=sys.stderr)
        return MISUSED
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("lab: interrupted; the same command goes on from here, `lab down` removes everything", file=sys.stderr)
        return FAILED
    return 0


def parser() -> argparse.ArgumentParser:
    """Every command with its help."""
    top = argparse.ArgumentParser(
        prog="lab",
        description="Real multi-host machines on this one, for kubeadm clusters.",
        epilog=f"Hosts: {' '.join(HOSTS)}. What is built is kept in $LAB_CACHE, now {cache_directory()}.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Command, what: str, more: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=f"{what}. {more}".strip())
        added.set_defaults(run=run)
        return added

    add = command("build", _build, "Build everything that hosts need", "`up` does it, too, where something is missing.")
    _add_version(add)

    add = command("up", _up, "Boot hosts until SSH works", "Hosts that run already stay as they are.")
    add.add_argument("hosts", nargs="*", metavar="HOST", help="boot just these, beside those that run")
    add.add_argument("--topology", choices=TOPOLOGIES, help="which hosts to boot (default: $TOPOLOGY, or stacked)")
    _add_version(add)

    command("down", _down, "Remove every trace of the lab", f"Logs, the cache and {VIRTUAL_MACHINE} stay.")

    add = command("status", _status, "Show the hosts")
    add.add_argument("--json", action="store_true", help="for programs")

    add = command("ssh", _ssh, "Run a command, or a shell, on a host")
    add.add_argument("host", metavar="HOST")
    add.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD", help="without it: an interactive shell")

    add = command("logs", _logs, "Show a host's journal", "A host that never wrote one: the console of its last boot.")
    add.add_argument("host", metavar="HOST")
    add.add_argument("-f", "--follow", action="store_true", help="go on as lines come; the host must run")

    add = command("power-off", _power_off, "Kill hosts, as if their power cords were pulled", "Their disks stay.")
    add.add_argument("hosts", nargs="+", metavar="HOST")
    add = command("power-on", _power_on, "Boot hosts that are off, from their own disks", "Cuts end with it.")
    add.add_argument("hosts", nargs="+", metavar="HOST")

    add = command(
        "reinstall", _reinstall, "Kill hosts, and boot them anew from fresh disks", "Names and addresses stay."
    )
    add.add_argument("hosts", nargs="+", metavar="HOST")
    _add_version(add)

    add = command("freeze", _freeze, "Stop every process of hosts where it is", "The network card still answers pings.")
    add.add_argument("hosts", nargs="+", metavar="HOST")
    add = command("thaw", _thaw, "Let frozen hosts go on")
    add.add_argument("hosts", nargs="+", metavar="HOST")

    peers = f"cut from these alone: host names, or `{CONTROLLER}` for this machine"
    add = command("cut", _cut, "Cut a host from the network", "Without --from, it is cut from everything.")
    add.add_argument("host", metavar="HOST")
    add.add_argument("--from", dest="peers", nargs="+", default=[], metavar="PEER", help=peers)
    add = command("heal", _heal, "Undo cuts of a host", "Without --from, all of them.")
    add.add_argument("host", metavar="HOST")
    add.add_argument("--from", dest="peers", nargs="+", default=[], metavar="PEER", help=peers.replace("cut", "healed"))

    add = command("vm", _vm_up, f"Work the virtual machine {VIRTUAL_MACHINE}", "It has a kernel of its own.")
    verbs = add.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb, run, what in (
        ("up", _vm_up, "boot it from a fresh disk until SSH works"),
        ("reboot", _vm_reboot, "shut it down in order and boot it again from its own disk"),
        ("down", _vm_down, "kill it, and remove its disk"),
        ("ssh", _vm_ssh, "run a command, or a shell, on it"),
    ):
        added = verbs.add_parser(verb, help=what, description=f"{what[0].upper()}{what[1:]}.")
        added.set_defaults(run=run)
    added.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD", help="without it: an interactive shell")

    command("clean", _clean, "Remove the cache of built artefacts", "The lab must be down.")
    return top


def _add_version(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--kubernetes-version",
        metavar="VERSION",
        help=f"default: $KUBERNETES_VERSION, or {BUILT_KUBERNETES}, the one that the lab can build; "
        "with any other, hosts come without images and download everything themselves",
    )


def _built(options: argparse.Namespace, lab: Lab, names: Iterable[str] = ()) -> Build:
    log = lab.logs / "build.log"
    suites = {SUITE, *(host(name).suite for name in names)}
    return build(Cache(cache_directory(), lab.logs), log, kubernetes_version(options.kubernetes_version), suites)


def _build(options: argparse.Namespace) -> None:
    _built(options, Lab())
    progress.say(f"everything is built, in {cache_directory()}")


def _up(options: argparse.Namespace) -> None:
    topology = options.topology or os.environ.get("TOPOLOGY") or "stacked"
    if topology not in TOPOLOGIES:
        raise UsageError("TOPOLOGY", found=topology, wanted=f"one of {' '.join(TOPOLOGIES)}")
    names = [host(name).name for name in options.hosts] or TOPOLOGIES[topology]
    lab = Lab()
    lab.refuse_another()
    built = _built(options, lab, names)
    booted = lab.up(names, built)
    progress.say(f"up: {' '.join(names)}" + ("" if booted else " (all were running already)"))
    print(f"ssh -F {lab.ssh.config} {names[0]}")
    if built.mirror:
        print(f"downloads for hosts: http://{CONTROLLER_ADDRESS}:{MIRROR_PORT}")


def _down(options: argparse.Namespace) -> None:
    lab = Lab.active()
    with progress.step(f"remove the lab of {lab.state}"):
        lab.down()


def _status(options: argparse.Namespace) -> None:
    lab = Lab.active()
    hosts = lab.status()
    if options.json:
        print(json.dumps({"state": str(lab.state), "hosts": [dataclasses.asdict(entry) for entry in hosts]}, indent=2))
    elif hosts:
        _print_table([("HOST", "ADDRESS", "STATE", "UPTIME", "MEMORY"), *(_row(entry) for entry in hosts)])
    else:
        print("the lab is down")


def _row(entry: HostStatus) -> tuple[str, ...]:
    uptime = "-" if entry.uptime_seconds is None else f"{entry.uptime_seconds // 60}m{entry.uptime_seconds % 60:02}s"
    memory = f"{entry.memory_bytes / 2**20:.0f} MiB" if entry.memory_bytes else "-"
    return entry.host, entry.address, entry.state, uptime, memory


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _ssh(options: argparse.Namespace) -> None:
    lab = Lab.active()
    machine = lab.require(host(options.host), running=True)
    sys.stdout.flush()
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    command = lab.ssh.command(machine.host, *words)
    os.execvp(command[0], command)


def _logs(options: argparse.Namespace) -> None:
    lab = Lab.active()
    machine = lab.require(host(options.host), installed=True, running=options.follow)
    if options.follow:
        command = lab.ssh.command(machine.host, "journalctl", "--follow")
    elif journal := machine.journal():
        command = ["journalctl", f"--directory={journal}"]
    else:
        print(machine.console.read_text(errors="replace"), end="")
        return
    sys.stdout.flush()
    os.execvp(command[0], command)


def _hosts(options: argparse.Namespace) -> list[Host]:
    return [host(name) for name in options.hosts]


def _power_off(options: argparse.Namespace) -> None:
    Lab.active().power_off(_hosts(options))


def _power_on(options: argparse.Namespace) -> None:
    hosts = _hosts(options)
    with progress.step(f"boot {' '.join(options.hosts)}"):
        Lab.active().power_on(hosts)


def _reinstall(options: argparse.Namespace) -> None:
    lab, hosts = Lab.active(), _hosts(options)
    built = _built(options, lab, options.hosts)
    with progress.step(f"reinstall {' '.join(options.hosts)}"):
        lab.reinstall(hosts, built)


def _freeze(options: argparse.Namespace) -> None:
    lab = Lab.active()
    for machine in [lab.require(entry, running=True) for entry in _hosts(options)]:
        machine.group.set_frozen(True)


def _thaw(options: argparse.Namespace) -> None:
    lab = Lab.active()
    for machine in [lab.require(entry, running=True) for entry in _hosts(options)]:
        machine.group.set_frozen(False)


def _peers(options: argparse.Namespace) -> list[Host | None]:
    """The other ends of cuts; None is this machine."""
    peers = [None if name == CONTROLLER else host(name) for name in options.peers]
    if options.host in options.peers:
        raise UsageError(f"peer {options.host}", found="the host itself", wanted=f"another host, or {CONTROLLER}")
    return peers


def _cut(options: argparse.Namespace) -> None:
    peers = _peers(options)
    machine = Lab.active().require(host(options.host), running=True)
    for entry in peers:
        network.cut(machine.host, entry)
    if not peers:
        network.unplug(machine.host)


def _heal(options: argparse.Namespace) -> None:
    peers = _peers(options)
    machine = Lab.active().require(host(options.host), running=True)
    for entry in peers:
        network.heal(machine.host, entry)
    if not peers:
        network.heal_all(machine.host)
        network.plug(machine.host)


def _virtual_machine() -> VirtualMachine:
    return VirtualMachine(STATE, STATE / "logs")


def _vm_up(options: argparse.Namespace) -> None:
    machine, logs = _virtual_machine(), STATE / "logs"
    built = build_disk(Cache(cache_directory(), logs), logs / "build.log")
    with progress.step(f"boot {VIRTUAL_MACHINE}"):
        machine.up(built)
    print(f"ssh -F {machine.config} {VIRTUAL_MACHINE}")


def _vm_reboot(options: argparse.Namespace) -> None:
    machine = _virtual_machine()
    machine.require()
    with progress.step(f"reboot {VIRTUAL_MACHINE}"):
        machine.reboot()


def _vm_down(options: argparse.Namespace) -> None:
    _virtual_machine().down()


def _vm_ssh(options: argparse.Namespace) -> None:
    machine = _virtual_machine()
    machine.require()
    sys.stdout.flush()
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    command = machine.command(*words)
    os.execvp(command[0], command)


def _clean(options: argparse.Namespace) -> None:
    lab = Lab.active()
    if lab.installed:
        raise LabError("cache", found=f"the lab of {lab.state} stands on it", do="run `lab down` first")
    _virtual_machine().down()
    with progress.step(f"remove {cache_directory()}"):
        Cache(cache_directory(), lab.logs).clear()
