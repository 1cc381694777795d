"""A refusal: what becomes of a generation that is found and not taken over.

Its listeners are ours if they are what the supervisor before us has recorded: another generation starts on them, and
then this one is told to leave, as its own supervisor would have told it. Without a record it is told at once. What has
not left at the deadline is ended: the process that has answered at the door, and what the kernel says was started by it
or by the recorded master; nothing that it has named itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import field
from functools import partial
from pathlib import Path

from releve.config.frozen import dataclass
from releve.server.shared import closing
from releve.server.shared.link import Link, LinkError
from releve.supervisor.channels.door import Door
from releve.supervisor.host import evidence, system
from releve.supervisor.host.readable import readable
from releve.supervisor.keepsake.keepsake import Keepsake
from releve.supervisor.listeners import stored
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.reporting.log import log
from releve.supervisor.service.service import Service
from releve.supervisor.takeover import rescue
from releve.supervisor.takeover.inventory import Caller, Refused

GRACE_S = 2.0  # after its deadline


@dataclass(slots=True)
class _Leaving:
    """One generation on its way out. Owned: the link, without which it would go on alone, and the pidfds."""

    door: Door
    deadline_s: float
    linger_s: float | None
    user: int
    masters: set[int]  # pids: the recorded one, and who has answered
    link: Link | None = None  # None: its master has died
    pidfd: int = -1  # of who has answered; -1: nobody has, or it is not known for certain
    workers: list[int] = field(default_factory=list)  # of one without a master: nobody else tells them
    ended: asyncio.Task[None] | None = None  # seeing it off


@dataclass(slots=True)
class Refusals:
    """Those of this process, which adopts once."""

    waiting: list[_Leaving] = field(default_factory=list)  # until another generation serves
    leaving: list[_Leaving] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)  # names of listeners among the inherited ones of the service


_refusals = Refusals()


def send_away(service: Service, path: Path, link: Link, error: Refused) -> None:
    """Have the generation behind a door leave: at once, or when another one serves on its listeners (``dismiss``)."""
    caller, timeouts = error.caller, service.settings.timeouts
    recorded = _recorded(error.kept)
    one = _Leaving(
        Door(path, None), timeouts.drain, timeouts.linger, caller.uid, {caller.pid, *recorded}, link, _verified(caller)
    )
    if error.kept is not None and caller.pid not in recorded:
        one.workers = rescue.processes(error.kept)
    if error.kept is not None and _take_listeners(service, error.kept):
        log.error("cannot adopt the generation behind %s: %s; starting another, then telling it to quit", path, error)
        _refusals.waiting.append(one)
    else:
        log.error("cannot adopt the generation behind %s: %s; telling it to quit", path, error)
        _dismiss(one)


def bereave(service: Service, path: Path, kept: Keepsake) -> None:
    """Its master has died with our predecessor: if workers of it live, another one takes its place, and they leave."""
    timeouts, workers = service.settings.timeouts, rescue.processes(kept)
    if workers and _take_listeners(service, kept, workers):
        log.error(
            (
                "cannot adopt the generation behind %s: its master has died; starting another, then "
                "telling its workers to quit"
            ),
            path,
        )
        user = kept.pin.identity.uid
        _refusals.waiting.append(
            _Leaving(Door(path, None), timeouts.drain, timeouts.linger, user, _recorded(kept), workers=workers)
        )
        return
    for pidfd in workers:
        os.close(pidfd)


def refused() -> set[Path]:
    """The doors of those that have not left yet."""
    return {one.door.path for one in (*_refusals.waiting, *_refusals.leaving)}


def dismiss(service: Service) -> None:
    """Another generation serves, or nobody is to: those that were waited for leave, and what was taken of them is the
    other one's.
    """
    for name in _refusals.kept:
        service.listeners.inherited.pop(name).close()
    _refusals.kept.clear()
    while _refusals.waiting:
        _dismiss(_refusals.waiting.pop())


async def settled() -> None:
    """Until all of them have left, or were ended at their deadline."""
    for one in list(_refusals.leaving):
        if one.ended is not None:
            await one.ended


def _recorded(kept: Keepsake | None) -> set[int]:
    return set() if kept is None or kept.held is None else {kept.held.pid}


def _dismiss(one: _Leaving) -> None:
    for pidfd in one.workers:
        system.send_signal(pidfd, signal.SIGTERM)
    if one.link is not None:
        with suppress(LinkError):
            one.link.send({"type": "quit", "id": 1, "deadline_s": one.deadline_s, "linger_s": one.linger_s})
    _refusals.leaving.append(one)
    one.ended = asyncio.get_running_loop().create_task(_see_off(one))


async def _see_off(one: _Leaving) -> None:
    """Until all of it has left, or its time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + one.deadline_s
    with suppress(TimeoutError):
        if one.pidfd >= 0:
            async with asyncio.timeout_at(deadline):
                await readable(one.pidfd)
        elif not one.workers:  # nobody is known to wait for; the link stays, so that its master does not go on alone
            await asyncio.sleep(one.deadline_s + GRACE_S)
    # Who should have told them has died before them, or obeys nobody: then it would start others where workers leave,
    # and clients would be with those when their time is over. Each worker finishes what it has begun.
    for pidfd in sorted(_members(one), key=partial(_is_none_of, one.masters)):
        system.send_signal(pidfd, signal.SIGTERM if _is_none_of(one.masters, pidfd) else signal.SIGKILL)
        one.workers.append(pidfd)
    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline + GRACE_S):
            for pidfd in one.workers:
                await readable(pidfd)
    _end(one)


def _is_none_of(pids: set[int], pidfd: int) -> bool:
    return evidence.pid_of(pidfd) not in pids


def _members(one: _Leaving) -> Iterator[int]:
    """Pidfds of what its masters have started, owned by the caller; of root's there is none that we would know for its
    own.
    """
    return (pidfd for pid in one.masters for pidfd in evidence.members(pid, pid, one.user) if one.user)


def _end(one: _Leaving) -> None:
    for pidfd in [*one.workers, *_members(one), one.pidfd]:
        if pidfd >= 0:
            system.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    if one.link is not None:
        closing.close_socket(one.link.socket)
    one.door.close()
    _refusals.leaving.remove(one)


def _verified(caller: Caller) -> int:
    """A pidfd of who answered, if it may do less than we and has not become anybody else since; else -1."""
    if not caller.is_lesser:
        return -1
    with suppress(OSError):
        pidfd = system.open_pidfd(caller.pid)
        process = evidence.process(pidfd)
        if process is not None and process.runs_as(caller.uid):
            return pidfd
        os.close(pidfd)
    return -1


def _take_listeners(service: Service, kept: Keepsake, among: list[int] | None = None) -> bool:
    """Have whatever starts next listen on those of a generation, as on ones that systemd has kept; whether there are
    any.
    """
    pidfds = rescue.processes(kept) if among is None else among
    found = rescue.listeners(kept, pidfds)
    if among is None:
        for pidfd in pidfds:
            os.close(pidfd)
    for one in found:
        _keep(service, one)
    return bool(found)


def _keep(service: Service, listener: Listener) -> None:
    name = listener.address.name if listener.inherited else stored.name_of(listener.name, listener.inode)
    if name is None or name in service.listeners.inherited:
        listener.socket.close()
        return
    service.listeners.inherited[name] = listener.socket
    if stored.is_ours(name):
        _refusals.kept.add(name)
