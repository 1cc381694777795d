"""In the worker: giving connections to the generation that takes over, while it is paused.

Only idle ones are given (the loop owns them, and no output is pending), a few per
turn, so that the requests of the others are not held up. A busy one follows after its
response. One that has brought more than fits the message is served here until the rest fits. What cannot be given is
kept, served, and told ``Connection: close``.
"""

from __future__ import annotations

import enum
import errno
import logging
from collections import deque
from collections.abc import Iterable

from releve.server.handover import exchange
from releve.server.loop.connection import REST_MAX_BYTES, Connection, State
from releve.server.loop.loop import Loop
from releve.server.shared.native import os, select

BATCH = 64  # connections given per turn
CROWDED_S = 0.02  # until the next attempt when too many descriptors are under way
FULL_S = 0.1  # the same when the exchange is full; epoll says so earlier, but only when it is three quarters empty

log = logging.getLogger("releve.worker")


class Result(enum.Enum):
    """What became of an attempt to give one connection."""

    GIVEN = "given"
    KEPT = "kept"  # for good
    SERVED = "served"  # what it has brought is served first; it is offered again with each response
    LATER = "later"  # the exchange takes no more just now


def parcel_of(connection: Connection) -> exchange.Parcel:
    """What a receiver has to know of it."""
    return exchange.Parcel(
        listener=connection.listener,
        peer=connection.peer,
        hops=connection.hops + 1,
        deadline_ns=int(connection.deadline * 1e9),
        requests=connection.requests,
        fresh=connection.fresh,
        rest=bytes(connection.buffer),
        owes_preface=connection.owes_preface,
        anonymous=connection.anonymous,
    )


class Handover:
    """One pause: the send end of an exchange (owned), and the connections that are to go there."""

    def __init__(self, loop: Loop, send_end: int) -> None:
        self.given = 0
        self.kept = 0
        self._loop = loop
        self._connections = loop.connections
        self._send_end = send_end  # -1: closed
        self._pending: deque[Connection] = deque()
        self._waiting = False  # for room in the exchange
        self._served = False

    @property
    def usable(self) -> bool:
        """Whether a connection that becomes idle can still be given."""
        return self._send_end >= 0

    @property
    def done(self) -> bool:
        """Whether every connection that was idle has been given, or cannot be."""
        return not self._pending

    @property
    def hurry(self) -> bool:
        """Whether ``step`` has something to do at once."""
        return bool(self._pending) and not self._waiting

    def add(self, connections: Iterable[Connection]) -> None:
        """Give these as soon as possible: connections of the loop, in epoll or not."""
        self._pending.extend(connection for connection in connections if _movable(connection))

    def step(self) -> None:
        """In each turn: give a few of those that wait, as long as the exchange takes them."""
        for _ in range(BATCH):
            if self._waiting or not self._pending:
                return
            connection = self._pending.popleft()
            if not _movable(connection):
                continue  # closed, or busy again: then it is offered when it comes back
            result = self._attempt(connection)
            if result in (Result.KEPT, Result.SERVED):
                self._connections.welcome(connection)
            elif result is Result.LATER:
                self._pending.appendleft(connection)
                if self._served:
                    self._connections.welcome(connection)  # the attempt has taken it out of epoll again
                else:
                    self._serve_meanwhile()

    def offer(self, connection: Connection) -> bool:
        """Give one that has just come back from a thread. False: it is still the loop's, to be served."""
        if not _movable(connection):
            return False
        result = Result.LATER if self._waiting else self._attempt(connection)
        if result is Result.LATER:
            self._pending.append(connection)
        return result is Result.GIVEN

    def close(self) -> None:
        """Give no more. Those not given stay with the loop."""
        self._resume()
        self._serve_meanwhile()
        self._pending.clear()
        self.disown()

    def disown(self) -> None:
        """Close the send end and touch nothing else; also in a child that the application forked."""
        if self._send_end >= 0:
            os.close(self._send_end)
            self._send_end = -1

    def _attempt(self, connection: Connection) -> Result:
        """Unregister, send, close; in this order.

        After a failure the connection is the loop's again, and not in epoll.
        """
        if self._send_end < 0 or connection.polite or connection.hops >= exchange.HOPS_MAX:
            return self._keep(connection)
        if len(connection.buffer) > REST_MAX_BYTES:
            return Result.SERVED
        self._connections.unregister(connection)
        try:
            exchange.give(self._send_end, parcel_of(connection), connection.fd)
        except exchange.ExchangeError:
            return self._keep(connection)
        except OSError as error:
            return self._failed(connection, error)
        self.given += 1
        self._connections.tally.add("given", 1)
        self._connections.close(connection)
        return Result.GIVEN

    def _failed(self, connection: Connection, error: OSError) -> Result:
        if error.errno in exchange.FULL:
            self._wait(FULL_S)
            self._loop.watch(self._send_end, self._resume, select.EPOLLOUT)
            return Result.LATER
        if error.errno in exchange.CROWDED:
            self._wait(CROWDED_S)
            return Result.LATER
        if error.errno in exchange.BROKEN:
            log.error("cannot hand over connections: %s; each is served here until its next response", error.strerror)
            self.disown()
        elif error.errno != errno.EMSGSIZE:
            log.warning("cannot hand over a connection: %s; it is served here until its next response", error.strerror)
        return self._keep(connection)

    def _keep(self, connection: Connection) -> Result:
        connection.polite = True
        self.kept += 1
        return Result.KEPT

    def _serve_meanwhile(self) -> None:
        """Have the loop serve those that wait; once, since those that come later are served already."""
        if not self._served:
            self._served = True
            for connection in list(self._pending):
                if _movable(connection):
                    self._connections.welcome(connection)

    def _wait(self, delay_s: float) -> None:
        self._waiting = True
        self._loop.at("handover", self._loop.now() + delay_s, self._resume)

    def _resume(self) -> None:
        if self._waiting:
            self._waiting = False
            self._loop.cancel("handover")
            self._loop.unwatch(self._send_end)


def _movable(connection: Connection) -> bool:
    return connection.state in (State.IDLE, State.READING) and not connection.private
