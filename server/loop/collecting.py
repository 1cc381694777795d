"""In the leader: bodies that are still to come.

They are kept here, and cost no thread, however slowly their clients send.

The first 64 KiB of a body are in memory, what is more in a file (``spool.py``), until it is complete: then any thread
has it. A few may go to the application before, ``limits.streams`` of them, so that it reads as the client sends: those
of clients that are fast, and of those that have sent the beginning and now seem to wait for an answer. Chunked bodies
with ``request.buffer_chunked`` never do. ``docs/adr/0036-spooled-bodies.md`` has the reasons, and
``0041-what-moves-from-gunicorn.md``.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
from collections import deque

from releve.config.settings.settings import Settings
from releve.server.http.body import CONTINUE, READ_BYTES, BodyRefused, Input
from releve.server.http.spool import Spool, Spools, spool_directory
from releve.server.loop.connection import Connection, State
from releve.server.loop.connections import Connections
from releve.server.loop.gathering import Gathering
from releve.server.loop.pace import min_bytes
from releve.server.loop.writer import Writer
from releve.server.shared import system
from releve.server.shared.native import select

MEMORY_BYTES = 64 * 1024  # of a body; what is more goes to a file
QUIET_S = 2.0  # who has sent nothing until then but at once (`FIRST_S`), waits for an answer

_BUSY, _COLLECTING = State.BUSY, State.COLLECTING

log = logging.getLogger("releve.worker")


class Collecting:
    """Keeps bodies for the loop; counts the requests whose bodies a thread waits for."""

    def __init__(self, connections: Connections, writer: Writer, settings: Settings, *, at_once: bool = False) -> None:
        """``at_once``: the application gets each request at once, and reads the body as it comes."""
        timeouts, limits = settings.timeouts, settings.limits
        self._connections = connections
        self._writer = writer
        self._body_s = timeouts.body
        self._body_min_bytes = max(1, min_bytes(timeouts.body, timeouts.min_rate))
        self._spools = Spools(spool_directory(settings.spool_directory), limits.spool or 0)
        self._streams = 0  # requests that went to a thread before their body was complete
        self._streams_max = streams_max(settings) if not at_once else sys.maxsize
        self._eager = at_once or limits.streams is not None or limits.spool is None  # they go at once
        self._waiting: deque[Connection] = deque()  # for a thread, or for room
        self._stuck_bytes = 0  # of all files

    def begin(self, connection: Connection, body: Input) -> None:
        """A head was read: give the request to the threads, or wait for its body first."""
        if body.finished or body.failure is not None:
            self._over(connection, body)
        elif not body.whole and self._streams < self._streams_max and (self._eager or body.waits_for_continue):
            self._go(connection, body, streams=True)  # the application says whether it wants a body that was not begun
        else:
            now = self._connections.now()
            gathering = connection.gathering = Gathering(now)
            gathering.bytes = body.held_bytes
            connection.enter(_COLLECTING)
            connection.paced_bytes = 0
            self._connections.deadlines.put(
                connection, now + (min(QUIET_S, self._body_s) if self._streams_max else self._body_s)
            )
            self._keep(connection, body)

    def gather(self, connection: Connection) -> None:
        """More of a body has come."""
        body, gathering = connection.body, connection.gathering
        assert body is not None and gathering is not None
        if gathering.waits:
            self._hung_up(connection, body)
            return
        data = connection.receive(READ_BYTES)
        if data is None:
            return
        if not data:
            self._connections.close(connection)  # in the middle of its request
            return
        now = self._connections.now()
        connection.paced_bytes += len(data)
        gathering.take(len(data), now)
        body.take(data)
        if body.finished or body.failure is not None:
            self._over(connection, body)
        elif not body.whole and self._streams < self._streams_max and (self._eager or gathering.is_fast(now)):
            self._go(connection, body, streams=True)
        else:
            self._keep(connection, body)

    def over(self, connection: Connection) -> None:
        """A request with a body was answered."""
        if connection.streams:
            connection.streams = False
            self._streams -= 1
            self._retry()
        if connection.gathering is not None:
            self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """A request is over, or its connection: what was kept of its body goes."""
        gathering, connection.gathering = connection.gathering, None
        if gathering is None:
            return
        self._unstick(gathering)
        if gathering.kept_bytes:
            self._spools.release(gathering.kept_bytes)
            self._retry()

    def expired(self, connection: Connection) -> None:
        """A body has come as far as it could in its time."""
        gathering, body = connection.gathering, connection.body
        assert gathering is not None and body is not None
        if gathering.waits:
            self._no_room(connection, "" if body.whole else ", and limits.streams requests are running")
            return
        self.gather(connection)
        if connection.state is not _COLLECTING or gathering.waits:
            return
        if not gathering.looked and self._streams_max and self._body_s > QUIET_S:
            gathering.looked = True
            self._connections.deadlines.put(connection, gathering.since + self._body_s)
            if not gathering.late and not body.whole:
                self._waiting.append(connection)
                self._retry()
        elif connection.paced_bytes < self._body_min_bytes:
            self._refuse(connection, 408, "the request body does not arrive")
        else:
            connection.paced_bytes = 0
            self._connections.deadlines.put(connection, self._connections.now() + self._body_s)

    def _over(self, connection: Connection, body: Input) -> None:
        """A body is complete, or will never be."""
        failure = body.failure
        if body.whole and isinstance(failure, BodyRefused):  # the application is to get all of it, with its length
            self._refuse(connection, failure.status, failure.reason)
        else:
            self._go(connection, body, streams=False)

    def _go(self, connection: Connection, body: Input, *, streams: bool) -> None:
        """To the threads. ``streams``: before the body is complete."""
        connection.streams = streams
        self._streams += streams
        body.rewind()
        connection.enter(_BUSY)
        self._connections.deadlines.put(connection, math.inf)
        self._connections.ready.append(connection)

    def _keep(self, connection: Connection, body: Input) -> None:
        """Wait for more of a body; what is here goes to its file once that is too much for memory."""
        gathering = connection.gathering
        assert gathering is not None
        count = body.held_bytes
        if count >= MEMORY_BYTES:
            if not self._spools.take(count):
                self._wait(connection, body, gathering)
                return
            gathering.kept_bytes += count
            try:
                if gathering.spool is None:
                    gathering.spool = Spool(self._spools.directory)
                body.spill(gathering.spool)
            except OSError as error:
                self._spools.complain(error)
                self._refuse(connection, 503, "the request body cannot be stored")
                return
        self._connections.register(connection)
        if body.asked():
            with contextlib.suppress(OSError):  # gone, or it reads nothing: then it does without
                connection.socket.send(CONTINUE)

    def _wait(self, connection: Connection, body: Input, gathering: Gathering) -> None:
        """There is no room: a thread may wait for the client now, one at least, if not too many do."""
        if not body.whole and self._streams < max(1, self._streams_max):
            self._go(connection, body, streams=True)
        elif body.whole and self._spools.used_bytes == self._stuck_bytes + gathering.kept_bytes:
            self._no_room(connection, " by request bodies that wait for each other")
        elif not gathering.waits:
            gathering.waits = True
            if body.whole:
                gathering.stuck_bytes = gathering.kept_bytes
                self._stuck_bytes += gathering.stuck_bytes
            # nothing is read meanwhile, but who leaves gives room back
            self._connections.register(connection, select.EPOLLRDHUP)
            self._connections.deadlines.put(connection, self._connections.now() + self._body_s)
            self._waiting.append(connection)

    def _unstick(self, gathering: Gathering) -> None:
        """It waits no longer."""
        gathering.waits = False
        self._stuck_bytes -= gathering.stuck_bytes
        gathering.stuck_bytes = 0

    def _no_room(self, connection: Connection, why: str) -> None:
        log.warning("no room for a request body (503): limits.spool is used up%s", why)
        self._refuse(connection, 503, "there is no room for the request body")

    def _hung_up(self, connection: Connection, body: Input) -> None:
        """The client of a body that waits sends no more: if the rest is not there, it has gone."""
        if body.due_bytes > system.unread_bytes(connection.socket):
            self._connections.close(connection)
        else:
            self._connections.unregister(connection)

    def _retry(self) -> None:
        """A thread may wait for a client again, or there is room: whom does it help?"""
        waiting = list(self._waiting)
        self._waiting.clear()
        for connection in waiting:
            body, gathering = connection.body, connection.gathering
            if connection.state is not _COLLECTING or body is None or gathering is None:
                continue
            if gathering.waits:
                due = connection.deadline  # who still finds no room has waited all the while
                self._unstick(gathering)
                self._keep(connection, body)
                if connection.state is _COLLECTING:
                    if not gathering.waits:
                        connection.paced_bytes = 0
                        due = self._connections.now() + self._body_s
                    self._connections.deadlines.put(connection, due)
            elif gathering.late:
                continue  # it goes on sending, and was not waiting for an answer
            elif self._streams < self._streams_max:
                self._go(connection, body, streams=True)
            else:
                self._waiting.append(connection)

    def _refuse(self, connection: Connection, status: int, reason: str) -> None:
        self._writer.refuse(connection, status, reason)
        connection.body = None
        self.forget(connection)


def streams_max(settings: Settings) -> int:
    """How many threads of a worker may wait for clients whose bodies are still to come."""
    limits, threads = settings.limits, settings.threads
    if limits.streams is not None:
        return min(limits.streams, threads)
    return threads // 4 if limits.spool is not None else threads // 2
