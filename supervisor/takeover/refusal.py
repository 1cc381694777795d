"""A refusal: what becomes of a generation that is found and not taken over.

Its listeners are ours if they are what the supervisor before us has recorded: another generation starts on them, and
then this one is told to leave, as its own supervisor would have told it. Without a record it is told at once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from releve.server.shared.link import Link
from releve.supervisor.channels.door import Door
from releve.supervisor.host import evidence, system
from releve.supervisor.keepsake.keepsake import Keepsake
from releve.supervisor.listeners import stored
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.reporting.log import log
from releve.supervisor.service.service import Service
from releve.supervisor.takeover import rescue
from releve.supervisor.takeover.departure import Departure
from releve.supervisor.takeover.inventory import Refused
from releve.supervisor.takeover.verification import Caller


class Refusals:
    """All generations that one supervisor, which adopts once, does not take over. Lives in its loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting: list[Departure] = []  # until another generation serves
        self._leaving: list[Departure] = []
        self._kept: set[str] = set()  # names of listeners among the inherited ones of the service

    def send_away(self, path: Path, link: Link, error: Refused) -> None:
        """Have the generation behind a door leave: at once, or when another one serves on its listeners
        (``dismiss``).
        """
        caller, recorded = error.caller, _recorded(error.kept)
        workers = rescue.processes(error.kept) if error.kept is not None and caller.pid not in recorded else []
        one = Departure(
            Door(path, None),
            self._service.settings.timeouts,
            caller.uid,
            {caller.pid, *recorded},
            link=link,
            pidfd=_verified(caller),
            workers=workers,
        )
        if error.kept is not None and self._take_listeners(error.kept):
            log.error("cannot adopt the generation behind %s: %s; starting another, then stopping it", path, error)
            self._waiting.append(one)
        else:
            log.error("cannot adopt the generation behind %s: %s; stopping it", path, error)
            self._begin(one)

    def bereave(self, path: Path, kept: Keepsake) -> None:
        """Its master has died with our predecessor: if workers of it live, another one takes its place, and they
        leave.
        """
        workers = rescue.processes(kept)
        if workers and self._take_listeners(kept, workers):
            log.error(
                "cannot adopt the generation behind %s: its master exited; starting another, then stopping its workers",
                path,
            )
            timeouts, user = self._service.settings.timeouts, kept.pin.identity.uid
            self._waiting.append(Departure(Door(path, None), timeouts, user, _recorded(kept), workers=workers))
            return
        for pidfd in workers:
            os.close(pidfd)

    def doors(self) -> set[Path]:
        """The doors of those that have not left yet."""
        return {one.door.path for one in (*self._waiting, *self._leaving) if not one.over}

    def dismiss(self) -> None:
        """Another generation serves, or nobody is to: those that were waited for leave, and what was taken of them is
        the other one's.
        """
        for name in self._kept:
            self._service.listeners.inherited.pop(name).close()
        self._kept.clear()
        while self._waiting:
            self._begin(self._waiting.pop())

    async def settled(self) -> None:
        """Until all of them have left, or were ended at their deadline."""
        for one in list(self._leaving):
            await one.ended()

    def _begin(self, one: Departure) -> None:
        self._leaving.append(one)
        one.begin()

    def _take_listeners(self, kept: Keepsake, among: list[int] | None = None) -> bool:
        """Have whatever starts next listen on those of a generation, as on ones that systemd has kept; whether there
        are any. ``among``: pidfds of its processes, where they are known.
        """
        pidfds = rescue.processes(kept) if among is None else among
        found = rescue.listeners(kept, pidfds)
        if among is None:
            for pidfd in pidfds:
                os.close(pidfd)
        for one in found:
            self._keep(one)
        return bool(found)

    def _keep(self, listener: Listener) -> None:
        inherited = self._service.listeners.inherited
        name = listener.address.name if listener.inherited else stored.name_of(listener.name, listener.inode)
        if name is None or name in inherited:
            listener.socket.close()
            return
        inherited[name] = listener.socket
        if stored.is_ours(name):
            self._kept.add(name)


def _recorded(kept: Keepsake | None) -> set[int]:
    """The pid of the recorded master."""
    return set() if kept is None or kept.held is None else {kept.held.pid}


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
