"""The settings of one service, the one table: each has its key, kind, default, unit and sentence here and nowhere else.

The keys of the top level stand in this file, those of a block in the file of its name. Files are read by the table, the
reference and the JSON Schema are rendered from it, and both sides of the link speak it (``wire.py``). Pure values,
standard library only: a release that brings no Relève is lent this folder.

Durations are floats in seconds, sizes are ints in bytes. ``None`` is written ``off`` (durations) or ``unlimited``
(sizes) in YAML; ``0`` never means "none".
"""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.config.settings.address import Address
from releve.config.settings.control import Control
from releve.config.settings.hooks import Hooks
from releve.config.settings.key import Rules, block, key, settings_of
from releve.config.settings.limits import Limits
from releve.config.settings.log import Log
from releve.config.settings.proxy import Proxy
from releve.config.settings.request import Request
from releve.config.settings.timeouts import Timeouts
from releve.config.settings.upgrade import Upgrade

WORKERS_MAX = 256  # half the scoreboard of a generation: a reload has as many again beside them
_MOUNTS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Mount:
    """One of several applications: ``app`` serves ``prefix`` and what is below it; ``place`` says where that is
    written.
    """

    prefix: str
    app: str
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything one YAML file can say, every value resolved but the release itself.

    ``directory``, ``python`` and the two state folders stay literal (absolute
    paths, symlinks not followed, or ``None`` for ``auto``): they are resolved
    afresh for each generation.
    """

    app: str = key(
        "",
        "app",
        "WSGI application, as module:object. Required, unless mounts is set.",
        upgrade=True,
        required=True,
    )
    mounts: tuple[Mount, ...] = key(
        (),
        "mounts",
        "Several applications instead of app: a block of path prefixes, each with the module:object that serves it.",
        upgrade=True,
    )
    on_app_error: str = key(
        "refuse",
        "choice",
        "If a mounted application cannot be imported: refuse the release, or isolate it (503 for its prefix).",
        choices=("refuse", "isolate"),
        upgrade=True,
    )
    include: tuple[str, ...] = key(
        (), "patterns", "More files, such as conf.d/*.yaml, relative to this one. Their keys are added to it."
    )
    directory: str = key(
        "",
        "path",
        "Folder of the release; default: the folder of the file. Its links are resolved for each new generation.",
        upgrade=True,
    )
    listen: tuple[Address, ...] = key(
        (Address("tcp", "127.0.0.1", 8000),), "listen", "Address, or list of addresses, to listen on."
    )
    workers: int = key(
        2, "workers", "Number of worker processes, or auto for one per available core.", minimum=1, maximum=WORKERS_MAX
    )
    threads: int = key(
        8,
        "count",
        "Number of requests that one worker runs at once. With 1, the application runs in the main thread only.",
        minimum=1,
        maximum=1000,
    )
    python: str | None = key(
        None,
        "python",
        "Python interpreter, relative to directory. auto: the one in .venv or venv there, else that of the supervisor.",
        off="auto",
        upgrade=True,
    )
    preload: bool | None = key(
        None,
        "flag",
        "Import the application in the master, before the fork. auto: if the import leaves no threads or sockets.",
        off="auto",
        upgrade=True,
    )
    preload_modules: tuple[str, ...] = key(
        (),
        "modules",
        "More modules to import with the application at preload.",
        upgrade=True,
    )
    env: dict[str, str] = key({}, "variables", "Environment variables for the application.", upgrade=True)
    env_file: str | None = key(
        None,
        "path",
        "File with more environment variables for the application: lines NAME=value.",
        off="off",
        upgrade=True,
    )
    user: str | None = key(
        None,
        "name",
        "User that masters and workers run as. The supervisor must be started as root.",
        off="off",
        upgrade=True,
    )
    group: str | None = key(None, "name", "Group that masters and workers run as.", off="off", upgrade=True)
    umask: int | None = key(None, "mode", "File mode creation mask of masters and workers.", off="off", upgrade=True)
    no_new_privileges: bool = key(
        True,
        "flag",
        (
            "With user: masters, workers and their children gain no rights from set-user-ID programs such as sudo and "
            "some mailers."
        ),
        upgrade=True,
    )
    control_group: str | None = key(
        None,
        "name",
        "Group whose members may use ctl, in addition to root and the user of the supervisor.",
        off="off",
        restart=True,
    )
    runtime_directory: str | None = key(
        None,
        "path",
        "Folder of the control socket and the lock. auto: $RUNTIME_DIRECTORY, else the runtime folder of the user.",
        off="auto",
        restart=True,
    )
    state_directory: str | None = key(
        None,
        "path",
        "Folder of the history. auto: $STATE_DIRECTORY, else the state folder of the user.",
        off="auto",
        restart=True,
    )
    spool_directory: str | None = key(
        None,
        "path",
        "Folder for the files of limits.spool. auto: $TMPDIR, /var/tmp or /tmp, the first that can be written.",
        off="auto",
    )
    readiness: str | None = key(
        None,
        "target",
        (
            "Path that Relève answers itself, for load balancers: 200, or 503 during a drain (`ctl drain`) or a "
            "stop. off: they use the path of upgrade.check."
        ),
        off="off",
    )
    limits: Limits = block(Limits(), "Limits of a request and of a worker.")
    request: Request = block(Request(), "How requests reach the application.")
    timeouts: Timeouts = block(Timeouts(), "How long to wait.")
    upgrade: Upgrade = block(Upgrade(), "How an upgrade checks a new generation and switches to it.")
    proxy: Proxy = block(Proxy(), "Which proxies Relève trusts, and for what.")
    control: Control = block(Control(), "What members of control_group may do.")
    hooks: Hooks = block(Hooks(), "Commands at the steps of an upgrade, and functions in each worker.")
    log: Log = block(Log(), "What Relève writes to its logs, and where.")
    watch: str = key(
        "off",
        "choice",
        (
            "Upgrade automatically. release: when the symlink of directory changes; code: when a file is "
            "saved, for development."
        ),
        choices=("off", "release", "code"),
    )

    # Where each setting that is no default was written, by its dotted key: FILE:LINE, a variable or a flag, in words.
    # None: nobody knows, since an older release has kept them.
    origins: dict[str, str] | None = field(default=None, compare=False)

    @property
    def served(self) -> str:
        """What is served, in a few words: the application, or the prefixes of the mounted ones."""
        if not self.mounts:
            return self.app
        prefixes = [mount.prefix or "/" for mount in self.mounts]
        shown = ", ".join(prefixes[:_MOUNTS_SHOWN]) + (", …" if len(prefixes) > _MOUNTS_SHOWN else "")
        return f"{counted(len(prefixes), 'application')} ({shown})"


# The blocks, by their keys.
GROUPS: dict[str, type[Any]] = {
    top.name: type(top.default) for top in settings_of(Settings) if top.metadata["kind"] == "group"
}


def rules() -> dict[str, Rules]:
    """The table: what each ``key`` call says, by dotted key (``limits.head``), in the order of this file."""
    table: dict[str, Rules] = {}
    for top in settings_of(Settings):
        if top.name in GROUPS:
            table |= {f"{top.name}.{below.name}": below.metadata for below in dataclasses.fields(GROUPS[top.name])}
        else:
            table[top.name] = top.metadata
    return table


def key_names() -> tuple[str, ...]:
    """Every setting this release knows, dotted, sorted; part of ``hello``."""
    return tuple(sorted(rules()))
