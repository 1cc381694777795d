"""The facts that the doctor judges by: of the configuration, of the service if it runs, of the host.

Gathering them never raises: what cannot be found out is None.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import re
import resource
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from releve.config.frozen import dataclass
from releve.config.settings.control import Control
from releve.config.settings.settings import Settings
from releve.instance.instances import InstanceError, unit_name
from releve.supervisor.channels.door import doors
from releve.supervisor.host import system
from releve.supervisor.host.identity import IdentityError, group_id, identify
from releve.supervisor.host.policy import Policy
from releve.supervisor.host.usage import memory, opened, tasks
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.release.interpreter import choose_python
from releve.supervisor.release.release import real_places, resolve_directory
from releve.supervisor.systemd import lacking, systemctl
from releve.supervisor.systemd.needs import needs

if TYPE_CHECKING:
    from releve.supervisor.service.configuration import Configuration
    from releve.supervisor.service.service import Service

PROPERTIES = (
    "Type",
    "KillMode",
    "PIDFile",
    "FileDescriptorStoreMax",
    "TimeoutStartUSec",
    "TimeoutStopUSec",
    "WatchdogUSec",
    *lacking.PROPERTIES,
)
_SPAN = re.compile(r"([0-9.]+)(us|ms|min|month|s|h|d|w|y)")  # as systemctl show writes them; systemd.time(7)
_SPAN_S = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2_629_800.0,
    "y": 31_557_600.0,
}
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512  # more than struct timex has


class Unit(dict[str, str]):
    """Properties of the unit as ``systemctl show`` writes them."""

    def seconds(self, name: str) -> float | None:
        """A time span; ``infinity`` is one. None if it is not there."""
        text = self.get(name)
        if not text:
            return None
        if text == "infinity":
            return float("inf")
        if text == "0":
            return 0.0
        found = _SPAN.findall(text)
        return sum(float(number) * _SPAN_S[unit] for number, unit in found) if found else None

    def number(self, name: str) -> int | None:
        """A whole number; None if it is not there."""
        text = self.get(name, "")
        return int(text) if text.isdigit() else None


@dataclass(frozen=True)
class Facts:
    """All of them; None, or empty, for those that are not known."""

    settings: Settings = field(default_factory=Settings)
    uid: int = -1
    workers: int | None = None  # in service
    degraded: tuple[str, ...] = ()
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
    if serving is not None and serving.preloaded and not serving.orphaned:
        unsafe = opened(serving.pid)
    config = service.configuration.path
    return dataclasses.replace(
        _host(service.settings, workers[0] if workers else None),
        uid=os.geteuid() if pin is None else pin.identity.uid,
        workers=len(workers),
        degraded=tuple(service.degraded.values()),
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
        stale=() if service.runtime is None else stale(service.runtime, {one.number for one in service.generations()}),
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
    limit, used = _meminfo("CommitLimit"), _meminfo("Committed_AS")
    return Facts(
        settings=settings,
        descriptors_hard=_hard_limit(worker),
        tasks_left=_tasks_left(worker),
        somaxconn=_number("/proc/sys/net/core/somaxconn"),
        port_range=_port_range(),
        ports_reserved=reserved(_read("/proc/sys/net/ipv4/ip_local_reserved_ports")),
        available_bytes=_available(),
        overcommit=_number("/proc/sys/vm/overcommit_memory"),
        commit_left_bytes=None if limit is None or used is None else limit - used,
        synchronised=_synchronised(),
    )


# ---------------------------------------------------------------- systemd


async def of_unit(environ: Mapping[str, str] = os.environ) -> Unit | None:
    """What systemd has for the unit that this process runs in; None outside of systemd, or if it does not say."""
    name = systemctl.unit_name(environ)
    if name is None:
        return None
    said = await systemctl.ask("show", name, *(f"-p{name}" for name in PROPERTIES), environ=environ)
    return None if said is None else parse_unit(said)


async def of_installed(config: Path | None, environ: Mapping[str, str] = os.environ) -> Unit | None:
    """Of the unit that would start a configuration, by the names that it usually has; None if there is none."""
    if config is None:
        return None
    name = unit_name(config.stem)
    names = [f"{name}.service", f"releve@{name}.service", "releve.service"]
    asked = [f"-p{one}" for one in ("LoadState", "ExecStart", *PROPERTIES)]
    said = await systemctl.ask("show", *asked, "--", *names, environ=environ)
    units = map(parse_unit, (said or "").split("\n\n"))
    return next(
        (one for one in units if one.get("LoadState") == "loaded" and f" {config} " in one.get("ExecStart", "")), None
    )


def parse_unit(text: str) -> Unit:
    """The properties in what ``systemctl show`` printed."""
    return Unit(line.partition("=")[::2] for line in text.splitlines() if "=" in line)


# ---------------------------------------------------------------- the host


def _hard_limit(pid: int | None) -> int | None:
    """How many files a process may open, this one for None; resource.RLIM_INFINITY counts as very many."""
    if pid is None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    else:
        found = re.search(r"^Max open files\s+\S+\s+(\S+)", _read(f"/proc/{pid}/limits"), re.MULTILINE)
        if found is None:
            return None
        hard = int(found[1]) if found[1].isdigit() else resource.RLIM_INFINITY
    return 1 << 40 if hard == resource.RLIM_INFINITY else hard


def _tasks_left(worker: int | None) -> tuple[int, str] | None:
    """By the control groups above the process (version 2), and by its user's limit, which does not bind root;
    setrlimit(2).
    """
    left: list[tuple[int, str]] = [(1 << 40, "")] if Path("/sys/fs/cgroup/cgroup.controllers").exists() else []
    pid = "self" if worker is None else str(worker)
    for folder in _control_groups(pid):
        most, now = _number(str(folder / "pids.max")), _number(str(folder / "pids.current"))
        if most is not None and now is not None:
            left.append((max(0, most - now), "TasksMax= of the unit, or --pids-limit of the container"))
    limits = re.search(r"^Max processes\s+(\d+)", _read(f"/proc/{pid}/limits"), re.MULTILINE)
    uid = re.search(r"^Uid:\s+(\d+)", _read(f"/proc/{pid}/status"), re.MULTILINE)
    if limits is not None and uid is not None and int(uid[1]) != 0:
        left.append((max(0, int(limits[1]) - tasks(int(uid[1]))), "ulimit -u (LimitNPROC= of the unit)"))
    return min(left, default=None)


def _control_groups(pid: str) -> Iterator[Path]:
    """The folders of those (version 2) that a process is in, from the innermost."""
    path = next((line[3:] for line in _read(f"/proc/{pid}/cgroup").splitlines() if line.startswith("0::")), None)
    folder = None if path is None else Path("/sys/fs/cgroup") / path.lstrip("/")
    while folder is not None and folder != Path("/sys/fs"):
        yield folder
        folder = folder.parent


def _port_range() -> tuple[int, int] | None:
    words = _read("/proc/sys/net/ipv4/ip_local_port_range").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else None


def reserved(text: str) -> frozenset[int]:
    """Ports as ``8000,9000-9010``."""
    ports: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        ports.update(range(int(first), int(last or first) + 1))
    return frozenset(ports)


def _available() -> int | None:
    """Memory that a second generation could take: of the host, or what the control groups (version 2) above us
    leave.
    """
    left = [_meminfo("MemAvailable")]
    for folder in _control_groups("self"):
        most, now = _number(str(folder / "memory.max")), _number(str(folder / "memory.current"))
        if most is not None and now is not None:
            cached = re.search(r"^inactive_file (\d+)$", _read(str(folder / "memory.stat")), re.MULTILINE)
            left.append(max(0, most - now + (int(cached[1]) if cached else 0)))
    known = [one for one in left if one is not None]
    return min(known) if known else None


def _meminfo(name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB$", _read("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _synchronised() -> bool | None:
    """By adjtimex(2), which changes nothing when all of its structure is zero."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def _number(path: str) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


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
                found.append(f"members of control_group may write to {path}, and so change what they may do")
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
