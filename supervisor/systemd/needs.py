"""What settings need of the unit that a service runs in: ``releve systemd-unit`` writes it, ``doctor`` compares it.

A unit is as narrow as it can be; a setting that needs more says so here, and nowhere else. Pure. Directives:
systemd.exec(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import fields

from releve.config.frozen import dataclass
from releve.config.settings.hooks import Command, Hooks
from releve.config.settings.settings import Settings

PRIVILEGED_PORTS = 1024
BIND = "CAP_NET_BIND_SERVICE"
HOMES = ("home", "root", "run/user")  # what ProtectHome= hides
TEMPORARY = ("tmp", "var/tmp")  # what PrivateTmp= hides
SYSTEM = ("usr", "boot", "efi", "etc")  # what ProtectSystem=full has read-only


@dataclass(frozen=True, slots=True)
class Needs:
    """Of one configuration. Paths are absolute."""

    root: str = ""  # why it has to start as root though there is a `user`; empty: it need not
    # system calls that @privileged has -> for which setting; None: it is root that starts
    calls: dict[str, str] | None = None
    capabilities: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()  # that the user must be a member of
    writable: tuple[str, ...] = ()  # folders that are written in
    seen: tuple[str, ...] = ()  # every path that must not be hidden
    rights: bool = False  # whether what the application starts may gain some

    def hidden(self, folders: Iterable[str]) -> list[str]:
        """Those of its paths that are in some folders of the root."""
        return [path for path in self.seen if inside(path, folders)]


def needs(settings: Settings, *more: str | None) -> Needs:
    """Of some settings; ``more`` are paths that they do not say: of the configuration, of the commands, what links lead
    to.
    """
    sockets = [address for address in settings.listen if address.kind == "unix"]
    releases = settings.control.directories or ()
    files = [
        settings.directory,
        settings.python,
        settings.env_file,
        *settings.include,
        *_programs(settings.hooks),
        *releases,
        *more,
    ]
    folders = [os.path.dirname(path) for path in [*(one.path for one in sockets), *_log_files(settings)]]
    folders += [path for path in (settings.runtime_directory, settings.state_directory) if path]
    spool = [settings.spool_directory] if settings.spool_directory else []
    writable, seen = tuple(sorted({*folders, *spool})), tuple(path for path in [*files, *folders] if path)
    root = _root(settings)
    if settings.user is None or root:
        return Needs(
            root, writable=writable, seen=seen, rights=settings.user is not None and not settings.no_new_privileges
        )
    low = low_port(settings)
    calls = {"capset": "a port below 1024"} if low else {}
    given = [one.group for one in sockets if one.group is not None]
    if settings.control_group is not None:
        calls["chown"] = "control_group"
    elif given or any(one.owner for one in sockets):
        calls["chown"] = "the owner or group of a socket (listen)"
    groups = [*([settings.control_group] if settings.control_group is not None else []), *given]
    return Needs("", calls, (BIND,) * low, tuple(dict.fromkeys(groups)), writable, seen)


def inside(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of some folders of the root, or in one."""
    return any(path == f"/{folder}" or path.startswith(f"/{folder}/") for folder in folders)


def low_port(settings: Settings) -> bool:
    """Whether an address has a port that not everybody may listen on."""
    return any(address.kind == "tcp" and 0 < address.port < PRIVILEGED_PORTS for address in settings.listen)


def _programs(hooks: Hooks) -> Iterator[str]:
    """The paths that commands name."""
    for command in (getattr(hooks, each.name) for each in fields(hooks)):
        if isinstance(command, Command):
            words = command.run.split() if isinstance(command.run, str) else command.run
            yield from (word for word in words if word.startswith("/"))


def _root(settings: Settings) -> str:
    """Why only root can do what these settings say; empty: it need not be root."""
    if settings.user is None:
        return ""
    owner = next((one.owner for one in settings.listen if one.owner not in (None, settings.user)), None)
    if owner is not None:
        return f"to give a socket to {owner} (listen)"
    return (
        "" if settings.no_new_privileges else "so that programs of the application can gain rights (no_new_privileges)"
    )


def _log_files(settings: Settings) -> list[str]:
    found = [path for path in (settings.log.access, settings.log.file) if path not in (None, "-")]
    return [path for path in found if not inside(path, ("dev",))]
