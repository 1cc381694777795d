"""In the worker: its connections. Who is there, what epoll waits for, until when, and whose turn is next.

Belongs to the leader (``threads.py``). A connection stays in epoll while a thread has it, which saves two system calls
per request; an event that comes meanwhile takes it out, or the loop would spin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from releve.config.settings.timeouts import Timeouts
from releve.server.loop.connection import Connection, State
from releve.server.loop.deadlines import Deadlines
from releve.server.scoreboard.record import KINDS, Tally
from releve.server.shared import closing
from releve.server.shared.native import RLock, select, time

# Looking a member up in its Enum costs more than all else in a comparison.
_IDLE = State.IDLE


class Connections:
    """Every open connection of one worker."""

    now = staticmethod(time.monotonic)

    def __init__(self, epoll: select.epoll, timeouts: Timeouts, tally: Tally) -> None:
        self.table: dict[int, Connection] = {}  # by descriptor
        # held from the birth of a connection's descriptor until it is in the table; `run_worker` has a fork wait for it
        self.intake = RLock()
        self.deadlines: Deadlines[Connection] = Deadlines()
        self.ready: deque[Connection] = deque()  # BUSY, and not with a thread yet
        # `queued`: the beginning of a next request was read before the last one was answered
        self.more: deque[Connection] = deque()
        self.tally = tally
        self.classes = [0] * len(KINDS)  # answers since the last turn, by their kind: see `Tally.answered`
        self.idle_s = timeouts.keepalive  # silence after which an idle connection is closed
        self.fresh_s = timeouts.header  # the same, if it has never brought a byte
        self.header_s = timeouts.header  # so long a head may take
        # While `giving`, asked when a connection has come back with its response sent; True: it was given away.
        self.giving = False
        self.give: Callable[[Connection], bool] = lambda connection: False
        # Asked when a request comes and no thread is left; True: a sibling has it.
        self.share: Callable[[Connection, bytes], bool] = lambda connection, data: False
        self.plain = False  # they may be kept after their responses, and none is given away
        # hears of one that is closed before its body was complete, or while that is kept
        self.dropped: Callable[[Connection], None] = lambda connection: None
        self._epoll = epoll

    def adopt(self, connection: Connection, deadline: float | None = None) -> None:
        """Enter a new connection in the table; ``welcome`` or ``read`` it next, or give it away."""
        self.table[connection.fd] = connection
        self.deadlines.put(connection, self.now() + self.fresh_s if deadline is None else deadline)

    def welcome(self, connection: Connection) -> None:
        """Serve a connection of the loop: what it has brought already, or what comes."""
        if connection.buffer:
            self.queue(connection)
        else:
            self.register(connection)

    def queue(self, connection: Connection) -> None:
        """Go on with what a connection of the loop has brought already, when it is its turn."""
        if not connection.queued:
            connection.queued = True
            self.more.append(connection)

    def register(self, connection: Connection, events: int = select.EPOLLIN) -> None:
        """Have epoll wait for these events of a connection."""
        if not connection.registered:
            self._epoll.register(connection.fd, events)
            connection.registered = True
        elif connection.events != events:
            self._epoll.modify(connection.fd, events)
        connection.events = events

    def unregister(self, connection: Connection) -> None:
        """Have epoll wait for none of them any more."""
        if connection.registered:
            self._epoll.unregister(connection.fd)
            connection.registered = False

    def close(self, connection: Connection) -> None:
        """Close our descriptor; the end of the connection, unless it was given away."""
        # Explicitly, since a child forked by some library may hold a duplicate, and epoll would fire for ever.
        self.unregister(connection)
        connection.enter(State.CLOSED)
        self.deadlines.drop(connection)
        if connection.channel is not None and connection.channel.unsent is not None:
            connection.channel.unsent.close()
        if connection.received:
            closing.close_socket(connection.socket)
        else:
            connection.socket.close()
        del self.table[connection.fd]
        if connection.gathering is not None:
            connection.body = None  # with its file; the connection itself is part of a cycle
            self.dropped(connection)

    def shorten_idle(self, idle_s: float) -> None:
        """From now on close idle connections after ``idle_s`` seconds of silence, those that are idle now too."""
        self.idle_s = idle_s
        self.fresh_s = min(self.fresh_s, idle_s)
        for connection in self.table.values():
            if connection.state is _IDLE:
                self.deadlines.put(connection, self.now() + idle_s)

    def disown(self) -> None:
        """In a child that the application forked: close the sockets and touch nothing else."""
        for connection in list(self.table.values()):
            connection.socket.close()
