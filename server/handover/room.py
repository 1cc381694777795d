"""In the leader: room for one more connection. At the limit, the one that has been idle longest is closed for it.

First those that never said anything, then those that are kept alive. Of a connection that has a request on its way
nothing is taken: to its client it looks as if the keepalive timeout had come early. Who has only just come says
something in a moment, and would take the end for an error: nobody of those goes while there is somebody else.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque

from releve.config.grammar import counted
from releve.server.loop.connection import Connection, State
from releve.server.loop.loop import Loop
from releve.server.shared.native import socket

BATCH = 64  # connections found by one look at all of them
YOUNG_S = 1.0  # that a first request may take from the client to us
BARREN_S = 0.05  # until the next look, when no connection was idle
CALM_S = 10.0  # without anybody closed for somebody else: then it is over, and may be logged again

log = logging.getLogger("releve.worker")


class Room:
    """Up to ``limits.connections`` of one worker."""

    def __init__(self, loop: Loop, connections_max: int) -> None:
        self._loop = loop
        self._connections = loop.connections
        self._max = connections_max
        # the deadline that it had, and who; the longest idle first
        self._idle: deque[tuple[float, Connection]] = deque()
        self._barren_until = 0.0  # monotonic
        self._since = 0.0  # monotonic: when the limit was reached; 0: it is not
        self._pressed_at = 0.0  # monotonic: when somebody last came to a worker that was full
        self._closed = 0  # since then

    @property
    def left(self) -> bool:
        """Whether there is room."""
        return len(self._connections.table) < self._max

    def make(self) -> bool:
        """Have room for one more, who waits at a door.

        False: every connection has a request, or the beginning of one.
        """
        if self.left:
            return True
        now = self._loop.now()
        self._note(now)
        while True:
            if not self._idle and not self._look(now):
                return False
            deadline, connection = self._idle.popleft()
            if _is_idle(connection) and connection.deadline == deadline and _is_silent(connection.socket):
                self._connections.close(connection)
                self._closed += 1
                return True

    def _look(self, now: float) -> bool:
        """Find the connections that have been idle longest: each time a batch, since that is a look at all of them."""
        if now < self._barren_until:
            return False
        idle = [connection for connection in self._connections.table.values() if _is_idle(connection)]
        came = now + self._connections.fresh_s - YOUNG_S  # who has a later deadline, and has said nothing, is young
        old = [connection for connection in idle if connection.requests or connection.deadline <= came]
        found = heapq.nsmallest(
            BATCH, old or idle, key=lambda connection: (connection.requests > 0, connection.deadline)
        )
        self._idle.extend((connection.deadline, connection) for connection in found)
        if not found:
            self._barren_until = now + BARREN_S
        return bool(found)

    def _note(self, now: float) -> None:
        self._pressed_at = now
        if self._since:
            return
        self._since, self._closed = now, 0
        log.warning(
            (
                "limits.connections (%d) is reached: for each new client, the connection that is idle longest is "
                "closed; if none is idle, the client waits"
            ),
            self._max,
        )
        self._loop.at("calm", now + CALM_S, self._calm)

    def _calm(self) -> None:
        now = self._loop.now()
        if now - self._pressed_at < CALM_S:
            self._loop.at("calm", self._pressed_at + CALM_S, self._calm)
            return
        log.warning(
            "limits.connections (%d) is no longer reached; closed %s until then",
            self._max,
            counted(self._closed, "idle connection"),
        )
        self._since = 0.0


def _is_idle(connection: Connection) -> bool:
    return connection.state is State.IDLE and not connection.buffer and not connection.private


def _is_silent(sock: socket.socket) -> bool:
    """Whether nothing has come; the end of a connection is nothing."""
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
