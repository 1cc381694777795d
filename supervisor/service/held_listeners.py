"""The listening sockets that a service holds: in service, opened by an operation, put aside for a generation, stored.

A commit says which are in service from here on. Those that are not any more are kept closed while a generation that
may serve again has them, and are closed when it has left.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

from releve.config.settings.address import Address
from releve.supervisor.generation.generation import Generation
from releve.supervisor.listeners.aside import bring_back, put_aside
from releve.supervisor.listeners.listener import Listener, close_listener, remove_file
from releve.supervisor.listeners.plan import Plan, plan_listeners
from releve.supervisor.reporting.log import log
from releve.supervisor.systemd.fdstore import Store
from releve.supervisor.systemd.notify import Notifier


class HeldListeners:
    """Of one service. Owns the sockets."""

    def __init__(self, inherited: dict[str, socket.socket], notifier: Notifier) -> None:
        """``inherited``: sockets that nobody listens on yet, by the name that systemd knows them by."""
        self.in_service: list[Listener] = []
        self.opening: list[Listener] = []  # by the operation under way, and not committed
        self.inherited = inherited
        self.patient_until = 0.0  # monotonic: until then, addresses that are taken may become free
        self.store = Store(notifier, inherited)  # what systemd keeps of them
        self._aside: dict[Generation, list[Listener]] = {}

    def plan(self, addresses: Sequence[Address], backlog: int) -> Plan:
        """What listening on these addresses takes; what has to be opened for it is open. Raises ListenError."""
        return plan_listeners(self.in_service, addresses, backlog, self.inherited)

    def planned(self, listeners: list[Listener], backlog: int) -> Plan:
        """The same for listeners that another supervisor has opened for an operation of its own."""
        return Plan(
            keep=[one for one in listeners if one in self.in_service],
            added=self.beyond(listeners),
            dropped=[one for one in self.in_service if one not in listeners],
            all=listeners,
            wanted=[one.address for one in listeners],
            backlog=backlog,
        )

    def beyond(self, listeners: Iterable[Listener]) -> list[Listener]:
        """Those among them that are not in service."""
        return [one for one in listeners if one not in self.in_service]

    def commit(self, listeners: Iterable[Listener]) -> list[Listener]:
        """These are in service from here on; returns those that were, and are not any more."""
        before, self.in_service, self.opening = self.in_service, list(listeners), []
        return [one for one in before if one not in self.in_service]

    def put_aside(self, owner: Generation, dropped: Iterable[Listener]) -> None:
        """Refuse clients on listeners, but keep them while their owner may serve again."""
        for listener in dropped:
            log.info("closed %s", listener.name)
            put_aside(listener)
            self._aside.setdefault(owner, []).append(listener)

    def put_back(self, owner: Generation) -> None:
        """Refuse clients again on what was brought back: its owner does not serve after all."""
        for listener in self.aside(owner):
            put_aside(listener)

    def bring_back(self, owner: Generation, backlog: int) -> None:
        """Open again what was put aside for a generation that is to serve again. Raises ListenError."""
        for listener in self.aside(owner):
            bring_back(listener, backlog)

    def take_back(self, owner: Generation) -> None:
        """What was put aside for a generation that serves again is in service."""
        self._aside.pop(owner, None)

    def aside(self, owner: Generation) -> list[Listener]:
        """Those that are kept for a generation that does not serve."""
        return list(self._aside.get(owner, ()))

    def close_after(self, owner: Generation, listeners: list[Listener]) -> None:
        """Listeners that only a generation has that does not serve: they are closed when it has left."""
        self._aside[owner] = listeners

    def retire(self, owner: Generation) -> None:
        """The owner leaves: nobody finds what was put aside for it any more.

        At once: whoever follows a supervisor that is killed now does not know of these files.
        """
        for listener in self.aside(owner):
            remove_file(listener)

    def forget(self, owner: Generation) -> None:
        """The owner has left."""
        for listener in self._aside.pop(owner, ()):
            close_listener(listener)

    def close(self) -> None:
        """At the end: nothing of ours stays bound. What systemd keeps for a restart keeps its file too."""
        for listener in [*self.in_service, *(one for some in self._aside.values() for one in some)]:
            close_listener(listener, unlink=not self.store.keeps(listener))
        self.in_service = []
        self._aside.clear()
