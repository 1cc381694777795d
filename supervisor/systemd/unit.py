"""A systemd unit for one configuration: its timeouts computed from the settings, hardened, each exception with its
reason.

``releve systemd-unit -c FILE`` prints it. Pure: from the settings and a few paths to a text.
Directives: systemd.service(5), systemd.exec(5).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator

from releve.config.frozen import dataclass
from releve.config.settings.settings import Settings
from releve.instance.instances import unit_name
from releve.server.shared.runtime import GUARD_NAME
from releve.supervisor.systemd.needs import HOMES, SYSTEM, TEMPORARY, Needs, inside, needs
from releve.supervisor.systemd.quoting import listed, program, whole, word

MARGIN_S = 30  # for the processes themselves to start and to leave, on a busy host
DESCRIPTORS_SPARE = 4096  # beside the connections: the application's files, and the supervisor's
_PLAIN = re.compile(r"[A-Za-z0-9_.@-]+(/[A-Za-z0-9_.@-]+)*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are that the settings do not say."""

    config: str
    commands: str  # folder of ``releve`` and ``ctl``
    name: str  # of the unit, without its ending
    options: tuple[str, ...] = ()  # of ``releve``, beside ``-c``
    # what links lead to: an interpreter of pyenv or uv is in a home folder, wherever its environment is
    real: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The name of the unit and of its folders, where that of the file would not do."""
        return unit_name(self.name)


def start_s(settings: Settings) -> int:
    """How long a start or an upgrade may take, in seconds: two boots (one may find that preloading is unsafe), hooks,
    and what follows.
    """
    upgrade = settings.upgrade
    check_s = 0.0 if upgrade.check is None else upgrade.check.timeout * settings.workers
    hooks = settings.hooks
    one_by_one = (
        hooks.before,
        hooks.after_ready,
        hooks.after_switch,
        hooks.after_commit,
        hooks.on_failure,
        hooks.on_rollback,
    )
    hooks_s = sum(command.timeout for command in one_by_one if command is not None)
    return math.ceil((settings.timeouts.bind or 0.0) + 2 * settings.timeouts.boot + check_s + hooks_s) + MARGIN_S


def stop_s(settings: Settings) -> int:
    """How long a stop may take, in seconds."""
    timeouts = settings.timeouts
    return math.ceil((timeouts.pre_stop or 0.0) + timeouts.drain + timeouts.linger) + MARGIN_S


def unit(settings: Settings, place: Place) -> str:
    """The text of the unit. Raises UnitError for a path that a unit cannot name."""
    sections = {
        "Unit": _unit(settings, place),
        "Service": _service(settings, place),
        "Install": iter(["WantedBy=multi-user.target"]),
    }
    head = (
        f"# Made by: releve systemd-unit -c {place.config}\n"
        "# Make it again after a change of timeouts, listen, user or limits there.\n"
    )
    return head + "".join(f"\n[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def _unit(settings: Settings, place: Place) -> Iterator[str]:
    yield f"Description=Relève, serving {whole(settings.served)} ({whole(place.config)})"
    yield "After=network.target"
    sockets = sorted({address.name.partition(":")[0] for address in settings.listen if address.kind == "fd"})
    if sockets:
        yield f"# The socket unit that passes {', '.join(sockets)} (FileDescriptorName=)."
        yield f"Requires={place.unit}.socket"


def _service(settings: Settings, place: Place) -> Iterator[str]:
    yield "Type=notify"
    yield "# After a kill, the next supervisor reports its own pid; PIDFile= names the process that starts it."
    yield "NotifyAccess=all"
    yield f"PIDFile={whole(_today(settings.runtime_directory or f'/run/releve/{place.unit}'))}/{GUARD_NAME}"
    yield f"ExecStart={program(f'{place.commands}/releve')} -c {' '.join(map(word, (place.config, *place.options)))}"
    yield f"ExecReload={program(f'{place.commands}/ctl')} -c {word(place.config)} upgrade"
    yield "# The supervisor drains the workers and exits last; systemd kills only what remains then."
    yield "KillMode=mixed"
    yield "# A restart does not fix a configuration error (2)."
    yield "Restart=on-failure"
    yield "RestartPreventExitStatus=2"
    yield (
        "# timeouts.bind, two boots (timeouts.boot), the hooks and the checks; the supervisor asks for "
        "more during a canary or probation."
    )
    yield f"TimeoutStartSec={start_s(settings)}"
    yield "# Above timeouts.pre_stop, timeouts.drain and timeouts.linger."
    yield f"TimeoutStopSec={stop_s(settings)}"
    yield "# The master in service kills a supervisor that hangs for 25 s; this is for a master that cannot."
    yield "WatchdogSec=60"
    yield "TimeoutAbortSec=5"
    yield "# An upgrade runs two generations: if one process runs out of memory, the other must keep running."
    yield "OOMPolicy=continue"
    yield "# systemd keeps the listening sockets during a restart and after a crash: no connection is refused."
    yield f"FileDescriptorStoreMax={2 * len(settings.listen) + 16}"
    yield f"LimitNOFILE={settings.limits.descriptors + DESCRIPTORS_SPARE}"
    needed = needs(settings, place.config, place.commands, *place.real)
    yield from _folders(settings, place)
    yield from _identity(settings, needed)
    yield from _hardening(settings, needed)


def _folders(settings: Settings, place: Place) -> Iterator[str]:
    runtime = (
        f"releve/{place.unit}" if settings.runtime_directory is None else _below("/run/", settings.runtime_directory)
    )
    if runtime is not None:
        yield f"RuntimeDirectory={' '.join([runtime, *_of_sockets(settings, place, runtime)])}"
        yield "RuntimeDirectoryMode=0711"
        yield "RuntimeDirectoryPreserve=restart"
    state = (
        f"releve/{place.unit}" if settings.state_directory is None else _below("/var/lib/", settings.state_directory)
    )
    if state is not None:
        yield f"StateDirectory={state}"


def _of_sockets(settings: Settings, place: Place, runtime: str) -> Iterator[str]:
    """The folder of a socket (listen), where it has this unit's name: others may be shared, and systemd would give and
    remove them.
    """
    own = {_below("/run/", os.path.dirname(address.path)) for address in settings.listen if address.kind == "unix"}
    if place.unit != "releve":
        yield from sorted(
            name for name in own if name is not None and name.partition("/")[0] == place.unit and name != runtime
        )


def _today(path: str) -> str:
    """systemd warns of /var/run, which has long been a link to /run."""
    return path.removeprefix("/var") if path.startswith("/var/run/") else path


def _below(base: str, path: str) -> str | None:
    """A folder that systemd can make and own, as it names it; None for one that has to be there."""
    path = _today(path)
    name = path.removeprefix(base)
    return name if path.startswith(base) and not inside(path, HOMES) and _PLAIN.fullmatch(name) else None


def _identity(settings: Settings, needed: Needs) -> Iterator[str]:
    if settings.user is None:
        yield "# It runs as root: name `user:` in the configuration, and make this unit again."
    elif needed.root:
        yield f"# It starts as root, {needed.root}; masters and workers run as {whole(settings.user)}."
    else:
        yield "# From the start: nothing ever runs as root."
        yield f"User={whole(settings.user)}"
    if settings.group is not None and not needed.root:
        yield f"Group={whole(settings.group)}"
    if needed.groups:
        yield "# control_group, or the group of a socket (listen): only a member may give it away."
        yield f"SupplementaryGroups={' '.join(map(listed, needed.groups))}"
    if needed.capabilities:
        yield "# For a port below 1024."
    if needed.calls is not None:
        yield f"CapabilityBoundingSet={' '.join(needed.capabilities)}"
        yield f"AmbientCapabilities={' '.join(needed.capabilities)}"


def _hardening(settings: Settings, needed: Needs) -> Iterator[str]:
    yield "# Hardening, rated by systemd-analyze security. Left out, and why:"
    yield (
        "#   PrivateUsers: the supervisor would not see that root runs ctl.  ProcSubset=pid: the memory of "
        "workers is shown from /proc."
    )
    yield (
        "#   MemoryDenyWriteExecute: ctypes, cffi and compilers of Python need it.  IPAddressDeny: clients "
        "and databases are elsewhere."
    )
    yield "#   PrivateNetwork, RootDirectory: it serves this network, from releases that are on this disk."
    if settings.user is None or settings.no_new_privileges:
        yield "NoNewPrivileges=yes"
    if needed.calls is not None:
        yield "# The application can write here only; add its folders (media, a database file)."
        yield "ProtectSystem=strict"
        writable = needed.writable
    else:
        yield "ProtectSystem=full"
        writable = tuple(path for path in needed.writable if inside(path, (*SYSTEM, *HOMES)))
    if writable:
        yield "ReadWritePaths=" + " ".join(listed(f"-{path}") for path in writable)
    if needed.hidden(HOMES):
        yield "# The configuration, the release, its interpreter or a written file is in a home folder."
        yield "ProtectHome=read-only"
    else:
        yield "ProtectHome=yes"
    if needed.hidden(TEMPORARY):
        yield "# A file of the service is in /tmp, and other processes must see it."
        yield "PrivateTmp=no"
    else:
        yield "PrivateTmp=yes"
    yield from (
        "PrivateMounts=yes",
        "PrivateDevices=yes",
        "DevicePolicy=closed",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectProc=invisible",
        "LockPersonality=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "RestrictNamespaces=yes",
        "# AF_NETLINK: host and interface names are looked up through it.",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "RemoveIPC=yes",
        "KeyringMode=private",
        "UMask=0027" if settings.umask is None else f"UMask={settings.umask:04o}",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
    )
    if needed.calls is not None:
        yield "SystemCallFilter=~@privileged"
        for call, setting in needed.calls.items():
            yield f"# {_WHY[call]} ({setting})."
            yield f"SystemCallFilter={_GROUPS.get(call, call)}"


_WHY = {
    "capset": "The supervisor uses this call to keep its capability from the release",
    "chown": "It gives files to another user or group",
}
_GROUPS = {"chown": "@chown"}
