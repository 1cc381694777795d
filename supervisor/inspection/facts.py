"""The facts that the doctor judges by: of the configuration, of the service if it runs, of the host.

Gathering them never raises: what cannot be found out is None.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from releve.config.frozen import dataclass
from releve.config.settings.control import Control
from releve.config.settings.settings import Settings
from releve.instance.instances import InstanceError
from releve.supervisor.channels.door import doors
from releve.supervisor.host import system
from releve.supervisor.host.identity import IdentityError, group_id, identify
from releve.supervisor.host.policy import Policy
from releve.supervisor.host.usage import memory, opened
from releve.supervisor.inspection import host_facts, worker_use
from releve.supervisor.inspection.worker_use import WorkerUse
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.release.interpreter import choose_python
from releve.supervisor.release.release import real_places, resolve_directory
from releve.supervisor.systemd.loaded import Unit, of_unit
from releve.supervisor.systemd.needs import needs

if TYPE_CHECKING:
    from releve.supervisor.service.configuration import Configuration
    from releve.supervisor.service.service import Service


@dataclass(frozen=True)
class Facts:
    """All of them; None, or empty, for those that are not known."""

    settings: Settings = field(default_factory=Settings)
    uid: int = -1
    workers: int | None = None  # in service
    degraded: tuple[str, ...] = ()
    saturated: str | None = None  # every thread is busy: how many, for how long
    failing: str | None = None  # many requests are answered with 5xx: how many
    crew: tuple[WorkerUse, ...] = ()  # the workers in service
    drained_s: float | None = None
    history_trouble: str = ""
    descriptors_hard: int | None = None  # that one process may open
    tasks_left: tuple[int, str] | None = None  # processes and threads that can be started yet, and what bounds them
    somaxconn: int | None = None
    port_range: tuple[int, int] | None = None
    ports_reserved: frozenset[int] = frozenset()
    pss_bytes: int | None = None  # of the workers in service
    available_bytes: int | None = None  # on the host, or in the control group if that is less
    overcommit: int | None = None
    commit_left_bytes: int | None = None
    unit: Unit | None = None
    strange_groups: tuple[str, ...] = ()  # that the user has to be a member of, and is not by itself
    real: tuple[str, ...] = ()  # what a start has to see, links followed
    absent: tuple[str, ...] = ()  # folders that a start writes in, and that are not there
    unsafe_import: tuple[str, ...] = ()  # what the application's import has left in a master that forks
    release_trouble: str = ""  # why it cannot be run
    resolved: str | None = None  # where the directory leads
    python: str | None = None
    synchronised: bool | None = None
    clock_jump_s: float | None = None
    writable: tuple[str, ...] = ()  # for everybody
    stale: tuple[str, ...] = ()
    control: tuple[str, ...] = ()  # why members of control_group are not kept to what control says


async def of_service(service: Service) -> Facts:
    """Of a service that runs: by the settings that it runs with."""
    service.condition.judge_logs()
    serving = service.serving
    workers = [] if serving is None else [worker.pid for worker in serving.workers.values()]
    usage = memory(workers)
    pss = [one.pss_bytes for one in usage.values() if one.pss_bytes is not None]
    pin = None if serving is None else serving.pin
    unsafe: tuple[str, ...] = ()
    if serving is not None and serving.news.preloaded and not serving.orphaned:
        unsafe = opened(serving.pid)
    config = service.configuration.path
    return dataclasses.replace(
        _host(service.settings, workers[0] if workers else None),
        uid=os.geteuid() if pin is None else pin.identity.uid,
        workers=len(workers),
        degraded=tuple(service.condition.degraded.values()),
        saturated=service.saturated(),
        failing=service.failing(),
        crew=() if serving is None else tuple(worker_use.of_generation(serving, service.cpu)),
        drained_s=service.drain.seconds,
        history_trouble=service.history.trouble or "",
        pss_bytes=sum(pss) if workers and len(pss) == len(workers) else None,
        unit=await of_unit(),
        strange_groups=strange(service.settings),
        unsafe_import=unsafe,
        resolved=None if pin is None else pin.resolved,
        python=None if pin is None else pin.python,
        clock_jump_s=system.wall_offset() - service.wall_offset,
        writable=writable(
            _places(
                service.settings,
                config,
                None if pin is None else pin.resolved,
                None if pin is None else pin.python,
            )
        ),
        control=members(service.settings, config, service.release_uid),
        stale=stale(service.folders.runtime, {one.number for one in service.generations()}),
    )


def of_configuration(configuration: Configuration, settings: Settings, unit: Unit | None = None) -> Facts:
    """Of one that does not run, as far as that goes; ``unit``: the one that would start it."""
    resolved = python = None
    trouble = ""
    try:
        # whoever asks: it is root that will start it
        identify(settings.user, settings.group, settings.umask, root=True)
        resolved = resolve_directory(settings.directory)
        python = choose_python(settings, resolved)
    except (ReleaseError, IdentityError) as error:
        trouble = str(error)
    return dataclasses.replace(
        _host(settings, None),
        uid=os.geteuid(),
        unit=unit,
        strange_groups=strange(settings),
        real=() if configuration.path is None else real_places(settings, str(configuration.path)),
        absent=tuple(path for path in needs(settings).writable if not os.path.lexists(path)),
        release_trouble=trouble,
        resolved=resolved,
        python=python,
        writable=writable(_places(settings, configuration.path, resolved, python)),
        control=members(settings, configuration.path, _release_uid(settings)),
    )


def _host(settings: Settings, worker: int | None) -> Facts:
    """What the kernel says; ``worker``: a process whose limits count, instead of ours."""
    return Facts(
        settings=settings,
        descriptors_hard=host_facts.descriptors_hard(worker),
        tasks_left=host_facts.tasks_left(worker),
        somaxconn=host_facts.somaxconn(),
        port_range=host_facts.port_range(),
        ports_reserved=host_facts.ports_reserved(),
        available_bytes=host_facts.available_bytes(),
        overcommit=host_facts.overcommit(),
        commit_left_bytes=host_facts.commit_left_bytes(),
        synchronised=host_facts.synchronised(),
    )


# ---------------------------------------------------------------- files


def _places(settings: Settings, config: Path | None, resolved: str | None, python: str | None) -> list[str]:
    """What decides on what runs, and the folders in which it could be replaced."""
    named = [settings.directory, resolved, python, settings.env_file, None if config is None else str(config)]
    return list(dict.fromkeys(place for path in named if path for place in (path, os.path.dirname(path))))


def writable(paths: Iterable[str]) -> tuple[str, ...]:
    """Those to which everybody may write; a folder with the sticky bit, where only owners may replace their files,
    apart.
    """
    found = []
    for path in paths:
        with suppress(OSError):
            mode = os.stat(path).st_mode
            if mode & stat.S_IWOTH and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
                found.append(path)
    return tuple(found)


def members(settings: Settings, config: Path | None, uid: int) -> tuple[str, ...]:
    """What keeps ``control`` from keeping members of ``control_group`` to what it says; ``uid``: whom releases
    run as.
    """
    group = None
    with suppress(InstanceError):
        group = group_id(settings.control_group)
    if group is None or settings.control == Control():
        return ()
    found = Policy(settings.control, group, uid).troubles()
    for path in () if config is None else (config, config.parent):
        with suppress(OSError):
            seen = os.stat(path)
            if seen.st_gid == group and seen.st_mode & stat.S_IWGRP:
                found.append(f"members of control_group may write to {path}, and so change what control allows them")
    return tuple(found)


def strange(settings: Settings) -> tuple[str, ...]:
    """The groups that the user of some settings would have to be a member of, and is not."""
    try:
        groups = identify(settings.user, settings.group, settings.umask, root=True).groups or ()
    except IdentityError:
        return ()
    found = []
    for name in needs(settings).groups:
        with suppress(InstanceError):
            if group_id(name) not in groups:
                found.append(name)
    return tuple(found)


def _release_uid(settings: Settings) -> int:
    with suppress(IdentityError):
        return identify(settings.user, settings.group, settings.umask, root=True).uid
    return os.geteuid()


def stale(runtime: Path, living: set[int]) -> tuple[str, ...]:
    """Doors of generations that do not live, behind which there is nobody."""
    found = []
    with suppress(OSError):
        for number, path in doors(runtime):
            if number not in living and not _answers(path):
                found.append(str(path))
    return tuple(found)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True
