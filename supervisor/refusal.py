"""A refusal: what becomes of a generation that is found and not taken over.

Its listeners are ours if they are what the supervisor before us has recorded: another generation starts on them, and then this
one is told to leave, as its own supervisor would have told it. If it does not, the process that has answered at the door is
ended, by a descriptor of the kernel's, and nothing that it has named. Without a record it is told at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field

from releve.server.link import Link, LinkError
from releve.supervisor import capabilities, evidence, fdstore, rescue, system
from releve.supervisor.identity import Identity
from releve.supervisor.inventory import Caller, Refused
from releve.supervisor.keepsake import Keepsake
from releve.supervisor.listeners import Listener
from releve.supervisor.log import log
from releve.supervisor.service import Service

GRACE_S = 5.0  # after its deadline


@dataclass(slots=True)
class _Leaving:
    """One generation on its way out. Owned: the link, without which it would go on alone, and the pidfds."""

    number: int
    deadline_s: float
    linger_s: float | None
    link: Link | None = None  # None: its master has died
    master: int = -1  # -1: there is none, or it is not known for certain
    workers: list[int] = field(default_factory=list)  # of one without a master: nobody else tells them


@dataclass(slots=True)
class Refusals:
    """Those of this process, which adopts once."""

    waiting: list[_Leaving] = field(default_factory=list)  # until another generation serves
    leaving: list[_Leaving] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)  # names of listeners among the inherited ones of the service


_refusals = Refusals()


def send_away(service: Service, number: int, link: Link, error: Refused) -> None:
    """Have it leave: at once, or when another one serves on its listeners (``dismiss``)."""
    one = _leaving(service, number)
    one.link, one.master = link, _verified(error.caller)
    if error.kept is not None and _take_listeners(service, error.kept):
        log.error("cannot adopt generation %d: %s; another one takes its place, and it leaves", number, error)
        _refusals.waiting.append(one)
    else:
        log.error("cannot adopt generation %d: %s; it is told to leave", number, error)
        _dismiss(one)


def bereave(service: Service, number: int, kept: Keepsake) -> None:
    """Its master has died with our predecessor: if workers of it live, another one takes its place, and they leave."""
    one = _leaving(service, number)
    one.workers = rescue.processes(kept)
    if _take_listeners(service, kept, one.workers):
        log.error("cannot adopt generation %d: its master has died; another one takes its place, and its workers leave", number)
        _refusals.waiting.append(one)
        return
    for pidfd in one.workers:
        os.close(pidfd)


def dismiss(service: Service) -> None:
    """Another generation serves, or nobody is to: those that were waited for leave, and what was taken of them is the other one's."""
    for name in _refusals.kept:
        service.inherited.pop(name).close()
    _refusals.kept.clear()
    while _refusals.waiting:
        _dismiss(_refusals.waiting.pop())


def _leaving(service: Service, number: int) -> _Leaving:
    service.number_after(number)
    timeouts = service.loaded.settings.timeouts
    return _Leaving(number, timeouts.drain, timeouts.linger)


def _dismiss(one: _Leaving) -> None:
    for pidfd in one.workers:
        system.send_signal(pidfd, signal.SIGTERM)
    if one.link is not None:
        with suppress(LinkError):
            one.link.send({"type": "quit", "id": 1, "deadline_s": one.deadline_s, "linger_s": one.linger_s})
    _refusals.leaving.append(one)
    asyncio.get_running_loop().call_later(one.deadline_s + GRACE_S, _end, one)


def _end(one: _Leaving) -> None:
    for pidfd in [*one.workers, one.master]:
        if pidfd >= 0:
            system.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    if one.link is not None:
        one.link.close()
    _refusals.leaving.remove(one)


def _verified(caller: Caller) -> int:
    """A pidfd of who answered, if it may do less than we and has not become anybody else since; else -1."""
    if not capabilities.exceeds(Identity(user=caller.uid)):
        return -1
    with suppress(OSError):
        pidfd = system.open_pidfd(caller.pid)
        process = evidence.process(pidfd)
        if process is not None and process.runs_as(caller.uid):
            return pidfd
        os.close(pidfd)
    return -1


def _take_listeners(service: Service, kept: Keepsake, among: list[int] | None = None) -> bool:
    """Have whatever starts next listen on those of a generation, as on ones that systemd has kept; whether there are any."""
    pidfds = rescue.processes(kept) if among is None else among
    found = rescue.listeners(kept, pidfds)
    if among is None:
        for pidfd in pidfds:
            os.close(pidfd)
    for one in found:
        _keep(service, one)
    return bool(found)


def _keep(service: Service, listener: Listener) -> None:
    name = listener.address.name if listener.inherited else fdstore.name_of(listener.name, listener.inode)
    if name is None or name in service.inherited:
        listener.socket.close()
        return
    service.inherited[name] = listener.socket
    if fdstore.is_ours(name):
        _refusals.kept.add(name)
