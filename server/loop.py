"""In the worker: the loop. It owns epoll and the connection table, and every connection that no thread owns.

It accepts (through ``doors.py``), reads heads without ever blocking, hands each
complete one to the pool, takes the connection back after the response, and keeps
the deadlines. Level-triggered throughout.

A connection stays in epoll while a thread has it, which saves two system calls per
request; an event that comes meanwhile takes it out, or the loop would spin.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable

from releve.config.settings import Settings
from releve.server.connection import CLOSING_MAX_BYTES, CLOSING_S, READ_BYTES, Connection, State
from releve.server.deadlines import Deadlines
from releve.server.head import HTTPError, check_partial, head_end, parse_head
from releve.server.pool import Pool
from releve.server.response import simple_response
from releve.server.scoreboard import Tally

EVENTS_MAX = 128  # of one turn
EMPTY_LINE = b"\r\n"

log = logging.getLogger("releve.worker")


class Loop:
    """One turn after the other, until ``stop``."""

    now = staticmethod(time.monotonic)

    def __init__(self, settings: Settings, pool: Pool, tally: Tally) -> None:
        self.pool = pool
        self.table: dict[int, Connection] = {}  # by descriptor: every open connection of this worker
        self.intake = threading.RLock()  # held from the birth of a connection's descriptor until it is in the table; see worker.py
        self.epoll = select.epoll()
        self.idle_s = settings.timeouts.keepalive  # silence after which an idle connection is closed
        # Asked when a connection has come back with its response sent; True: it was given away.
        self.give: Callable[[Connection], bool] = lambda connection: False
        self.after_turn: Callable[[], bool] = lambda: False  # True: there is more to do at once
        self._header_s = settings.timeouts.header
        self._limits = settings.limits
        self.tally = tally
        self._deadlines: Deadlines[Connection] = Deadlines()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._stopped = False
        self.watch(pool.bell, self._take_back)

    # The turn

    def run(self) -> None:
        """Turn until stopped. Whatever is raised in here is an internal error."""
        hurry = False
        while not self._stopped:
            self._turn(0.0 if hurry else self._wait_s())
            hurry = self.after_turn()
            self.tally.beat()
            self.tally.put("connections", len(self.table))
            self.tally.put("busy", min(self.pool.busy, self.pool.threads))

    def disown(self) -> None:
        """In a child that the application forked: close what is ours; the connections and the wake-up too."""
        self.epoll.close()
        for connection in list(self.table.values()):
            connection.socket.close()
        os.close(self.pool.bell)

    def stop(self) -> None:
        """Let ``run`` return after this turn."""
        self._stopped = True

    def watch(self, fd: int, handler: Callable[[], None], events: int = select.EPOLLIN) -> None:
        """Call ``handler`` whenever the descriptor is ready."""
        self._handlers[fd] = handler
        self.epoll.register(fd, events)

    def unwatch(self, fd: int) -> None:
        """Stop that; before the descriptor is closed."""
        if self._handlers.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def at(self, name: str, due: float, action: Callable[[], None]) -> None:
        """Call ``action`` at a monotonic time, in place of the timer of that name."""
        self._timers[name] = (due, action)

    def cancel(self, name: str) -> None:
        """Forget a timer, if there is one."""
        self._timers.pop(name, None)

    def _turn(self, timeout_s: float | None) -> None:
        for fd, _ in self.epoll.poll(timeout_s, EVENTS_MAX):
            connection = self.table.get(fd)
            if connection is not None:
                self._on_connection(connection)
            elif fd in self._handlers:
                self._handlers[fd]()
        now = self.now()
        for connection in self._deadlines.due(now):
            self._expire(connection)
        for name, (due, action) in list(self._timers.items()):
            if due <= now and self._timers.get(name) == (due, action):  # not cancelled by another one just now
                del self._timers[name]
                action()

    def _wait_s(self) -> float | None:
        now = self.now()
        waits = [max(0.0, due - now) for due, _ in self._timers.values()]
        first = self._deadlines.wait_s(now)
        if first is not None:
            waits.append(first)
        return min(waits) if waits else None

    # The life of a connection

    def adopt(self, connection: Connection, deadline: float | None = None) -> None:
        """Enter a new connection in the table; ``welcome`` or ``read`` it next, or give it away."""
        self.table[connection.fd] = connection
        self._deadlines.put(connection, self.now() + self.idle_s if deadline is None else deadline)

    def welcome(self, connection: Connection) -> None:
        """Serve a connection of the loop: what it has brought already, or what comes."""
        if connection.buffer:
            self._advance(connection)
        else:
            self.register(connection)

    def register(self, connection: Connection) -> None:
        """Into epoll."""
        if not connection.registered:
            self.epoll.register(connection.fd, select.EPOLLIN)
            connection.registered = True

    def unregister(self, connection: Connection) -> None:
        """Out of epoll."""
        if connection.registered:
            self.epoll.unregister(connection.fd)
            connection.registered = False

    def close(self, connection: Connection) -> None:
        """Close our descriptor; the end of the connection, unless it was given away."""
        # Explicitly, since a child forked by some library may hold a duplicate, and epoll would fire for ever.
        self.unregister(connection)
        connection.enter(State.CLOSED)
        self._deadlines.drop(connection)
        connection.socket.close()
        del self.table[connection.fd]

    def hasten(self, idle_s: float) -> None:
        """From now on close idle connections after ``idle_s`` seconds of silence, those that are idle now too."""
        self.idle_s = idle_s
        for connection in self.table.values():
            if connection.state is State.IDLE:
                self._deadlines.put(connection, self.now() + idle_s)

    def read(self, connection: Connection) -> None:
        """Read what has arrived on a connection of the loop and go on with it."""
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            self.register(connection)
            return
        except OSError:
            data = b""
        if not data:
            self.close(connection)
            return
        connection.fresh = False
        connection.buffer += data
        self._advance(connection)

    def _on_connection(self, connection: Connection) -> None:
        if connection.state is State.BUSY:
            self.unregister(connection)
        elif connection.state is State.CLOSING:
            self._swallow(connection)
        else:
            self.read(connection)

    def _advance(self, connection: Connection) -> None:
        """Go as far as the bytes at hand allow."""
        buffer = connection.buffer
        if connection.state is State.IDLE:
            _skip_empty_line(buffer)
        try:
            end = head_end(buffer, connection.searched)
            if end < 0:
                connection.searched = len(buffer)
                check_partial(buffer, self._limits)
            else:
                connection.head = parse_head(bytes(buffer[:end]), self._limits)
        except HTTPError as error:
            self._refuse(connection, error.status, error.reason)
            return
        if end < 0:
            if connection.state is State.IDLE and not EMPTY_LINE.startswith(buffer):
                connection.enter(State.READING)
                self._deadlines.put(connection, self.now() + self._header_s)
            self.register(connection)
            return
        del buffer[:end]
        connection.searched = 0
        connection.enter(State.BUSY)
        self._deadlines.put(connection, math.inf)
        self.pool.submit(connection)

    def _take_back(self) -> None:
        for connection in self.pool.returned():
            outcome, head, body = connection.outcome, connection.head, connection.body
            assert outcome is not None and head is not None
            connection.outcome = connection.head = connection.body = None
            self.tally.answered(outcome.status)
            connection.requests += 1
            connection.hops = 0
            if outcome.keep:
                connection.enter(State.IDLE)
                _skip_empty_line(connection.buffer)
                self._deadlines.put(connection, self.now() + (self._header_s if connection.buffer else self.idle_s))
                if not self.give(connection):
                    self.welcome(connection)
            elif head.keep_alive or connection.buffer or body is None or not body.finished:
                self._close_gently(connection)
            else:
                self.close(connection)

    def _refuse(self, connection: Connection, status: int, reason: str) -> None:
        """Answer what is no request, and close."""
        log.debug("refused a request from %s: %d %s", connection.peer or "a Unix socket", status, reason)
        self.tally.answered(status)
        with contextlib.suppress(OSError):  # gone, or it reads nothing: then it does without
            connection.socket.send(simple_response(status, reason))
        self._close_gently(connection)

    def _close_gently(self, connection: Connection) -> None:
        """Close, but not before the client has had time to read: closing over unread bytes is a reset (RFC 9112, 9.6)."""
        connection.buffer.clear()
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(connection)
            return
        connection.enter(State.CLOSING)
        self._deadlines.put(connection, self.now() + CLOSING_S)
        self.register(connection)

    def _swallow(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        connection.swallowed_bytes += len(data)
        if not data or connection.swallowed_bytes > CLOSING_MAX_BYTES:
            self.close(connection)

    def _expire(self, connection: Connection) -> None:
        before = connection.state
        if before is State.BUSY:
            return
        if before is not State.CLOSING:
            self.read(connection)  # what came at the last moment counts
        if connection.state is before:
            if before is State.READING:
                self._refuse(connection, 408, "the request head took too long")
            else:
                self.close(connection)


def _skip_empty_line(buffer: bytearray) -> None:
    """Old clients send one behind the body of a POST (RFC 9112, 2.2). It is not yet a request, and no deadline follows from it."""
    if buffer == EMPTY_LINE:
        buffer.clear()
