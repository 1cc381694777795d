"""A refusal: what becomes of a generation that is found and not taken over.

It is told to leave, as the supervisor that it has lost would have told it; if it does not, it is ended: the process that answered
at the door, by a descriptor of the kernel's, and nothing that it has named. Its workers then find nobody and leave by themselves.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from releve.server.link import Link, LinkError
from releve.supervisor import capabilities, evidence, fdstore, system
from releve.supervisor.identity import Identity
from releve.supervisor.inventory import Caller, Refused
from releve.supervisor.listeners import Listener
from releve.supervisor.log import log
from releve.supervisor.service import Service

GRACE_S = 5.0  # after its deadline


@dataclass(slots=True)
class _Leaving:
    """One generation on its way out. Owned: the link, without which it would go on alone."""

    number: int
    link: Link
    master: int  # pidfd; -1: it is not known for certain
    deadline_s: float
    linger_s: float | None


_waiting: list[_Leaving] = []  # until another generation serves on the listeners that it has
_leaving: list[_Leaving] = []


def send_away(service: Service, number: int, link: Link, error: Refused) -> None:
    """Have it leave: at once, or when another one serves on its listeners (``dismiss``)."""
    timeouts = service.loaded.settings.timeouts
    one = _Leaving(number, link, _verified(error.caller), timeouts.drain, timeouts.linger)
    if error.listeners:
        log.error("cannot adopt generation %d: %s; another one takes its place, and it leaves", number, error)
        for listener in error.listeners:
            _keep(service, listener)
        _waiting.append(one)
    else:
        log.error("cannot adopt generation %d: %s; it is told to leave", number, error)
        _dismiss(one)


def dismiss() -> None:
    """Another generation serves, or nobody is to: those that were waited for leave."""
    while _waiting:
        _dismiss(_waiting.pop())


def _dismiss(one: _Leaving) -> None:
    with suppress(LinkError):
        one.link.send({"type": "quit", "id": 1, "deadline_s": one.deadline_s, "linger_s": one.linger_s})
    _leaving.append(one)
    asyncio.get_running_loop().call_later(one.deadline_s + GRACE_S, _end, one)


def _end(one: _Leaving) -> None:
    if one.master >= 0:
        system.send_signal(one.master, signal.SIGKILL)
        os.close(one.master)
    one.link.close()
    _leaving.remove(one)


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


def _keep(service: Service, listener: Listener) -> None:
    """Have whatever starts next listen on it, as on one that systemd has kept: its clients are refused at no moment."""
    name = listener.address.name if listener.inherited else fdstore.name_of(listener.name, listener.inode)
    if name is None or name in service.inherited:
        listener.socket.close()
    else:
        service.inherited[name] = listener.socket
