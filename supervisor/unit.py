"""A systemd unit for one configuration: its timeouts computed from the settings, hardened, each exception with its reason.

``releve systemd-unit -c FILE`` prints it. Pure: from the settings and a few paths to a text.
Directives: systemd.service(5), systemd.exec(5).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

from releve.config.settings import Settings

MARGIN_S = 30  # for the processes themselves to start and to leave, on a busy host
PRIVILEGED_PORTS = 1024
DESCRIPTORS_SPARE = 4096  # beside the connections: the application's files, and the supervisor's
_HOMES = ("home", "root", "run/user")  # what ProtectHome= hides


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are: of the configuration, of the commands, and the folders that the release's interpreter and code lie in."""

    config: str
    commands: str  # folder of ``releve`` and ``ctl``
    name: str  # of the unit, without its ending
    options: tuple[str, ...] = ()  # of ``releve``, beside ``-c``


def start_s(settings: Settings) -> int:
    """How long a start or an upgrade may take, in seconds: two boots (one may find that preloading is unsafe), hooks, and what follows."""
    upgrade = settings.upgrade
    check_s = 0.0 if upgrade.check is None else upgrade.check.timeout * settings.workers
    hooks = settings.hooks
    one_by_one = (hooks.before, hooks.after_ready, hooks.after_switch, hooks.after_commit, hooks.on_failure, hooks.on_rollback)
    hooks_s = sum(command.timeout for command in one_by_one if command is not None)
    return math.ceil(2 * settings.timeouts.boot + check_s + hooks_s) + MARGIN_S


def stop_s(settings: Settings) -> int:
    """How long a stop may take, in seconds."""
    timeouts = settings.timeouts
    return math.ceil((timeouts.pre_stop or 0.0) + timeouts.drain + timeouts.linger) + MARGIN_S


def unit(settings: Settings, place: Place) -> str:
    """The text of the unit."""
    sections = {"Unit": _unit(settings, place), "Service": _service(settings, place), "Install": iter(["WantedBy=multi-user.target"])}
    head = f"# Made by: releve systemd-unit -c {place.config}\n# Make it again when timeouts, listen, user or limits have changed there.\n"
    return head + "".join(f"\n[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def _unit(settings: Settings, place: Place) -> Iterator[str]:
    yield f"Description=Relève, serving {settings.served} ({place.config})"
    yield "After=network.target"
    sockets = sorted({address.name.partition(":")[0] for address in settings.listen if address.kind == "fd"})
    if sockets:
        yield f"# The socket unit that passes on {', '.join(sockets)} (FileDescriptorName=)."
        yield f"Requires={place.name}.socket"


def _service(settings: Settings, place: Place) -> Iterator[str]:
    yield "Type=notify"
    yield "# The supervisor that follows one that was killed reports for itself; PIDFile= names the process that starts it."
    yield "NotifyAccess=all"
    yield f"PIDFile={settings.runtime_directory or f'/run/releve/{place.name}'}/guard.pid"
    yield f"ExecStart={place.commands}/releve -c {place.config}{''.join(f' {_quoted(word)}' for word in place.options)}"
    yield f"ExecReload={place.commands}/ctl -c {place.config} upgrade"
    yield "# The supervisor drains the workers and leaves last; only what is then left is killed."
    yield "KillMode=mixed"
    yield "# A configuration error (2) is not mended by starting again."
    yield "Restart=on-failure"
    yield "RestartPreventExitStatus=2"
    yield "# Two boots (timeouts.boot), the hooks, the checks and the probation of an upgrade; the supervisor asks for more where needed."
    yield f"TimeoutStartSec={start_s(settings)}"
    yield "# Above timeouts.pre_stop, timeouts.drain and timeouts.linger."
    yield f"TimeoutStopSec={stop_s(settings)}"
    yield "# The master in service ends a supervisor that hangs after 25 s; this is for one that cannot."
    yield "WatchdogSec=60"
    yield "TimeoutAbortSec=5"
    yield "# During an upgrade there are two generations: losing one process to memory must not stop the other."
    yield "OOMPolicy=continue"
    yield "# systemd keeps the listening sockets over a restart and a crash: no connection is refused meanwhile."
    yield f"FileDescriptorStoreMax={2 * len(settings.listen) + 16}"
    yield f"LimitNOFILE={settings.limits.connections + DESCRIPTORS_SPARE}"
    yield from _folders(settings, place)
    yield from _identity(settings)
    yield from _hardening(settings, place)


def _quoted(word: str) -> str:
    """A word of a command line: systemd.service(5), "Command lines"."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return word if word == text and not any(character.isspace() or character in "';" for character in word) else f'"{text}"'


def _folders(settings: Settings, place: Place) -> Iterator[str]:
    if settings.runtime_directory is None:
        yield f"RuntimeDirectory=releve/{place.name}"
        yield f"RuntimeDirectoryMode={'0711' if settings.control_group is None else '0710'}"
        yield "RuntimeDirectoryPreserve=restart"
    if settings.state_directory is None:
        yield f"StateDirectory=releve/{place.name}"


def _identity(settings: Settings) -> Iterator[str]:
    if settings.user is None:
        yield "# It runs as root: name `user:` in the configuration, and make this unit again."
    else:
        yield "# From the start, so that nothing ever runs as root."
        yield f"User={settings.user}"
    if settings.group is not None:
        yield f"Group={settings.group}"
    if settings.control_group is not None and settings.user is not None:
        yield "# control_group: only a member may give it the control socket."
        yield f"SupplementaryGroups={settings.control_group}"
    low = _low(settings)
    if low:
        yield "# For a port below 1024."
    if settings.user is not None:
        yield "CapabilityBoundingSet=" + "CAP_NET_BIND_SERVICE" * low
        yield "AmbientCapabilities=" + "CAP_NET_BIND_SERVICE" * low


def _low(settings: Settings) -> bool:
    return any(address.kind == "tcp" and 0 < address.port < PRIVILEGED_PORTS for address in settings.listen)


def _hardening(settings: Settings, place: Place) -> Iterator[str]:
    paths = [place.config, place.commands, settings.directory, settings.python or "", settings.env_file or ""]
    sockets = [address.path for address in settings.listen if address.kind == "unix"]
    yield "# Hardening; systemd-analyze security rates it. What is left out, and why:"
    yield "#   PrivateUsers: ctl, run by root, would look like nobody.  ProcSubset=pid: the memory of workers is shown from /proc."
    yield "#   MemoryDenyWriteExecute: ctypes, cffi and compilers of Python need it.  IPAddressDeny: clients and databases are elsewhere."
    yield "#   PrivateNetwork, RootDirectory: it serves this network, from releases that are on this disk."
    yield "NoNewPrivileges=yes"
    if settings.user is not None:
        yield "# The application writes where this says, and nowhere else; add its folders (media, a database file)."
        folders = {os.path.dirname(path) for path in [*sockets, *_log_files(settings)] if path}
        writable = sorted(folders | ({settings.spool_directory} if settings.spool_directory is not None else set()))
        yield "ProtectSystem=strict"
        if writable:
            yield "ReadWritePaths=" + " ".join(f"-{path}" for path in writable)
    else:
        yield "ProtectSystem=full"
    if any(path.startswith(f"/{home}/") for home in _HOMES for path in [*paths, *sockets]):
        yield "# The configuration, the release or its interpreter is in a home folder."
        yield "ProtectHome=read-only"
    else:
        yield "ProtectHome=yes"
    if any(path.startswith(("/tmp/", "/var/tmp/")) for path in [*paths, *sockets]):
        yield "# Something of it is in /tmp, which others must see."
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
        "# AF_NETLINK: names of hosts and interfaces are looked up through it.",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "RemoveIPC=yes",
        "KeyringMode=private",
        "UMask=0027" if settings.umask is None else f"UMask={settings.umask:04o}",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
    )
    if settings.user is not None and not any(address.owner or address.group for address in settings.listen):
        yield "SystemCallFilter=~@privileged"
        if _low(settings):
            yield "# By this call the supervisor keeps its capability from the release."
            yield "SystemCallFilter=capset"


def _log_files(settings: Settings) -> list[str]:
    return [path for path in (settings.log.access, settings.log.file) if path not in (None, "-")]
