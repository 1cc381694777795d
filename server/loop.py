"""In the worker: the loop. It owns epoll and the connection table, and every connection that no thread owns.

Only the leader (``lead.py``) is in here. It accepts (through ``doors.py``), reads
heads without ever blocking, calls the application inline, sends what a slow client
has not taken of a response, and keeps the deadlines. Level-triggered throughout:
a leader that loses the lead in a call drops the rest of its batch.

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
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from io import BytesIO
from typing import NoReturn

from releve.config.settings import Settings
from releve.server.answer import Answer
from releve.server.body import CONTINUE, Input
from releve.server.connection import CLOSING_MAX_BYTES, CLOSING_S, READ_BYTES, Connection, State, min_bytes, unsent_bytes
from releve.server.deadlines import Deadlines
from releve.server.environ import split_peer
from releve.server.fasthead import fast_environ, usual
from releve.server.fastpath import fast_path
from releve.server.head import END, HTTPError, check_partial, head_end, parse_head
from releve.server.lead import Lead
from releve.server.preface import PrefaceError, read_preface
from releve.server.proxy import concerns, introduce
from releve.server.response import simple_response
from releve.server.scoreboard import Tally
from releve.server.shape import LEARN_MAX, learn

EVENTS_MAX = 128  # of one turn
COLLECT_MAX_BYTES = 64 * 1024  # of a body, before the application has its request
EMPTY_LINE = b"\r\n"
OVERRUNS_LOOK_S = 1.0  # how often, where requests have a limit and some last
ACCESS_RETRY_S = 1.0  # how soon a slow reader of the access log is tried again
LINE_LOGGED = 1000  # bytes of a request line that was refused

# Looking a member up in its Enum costs more than all else in a comparison; these are used in every request.
_IDLE, _BUSY, _CLOSING, _WRITING, _COLLECTING = State.IDLE, State.BUSY, State.CLOSING, State.WRITING, State.COLLECTING

log = logging.getLogger("releve.worker")


class Loop:
    """One turn after the other, until ``stop``."""

    now = staticmethod(time.monotonic)

    def __init__(self, settings: Settings, answer: Answer, tally: Tally) -> None:
        """``answer`` runs in the leader or another thread, and sets the connection's ``outcome``."""
        self.lead = Lead(settings.threads, answer, self._run)
        self.table: dict[int, Connection] = {}  # by descriptor: every open connection of this worker
        self.intake = threading.RLock()  # held from the birth of a connection's descriptor until it is in the table; see worker.py
        self.epoll = select.epoll()
        self.idle_s = settings.timeouts.keepalive  # silence after which an idle connection is closed
        # While `giving`, asked when a connection has come back with its response sent; True: it was given away.
        self.giving = False
        self.give: Callable[[Connection], bool] = lambda connection: False
        self.after_turn: Callable[[], bool] = lambda: False  # True: there is more to do at once
        self._header_s = settings.timeouts.header
        self._limits = settings.limits
        self.tally = tally
        self.deadlines: Deadlines[Connection] = Deadlines()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self.ready: deque[Connection] = deque()  # BUSY, and not with a thread yet
        self.classes = [0] * 10  # answers since the last turn, by the first digit of their status
        self._hurry = False
        timeouts = settings.timeouts
        self._body_s, self._write_s = timeouts.body, timeouts.write
        self._body_min_bytes = max(1, min_bytes(timeouts.body, timeouts.min_rate))
        self._write_min_bytes = max(1, min_bytes(timeouts.write, timeouts.min_rate))
        self._streams = 0  # requests that went to a thread before their body was complete
        self._streams_max = settings.threads // 2
        self._full: deque[Connection] = deque()  # COLLECTING, with as much as is kept of a body
        self.ended: Callable[[], NoReturn] = lambda: os._exit(0)  # called in the leader after `stop`
        self.failed: Callable[[], NoReturn] = lambda: os._exit(70)  # the same, in an exception that nobody expected
        self._stopped = False
        self._request_s = timeouts.request
        self.overdue: Callable[[str], None] = lambda reason: None  # a request has lasted too long
        self.plain = False  # connections may be kept after their responses, and none is given away
        self._answer = answer
        self._access = answer.access
        self.serve = fast_path(self, answer)
        self.watch(self.lead.bell, self._take_back)

    # The turn

    def _run(self) -> None:
        """In the leader: turn until the lead is lost. Ends the process at ``stop``, and if anything is raised in here."""
        try:
            self._post()  # a call has begun to last
            while self._turn():
                self._hurry = self.after_turn()
                self._post()
                if self._stopped:
                    self.ended()
        except BaseException:
            self.failed()

    def _post(self) -> None:
        """Onto the scoreboard: once a turn, not once a request."""
        self.tally.beat()
        self.tally.put("connections", len(self.table))
        self.tally.put("busy", min(self.lead.busy, self.lead.threads))
        for index, number in enumerate(self.classes):
            if number:
                self.tally.answered(index, number)
                self.classes[index] = 0

    def disown(self) -> None:
        """In a child that the application forked: close what is ours; the connections and the wake-up too."""
        self.epoll.close()
        for connection in list(self.table.values()):
            connection.socket.close()
        self.lead.forked = True
        os.close(self.lead.bell)

    def stop(self) -> None:
        """End after this turn."""
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

    def _turn(self) -> bool:
        """Serve one batch of events. False: the lead was lost in a call, the rest of the batch is the next leader's."""
        table_get = self.table.get
        ready = self.ready
        access = self._access
        events = self.epoll.poll(0.0 if self._hurry or ready or (access is not None and access.lines) else self._wait_s(), EVENTS_MAX)
        if access is not None and (access.full or (not events and access.pending)):
            access.flush()
        for fd, _ in events:
            connection = table_get(fd)
            if connection is None:
                if fd in self._handlers:
                    self._handlers[fd]()
                continue
            if connection.state is _IDLE and connection.shape is not None and not connection.buffer:
                if not self.serve(connection):
                    self._hurry = True  # the next leader does what is due after this turn
                    return False
            else:
                self._on_connection(connection)
            while ready:  # at most one, but for those that came in through a door
                if not self._dispatch(ready.popleft()):
                    return False
        now = self.now()
        for connection in self.deadlines.due(now):
            self._expire(connection)
        if self._request_s is not None and self.lead.overruns:
            self._look_at_overruns(now, self._request_s)
        for name, (due, action) in list(self._timers.items()):
            if due <= now and self._timers.get(name) == (due, action):  # not cancelled by another one just now
                del self._timers[name]
                action()
        while ready:
            if not self._dispatch(ready.popleft()):
                return False
        return True

    def _dispatch(self, connection: Connection) -> bool:
        """Have a request answered: here, if a thread is free. False: the lead was lost in it."""
        lead = self.lead
        if not lead.open and lead.queue(connection):
            return True
        if not lead.call(connection):
            self._hurry = True  # the next leader does what is due after this turn
            return False
        lead.answered += 1
        self.settle(connection)
        return True

    def _wait_s(self) -> float | None:
        now = self.now()
        waits = [max(0.0, due - now) for due, _ in self._timers.values()]
        first = self.deadlines.wait_s(now)
        if first is not None:
            waits.append(first)
        if self._access is not None and self._access.kept:
            waits.append(ACCESS_RETRY_S)
        if self._request_s is not None and self.lead.overruns:
            waits.append(min(self._request_s, OVERRUNS_LOOK_S))
        return min(waits) if waits else None

    def _look_at_overruns(self, now: float, limit_s: float) -> None:
        """Show where a request is that has moved nothing for too long; once."""
        for connection, overrun in list(self.lead.overruns.items()):
            call, channel = connection.call, connection.channel
            if call is None or call.shown or now - max(overrun.since, channel.moved_at if channel is not None else 0.0) < limit_s:
                continue
            call.shown = True
            frame = sys._current_frames().get(overrun.thread)
            stack = "".join(traceback.format_stack(frame)) if frame is not None else "(its thread has ended)"
            text = f"{call.request()}: the application neither took nor gave a byte for {limit_s:g} s (timeouts.request); it is in:"
            log.handle(log.makeRecord(log.name, logging.WARNING, __file__, 0, text, (), None, sinfo=stack.rstrip()))
            self.overdue(f"had a request that lasted longer than {limit_s:g} s (timeouts.request)")

    # The life of a connection

    def adopt(self, connection: Connection, deadline: float | None = None) -> None:
        """Enter a new connection in the table; ``welcome`` or ``read`` it next, or give it away."""
        self.table[connection.fd] = connection
        self.deadlines.put(connection, self.now() + self.idle_s if deadline is None else deadline)

    def welcome(self, connection: Connection) -> None:
        """Serve a connection of the loop: what it has brought already, or what comes."""
        if connection.buffer:
            self._advance(connection)
        else:
            self.register(connection)

    def register(self, connection: Connection, events: int = select.EPOLLIN) -> None:
        """Into epoll, for these events."""
        if not connection.registered:
            self.epoll.register(connection.fd, events)
            connection.registered = True
        elif connection.events != events:
            self.epoll.modify(connection.fd, events)
        connection.events = events

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
        self.deadlines.drop(connection)
        if connection.channel is not None and connection.channel.unsent is not None:
            connection.channel.unsent.close()
        connection.socket.close()
        del self.table[connection.fd]

    def hasten(self, idle_s: float) -> None:
        """From now on close idle connections after ``idle_s`` seconds of silence, those that are idle now too."""
        self.idle_s = idle_s
        for connection in self.table.values():
            if connection.state is _IDLE:
                self.deadlines.put(connection, self.now() + idle_s)

    def read(self, connection: Connection) -> None:
        """Read what has arrived on a connection of the loop and go on with it."""
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            self.register(connection)
            return
        except OSError:
            data = b""
        self.received(connection, data)

    def received(self, connection: Connection, data: bytes) -> None:
        """Go on with what was read on a connection of the loop; nothing: the client has closed it."""
        if not data:
            self.close(connection)
            return
        connection.fresh = False
        if connection.buffer or connection.private or connection.owes_preface or not self._usual(connection, data):
            connection.buffer += data
            self._advance(connection)

    def _take_preface(self, connection: Connection) -> bool:
        """Read who the client is, as the proxy says; nothing else may stand there. False: it is not whole yet, or refused."""
        buffer = connection.buffer
        try:
            if split_peer(connection.peer)[0] not in Connection.trusted:
                raise PrefaceError("it is none of proxy.trusted, which alone may connect while proxy.protocol is on")
            preface = read_preface(buffer)
        except PrefaceError as error:
            log.warning("refused a connection from %s: %s", connection.peer or "a Unix socket", error)
            self.close(connection)  # not by an answer: who does not speak the protocol gets nothing to read
            return False
        if preface is None:
            if not connection.searched:
                self.deadlines.put(connection, self.now() + self._header_s)
            connection.searched = len(buffer)
            self.register(connection)
            return False
        del buffer[: preface.length_bytes]
        connection.searched = 0
        connection.owes_preface = False
        connection.peer = preface.source or connection.peer
        connection.anonymous = not preface.source and not preface.local
        self.deadlines.put(connection, self.now() + self.idle_s)
        if not buffer:
            self.register(connection)
            return False
        return True

    def _usual(self, connection: Connection, data: bytes) -> bool:
        """Make a plain, complete request ready, its body included. False: nothing was done, the strict parser reads it."""
        end = data.find(END) + len(END)
        if end < len(END):
            return False
        base = connection.base or connection.base_environ()
        environ = fast_environ(data, end, base, self._limits)
        if environ is None:
            return False
        head = usual(environ)
        if head is None:
            return False
        whole = end
        length = environ.get("CONTENT_LENGTH")
        if length is not None:
            whole += int(length)
            if whole > len(data) or (self._limits.body is not None and int(length) > self._limits.body):
                return False
        elif whole == len(data) and connection.learned < LEARN_MAX and not connection.polite and head.keep_alive:
            connection.learned += 1
            connection.shape = learn(data.decode("latin-1"), environ, base, connection.shape, self._limits)
            if connection.shape is None:
                connection.learned = LEARN_MAX  # it does not repeat itself
            elif connection.channel is None:
                self._answer.prepare(connection)
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = connection.host, connection.port
        environ["wsgi.input"] = BytesIO(data[end:whole])
        if concerns(environ):
            introduce(environ, connection.trust)
        connection.head = head
        connection.environ = environ
        if whole < len(data):
            connection.buffer += data[whole:]
        connection.state = _BUSY  # not by `enter`: IDLE and READING may become that, and this is the way of every other request
        self.ready.append(connection)
        return True

    def _on_connection(self, connection: Connection) -> None:
        if connection.state is _IDLE:
            self.read(connection)
        elif connection.state is _BUSY:
            self.unregister(connection)
        elif connection.state is _CLOSING:
            self._swallow(connection)
        elif connection.state is _WRITING:
            self._write(connection)
        elif connection.state is _COLLECTING:
            self._gather(connection)
        else:
            self.read(connection)

    def _advance(self, connection: Connection) -> None:
        """Go as far as the bytes at hand allow."""
        buffer = connection.buffer
        if connection.owes_preface and not self._take_preface(connection):
            return
        if buffer.startswith(EMPTY_LINE):
            _skip_empty_lines(buffer)
            connection.searched = 0
        try:
            end = head_end(buffer, connection.searched)
            if end < 0:
                connection.searched = len(buffer)
                check_partial(buffer, self._limits)
            else:
                connection.head = head = parse_head(bytes(buffer[:end]), self._limits)
        except HTTPError as error:
            self._refuse(connection, error.status, error.reason)
            return
        if end < 0:
            if connection.state is _IDLE and not EMPTY_LINE.startswith(buffer):
                connection.enter(State.READING)
                self.deadlines.put(connection, self.now() + self._header_s)
            self.register(connection)
            return
        del buffer[:end]
        connection.searched = 0
        self._collect(connection, self._answer.open_body(connection, head))

    def _collect(self, connection: Connection, body: Input) -> None:
        """Give a request to the threads, or wait for its body first.

        A thread that waits for a client does nothing else, so at most half of them may: only so many requests go to the
        application before their bodies are complete. What the others bring is kept here, up to a limit.
        """
        full = body.held_bytes >= COLLECT_MAX_BYTES
        complete = body.finished or body.failure is not None
        if complete or self._streams < (max(1, self._streams_max) if full else self._streams_max):
            connection.streams = not complete
            self._streams += not complete
            connection.enter(_BUSY)
            self.deadlines.put(connection, math.inf)
            self.ready.append(connection)
            return
        if connection.state is not _COLLECTING:
            connection.enter(_COLLECTING)
            connection.paced_bytes = 0
            self.deadlines.put(connection, self.now() + self._body_s)
        if full:
            self.unregister(connection)
            self.deadlines.put(connection, math.inf)  # it waits for us, not we for it
            self._full.append(connection)
            return
        self.register(connection)
        if body.asked():
            with contextlib.suppress(OSError):  # gone, or it reads nothing: then it does without
                connection.socket.send(CONTINUE)

    def _gather(self, connection: Connection) -> None:
        """More of a body that is kept here."""
        body = connection.body
        assert body is not None
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(connection)  # in the middle of its request
            return
        connection.paced_bytes += len(data)
        body.take(data)
        self._collect(connection, body)

    def _take_back(self) -> None:
        for connection in self.lead.returned():
            self.settle(connection)

    def settle(self, connection: Connection) -> None:
        """A request was answered; its connection is the loop's again."""
        outcome, channel = connection.outcome, connection.channel
        assert outcome is not None and channel is not None
        self.classes[outcome.status // 100] += 1
        connection.requests += 1
        connection.hops = 0
        if connection.body is not None:
            connection.buffer += connection.body.rest
        if connection.streams:
            connection.streams = False
            self._streams -= 1
            self._refill()
        if channel.unsent is not None:
            connection.enter(_WRITING)
            self._await_write(connection)
        else:
            self._answered(connection)

    def _answered(self, connection: Connection) -> None:
        """The response has left: keep the connection, or close it."""
        outcome, head, body = connection.outcome, connection.head, connection.body
        assert outcome is not None and head is not None
        connection.outcome = connection.head = connection.body = None
        if outcome.keep:
            connection.state = _IDLE  # BUSY and WRITING may become that
            if connection.buffer:
                _skip_empty_lines(connection.buffer)
            deadline = self.now() + (self._header_s if connection.buffer else self.idle_s)
            if connection.tick >= 0 and connection.deadline <= deadline:
                connection.deadline = deadline  # its bucket is early enough: all that `put` would do
            else:
                self.deadlines.put(connection, deadline)
            if self.giving and self.give(connection):
                return
            if connection.buffer:
                self._advance(connection)
            elif not connection.registered or connection.events != select.EPOLLIN:
                self.register(connection)
        elif head.keep_alive or connection.buffer or (body is not None and not body.finished):
            self._close_gently(connection)
        else:
            self.close(connection)

    def _refill(self) -> None:
        """A thread has come back from a client: those that wait with as much as we keep of a body go on."""
        waiting = list(self._full)
        self._full.clear()
        for connection in waiting:
            if connection.state is _COLLECTING and connection.body is not None:
                self._collect(connection, connection.body)

    def _write(self, connection: Connection) -> None:
        """Send more of a response that its client takes slowly."""
        channel = connection.channel
        assert channel is not None and channel.unsent is not None
        try:
            channel.unsent.send(connection.socket)
        except BlockingIOError:
            return
        except OSError:
            self.close(connection)
            return
        if not channel.unsent.left_bytes:
            channel.unsent.close()
            channel.unsent = None
            self._answered(connection)

    def _await_write(self, connection: Connection) -> None:
        connection.paced_bytes = _untaken_bytes(connection)
        self.register(connection, select.EPOLLOUT)
        self.deadlines.put(connection, self.now() + self._write_s)

    def _refuse(self, connection: Connection, status: int, reason: str) -> None:
        """Answer what is no request, and close."""
        log.debug("refused a request from %s: %d %s", connection.peer or "a Unix socket", status, reason)
        self.classes[status // 100] += 1
        if self._access is not None:
            self._access.refuse(connection.peer, status, request_line=_first_line(connection.buffer))
        with contextlib.suppress(OSError):  # gone, or it reads nothing: then it does without
            method = connection.head.method if connection.head is not None else "HEAD" * connection.buffer.startswith(b"HEAD ")
            connection.socket.send(simple_response(status, reason, head=method == "HEAD"))
        self._close_gently(connection)

    def _close_gently(self, connection: Connection) -> None:
        """Close, but not before the client has had time to read: closing over unread bytes is a reset (RFC 9112, 9.6)."""
        connection.buffer.clear()
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(connection)
            return
        connection.enter(_CLOSING)
        self.deadlines.put(connection, self.now() + CLOSING_S)
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
        if before is _BUSY:
            return
        if before is _WRITING:
            # The kernel reports "writable" only when a third of its buffer is free: a shrinking send queue is progress too.
            if connection.paced_bytes - _untaken_bytes(connection) >= self._write_min_bytes:
                self._await_write(connection)
            else:
                self.close(connection)
            return
        if before is _COLLECTING:
            self._gather(connection)
            if connection.state is before:
                if connection.paced_bytes < self._body_min_bytes:
                    self._refuse(connection, 408, "the request body does not arrive")
                elif connection.registered:
                    connection.paced_bytes = 0
                    self.deadlines.put(connection, self.now() + self._body_s)
            return
        if before is not _CLOSING:
            self.read(connection)  # what came at the last moment counts
        if connection.state is before:
            if before is State.READING:
                self._refuse(connection, 408, "the request head took too long")
            else:
                self.close(connection)


def _untaken_bytes(connection: Connection) -> int:
    """What a client has still to take of its response."""
    rest = connection.channel.unsent if connection.channel is not None else None
    return unsent_bytes(connection.socket) + (rest.left_bytes if rest is not None else 0)


def _first_line(buffer: bytearray) -> str:
    """What is known of a request line, for the access log."""
    return bytes(buffer[:LINE_LOGGED]).lstrip(EMPTY_LINE).split(EMPTY_LINE, 1)[0].decode("latin-1") or "-"


def _skip_empty_lines(buffer: bytearray) -> None:
    """Old clients send one behind the body of a POST (RFC 9112, 2.2). It is not yet a request, and no deadline follows from it."""
    while buffer.startswith(EMPTY_LINE):
        del buffer[: len(EMPTY_LINE)]
