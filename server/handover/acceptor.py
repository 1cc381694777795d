"""In the worker: where connections come in: the listeners, and the generation's exchange.

They are in epoll iff the worker is resumed, has a free thread and is below its limit; but for a canary, which is
resumed for the exchange only. A worker whose threads always have the next request of some kept-alive connection would
never open them: there each answer entitles one newcomer (``glance``), while a worker that is stuck in long requests
leaves newcomers to its siblings. If these do not take them either, it lets them in after a moment (``_press``) where
that is of use: at the limit somebody idle goes for them (``room.py``), and among those that find no thread may be a
load balancer, which needs none (``readiness.py``); the requests of the others wait in the exchange. Level-triggered,
without EPOLLEXCLUSIVE: with it, a worker that is woken and then dies or pauses swallows the wake-up, and the client
waits for the next one to come.
"""

from __future__ import annotations

import enum
import errno
import logging
from collections.abc import Callable, Iterator
from functools import partial

from releve.server.handover import exchange
from releve.server.handover.diversion import Diversion
from releve.server.handover.room import Room
from releve.server.handover.shortage import BACKOFF_S, Shortage
from releve.server.loop.connection import Connection, State, peer_text, prepare
from releve.server.loop.loop import Loop
from releve.server.shared.native import os, select, socket
from releve.server.shared.noise import Noise

BATCH = 16  # connections taken per wake-up and door
GLANCE_S = 0.005  # between two glances
PRESS_S = 0.1  # newcomers that nobody has taken for so long press
PRESSED_S = 1.0  # how long doors stay open for them
# More than any accept queue holds: what was queued when the sweep began has come when so many have.
SWEEP_MAX = 8192

Door = Callable[[], Connection | None]  # takes the next one in, if there is one

log = logging.getLogger("releve.worker")


class Width(enum.Enum):
    """Which doors are in epoll."""

    SHUT = "shut"
    LISTENERS = "listeners"  # what waits in the exchange waits for a thread
    OPEN = "open"


class Acceptor:
    """Owns the listening sockets and the worker's receive end of the exchange."""

    def __init__(
        self,
        loop: Loop,
        listeners: tuple[tuple[str, socket.socket], ...],
        exchange_receive: int,
        connections_max: int,
        *,
        prefaced: bool = False,
    ) -> None:
        """``prefaced``: what comes in through a listener begins with a header of the PROXY protocol."""
        self.listeners = dict(listeners)
        self.exchange = exchange_receive  # -1: closed, or has ended
        self.resumed = False
        self.width = Width.SHUT
        self.room = Room(loop, connections_max)
        # asked without a free thread: whether newcomers are of use all the same
        self.crowded: Callable[[], bool] = lambda: False
        self.diversion: Diversion | None = None  # what becomes of some that come in by the listeners
        self._listening = True  # when open: the listeners too, and not the exchange alone
        self._loop = loop
        self._connections = loop.connections
        self._executor = loop.executor
        self._read, self._serve = loop.reader.read, loop.serve
        self._prefaced = prefaced
        self._exhausted = False  # backing off
        self._pressed_until = 0.0  # monotonic
        self._pressing = False  # a timer runs
        self._shortage = Shortage(loop)
        self._noise = Noise(lambda line: log.error("%s", line))
        self._glanced_at = 0.0  # monotonic
        self._answers_seen = 0
        for sock in self.listeners.values():
            sock.setblocking(False)  # on the shared description, as every process of the service has it

    def resume(self, *, listeners: bool = True) -> None:
        """Let connections in from now on; without ``listeners`` by the exchange only."""
        if listeners != self._listening:
            self.resumed = False
            self.update()
            self._listening = listeners
        self.resumed = True
        self.update()

    def shut(self) -> None:
        """Let nothing in until ``resume``, and divert nothing."""
        self.divert(None)
        self.resumed = False
        self.update()

    def divert(self, diversion: Diversion | None) -> None:
        """From now on pass some of those that come in by the listeners on, in place of what was there before; None:
        none.
        """
        if self.diversion is not None:
            self.diversion.close()
        self.diversion = diversion

    def update(self) -> None:
        """Open or shut them, as state, threads and limits have it now."""
        wanted = self._wanted()
        if wanted is not self.width:
            before, self.width = self.width, wanted
            self._answers_seen = self._executor.answered
            doors, open_before = self._of(wanted), self._of(before)
            for fd in open_before.keys() - doors.keys():
                self._loop.unwatch(fd)
            for fd in doors.keys() - open_before.keys():
                self._loop.watch(fd, doors[fd])
        if wanted is Width.SHUT and not self._pressing and self.resumed and self._may_press():
            self._pressing = True
            self._loop.at("press", self._loop.now() + PRESS_S, self._press)

    def _wanted(self) -> Width:
        if not self.resumed or self._exhausted:
            return Width.SHUT
        has_thread = self._has_thread()
        if has_thread and self.room.left:
            return Width.OPEN
        if not self._is_pressed():
            return Width.SHUT
        if has_thread:
            return Width.OPEN
        return Width.LISTENERS if self.crowded() else Width.SHUT

    def _may_press(self) -> bool:
        """Shut: whether whoever waits may be let in after a moment."""
        return not self._exhausted and (self._has_thread() or self.crowded())

    def _press(self) -> None:
        """Look who waits, though the doors are shut; with siblings that have room nobody does."""
        self._pressing = False
        if self.width is not Width.SHUT or not self.resumed or not self._may_press():
            return
        poll = select.poll()
        for fd in self._of(Width.OPEN if self._has_thread() else Width.LISTENERS):
            poll.register(fd, select.POLLIN)
        if poll.poll(0) and self.room.make():
            self._pressed_until = self._loop.now() + PRESSED_S
        self.update()

    def glance(self) -> None:
        """Shut for want of a free thread: let in as many as were answered since the last glance, or since they were
        shut.
        """
        now = self._loop.now()
        if self.width is not Width.SHUT or not self.resumed or self._exhausted or now - self._glanced_at < GLANCE_S:
            return
        entitled = min(BATCH, self._executor.answered - self._answers_seen)
        self._glanced_at, self._answers_seen = now, self._executor.answered
        for name, sock in self.listeners.items() if self._listening else ():
            self._let_in(partial(self._accept, name, sock), entitled, self._has_room, self._read)
        if self.exchange >= 0:
            self._let_in(self._receive, entitled, self._has_room, self._read)

    def sweep(self, *, listeners: bool = True, exchange: bool = True) -> Iterator[Connection]:
        """With the doors shut: whatever has queued at them, until nothing is left (or no descriptor is free).

        The caller decides what becomes of the connections; they are in the loop's table, and not in epoll.
        """
        for name, sock in self.listeners.items() if listeners else ():
            for _ in range(SWEEP_MAX):
                connection = self._accept(name, sock)
                if connection is None:
                    break
                yield connection
        while exchange and self.exchange >= 0:
            connection = self._receive()
            if connection is None:
                break
            yield connection

    def close(self) -> None:
        """Shut them for good."""
        self.shut()
        self.disown()

    def disown(self) -> None:
        """Close the descriptors and touch nothing else; also in a child that the application forked."""
        for sock in self.listeners.values():
            sock.close()
        self.listeners = {}
        if self.exchange >= 0:
            os.close(self.exchange)
            self.exchange = -1
        self.divert(None)

    def _has_room(self) -> bool:
        return self.room.left

    def _has_thread(self) -> bool:
        # What was just let in has no thread yet: a sibling may have one.
        return self._executor.free > len(self._connections.ready)

    def _is_pressed(self) -> bool:
        return self._loop.now() < self._pressed_until

    def _admits(self) -> bool:
        return self.room.left and (self._has_thread() or (self._is_pressed() and self.crowded()))

    def _of(self, width: Width) -> dict[int, Callable[[], bool]]:
        """The doors that are open then, and what happens when somebody comes."""
        doors: dict[int, Callable[[], bool]] = {}
        if width is not Width.SHUT and self._listening:
            for name, sock in self.listeners.items():
                doors[sock.fileno()] = partial(self._on_event, partial(self._accept, name, sock))
        if width is Width.OPEN and self.exchange >= 0:
            doors[self.exchange] = partial(self._on_event, self._receive)
        return doors

    def _on_event(self, door: Door) -> bool:
        """False: the lead was lost, and with it the right to change anything here."""
        # for the one that waits, and no further ones
        if not self.room.left and self._is_pressed() and not self.room.make():
            self._pressed_until = 0.0
        kept = self._let_in(door, BATCH, self._admits, self._serve)
        if kept:
            self.update()
        return kept

    def _let_in(
        self, door: Door, most: int, room: Callable[[], bool], go_on: Callable[[Connection], bool | None]
    ) -> bool:
        """Let up to ``most`` in; ``go_on`` with each before the next one: most have sent their request by now.

        False: it has said that the lead was lost.
        """
        for _ in range(most):
            connection = door() if room() else None
            if connection is None:
                break
            if self.diversion is not None and not connection.hops and self.diversion.take(connection):
                continue
            if connection.buffer or not connection.fresh:
                self._connections.welcome(connection)
            elif go_on(connection) is False:
                return False
        return True

    def _accept(self, name: str, sock: socket.socket) -> Connection | None:
        while True:
            try:
                with self._connections.intake:
                    client, address = sock.accept()
                    prepare(client)
                    connection = Connection(client, name, peer_text(address))
                    connection.owes_preface = self._prefaced
                    self._connections.adopt(connection)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno == errno.ECONNABORTED:
                    continue  # the client has gone before we came
                self._back_off("accept a connection", error)
                return None
            self._connections.tally.add("accepted", 1)
            return connection

    def _patience(self) -> float:
        """The latest deadline that a connection of ours can have (monotonic); what another generation says may be
        anything.
        """
        return self._loop.now() + max(self._connections.idle_s, self._connections.header_s)

    def _receive(self) -> Connection | None:
        tries = BATCH
        while True:
            try:
                with self._connections.intake:
                    taken = exchange.take(self.exchange)
                    if taken is None:
                        return None
                    parcel, client = taken
                    connection = Connection(client, parcel.listener, parcel.peer)
                    connection.received = True
                    connection.hops, connection.requests, connection.fresh = parcel.hops, parcel.requests, parcel.fresh
                    connection.polite = parcel.listener not in self.listeners  # dropped by a new configuration
                    connection.owes_preface, connection.anonymous = parcel.owes_preface, parcel.anonymous
                    connection.buffer += parcel.rest
                    if parcel.rest and not parcel.owes_preface:
                        connection.enter(State.READING)
                    self._connections.adopt(connection, min(parcel.deadline_ns / 1e9, self._patience()))
            except exchange.ExchangeError as error:
                self._noise.hear(f"a message of the exchange: {error}")
                tries -= 1
                if not tries:
                    return None  # there may be more, for the next turn
                continue
            except OSError as error:
                if error.errno in exchange.BROKEN:
                    self._give_up_exchange(error)
                else:
                    self._back_off("take a connection from the exchange", error)
                return None
            self._connections.tally.add("received", 1)
            return connection

    def _give_up_exchange(self, error: OSError) -> None:
        log.error("cannot take more connections from the exchange: %s", error.strerror)
        self._loop.unwatch(self.exchange)
        os.close(self.exchange)
        self.exchange = -1

    def _back_off(self, what: str, error: OSError) -> None:
        self._shortage.note(what, error)
        self._exhausted = True
        self.update()
        self._loop.at("doors", self._loop.now() + BACKOFF_S, self._recover)

    def _recover(self) -> None:
        self._exhausted = False
        self.update()
