"""In the worker: one client connection, and how the thread that owns it reads and writes it.

A connection has exactly one owner. The loop owns it while it is ``IDLE``,
``READING``, ``WRITING`` or ``CLOSING``; the thread that answers owns it while it is
``BUSY``. Only the owner touches socket and buffer. The thread that finishes sets
``outcome``; if it does not lead it hands the connection back (``lead.py``).
"""

from __future__ import annotations

import contextlib
import enum
import math
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from releve.config.settings import Timeouts
from releve.server import system
from releve.server.body import ClientGone, ClientTooSlow, Input
from releve.server.call import Call, Outcome
from releve.server.environ import base_environ, split_peer
from releve.server.fasthead import Usual
from releve.server.head import Head
from releve.server.shape import Shape

READ_BYTES = 16 * 1024
CLOSING_S = 2.0  # how long a client may go on sending after our last word
CLOSING_MAX_BYTES = 64 * 1024  # and how much
_PROGRESS_S = 5.0  # how often a blocked write looks whether the client took something


class State(enum.Enum):
    """Who owns the connection, and for what."""

    IDLE = "idle"  # no byte of a next request yet
    READING = "reading"  # a part of its head
    BUSY = "busy"  # owned by a thread
    WRITING = "writing"  # answered; the client has not taken the end of the response yet
    CLOSING = "closing"  # answered for the last time; what the client still sends is dropped, so that our answer arrives
    CLOSED = "closed"


# state -> those it may change to
TRANSITIONS = {
    State.IDLE: {State.READING, State.BUSY, State.CLOSING, State.CLOSED},
    State.READING: {State.BUSY, State.CLOSING, State.CLOSED},
    State.BUSY: {State.IDLE, State.WRITING, State.CLOSING, State.CLOSED},
    State.WRITING: {State.IDLE, State.CLOSING, State.CLOSED},
    State.CLOSING: {State.CLOSED},
    State.CLOSED: set[State](),
}


class Connection:
    """One client connection. Owns its socket."""

    multithread = True  # of this worker: whether calls run in several threads

    __slots__ = (
        "base",
        "body",
        "buffer",
        "call",
        "channel",
        "deadline",
        "environ",
        "events",
        "fd",
        "fresh",
        "head",
        "hops",
        "host",
        "keeps",
        "learned",
        "listener",
        "outcome",
        "peer",
        "polite",
        "port",
        "private",
        "queued_bytes",
        "registered",
        "requests",
        "searched",
        "shape",
        "socket",
        "state",
        "swallowed_bytes",
        "tick",
    )

    def __init__(self, sock: socket.socket, listener: str, peer: str, *, private: bool = False) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):  # it has gone already; the first read tells
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.fd = sock.fileno()
        self.listener = listener
        self.peer = peer
        self.private = private  # brought by `serve`: served paused or not, never given away
        self.polite = False  # its next response says `Connection: close`
        self.state = State.IDLE
        self.registered = False  # in the loop's epoll
        self.events = 0  # what for
        self.buffer = bytearray()  # read, and not yet part of a request
        self.searched = 0  # bytes of the buffer in which no end of a head was found
        self.hops = 0  # times it was handed over since its last request
        self.requests = 0  # answered on it, by all its workers
        self.fresh = True  # no byte was read on it yet
        self.swallowed_bytes = 0  # read and dropped while closing
        self.queued_bytes = 0  # in the kernel's send queue when its write deadline was set
        self.deadline = math.inf
        self.tick = -1
        # Made at the first request:
        self.base: dict[str, Any] | None = None  # of its environs; shared with others, never changed
        self.host = self.port = ""  # of the peer
        self.channel: SocketChannel | None = None
        self.keeps: Callable[[], bool] = _never  # asked when the head of a response is made
        self.shape: Shape | None = None
        self.learned = 0  # requests that had another shape than the one before
        self.head: Head | Usual | None = None
        self.environ: dict[str, Any] | None = None  # of a usual request, its body included
        self.body: Input | None = None
        self.call: Call | None = None  # while the application has it
        self.outcome: Outcome | None = None

    def enter(self, state: State) -> None:
        """Change the state. Raises ValueError, and changes nothing, if it cannot become that."""
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"a connection that is {self.state.value} cannot become {state.value}")
        self.state = state

    def base_environ(self) -> dict[str, Any]:
        """The part of the environ that requests to the same address of ours share; the peer is not in it."""
        if self.base is None:
            local = self.socket.getsockname()
            key = (self.listener, local, self.private)
            base = _bases.get(key)
            if base is None:
                if len(_bases) >= BASES_MAX:
                    _bases.clear()
                base = _bases[key] = base_environ(self.listener, local, multithread=Connection.multithread, private=self.private)
            self.base = base
            self.host, self.port = split_peer(self.peer)
        return self.base


BASES_MAX = 64
_bases: dict[tuple[str, Any, bool], dict[str, Any]] = {}


def _never() -> bool:
    return False


def peer_text(address: Any) -> str:
    """A peer as ``host:port`` (IPv6 in brackets); empty for Unix sockets."""
    if not isinstance(address, tuple):
        return ""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


class SocketChannel:
    """In the thread that answers: blocking reads and writes on a non-blocking socket (``channel.py`` has the contract)."""

    __slots__ = ("_before_blocking", "_socket", "_write_s", "unsent")

    def __init__(self, sock: socket.socket, timeouts: Timeouts, before_blocking: Callable[[], None] = lambda: None) -> None:
        """``before_blocking`` is called whenever the thread is about to wait for the client."""
        self.unsent: memoryview | None = None  # what `finish` left
        self._socket = sock
        self._write_s = timeouts.write
        self._before_blocking = before_blocking

    def read(self, limit: int, timeout_s: float) -> bytes:
        """Up to ``limit`` bytes, ``b""`` at the end. Raises TimeoutError, ConnectionError."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self._socket.recv(limit)
            except BlockingIOError:
                self._before_blocking()
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not _wait(self._socket, select.POLLIN, left_s):
                    raise TimeoutError("the client sent nothing in time") from None

    def finish(self, data: bytes | memoryview) -> None:
        """Send the last bytes of a response; what the client does not take at once is left in ``unsent``. Raises ClientGone."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientGone(f"cannot send the response: {error.strerror or error}") from error
        if sent < len(data):
            self.unsent = memoryview(data)[sent:]

    def write(self, data: bytes | memoryview) -> None:
        """Send all of it. Raises ClientGone, ClientTooSlow."""
        view = memoryview(data).cast("B")
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                self._wait_until_taken()
            except OSError as error:
                raise ClientGone(f"cannot send the response: {error.strerror or error}") from error

    def sendfile(self, file: int, offset: int, count: int) -> int:
        """Send a part of a file; fewer than ``count`` bytes where it ends. Raises as ``write``, other OSErrors before the first byte."""
        sent = 0
        while sent < count:
            try:
                number = os.sendfile(self._socket.fileno(), file, offset + sent, count - sent)
            except BlockingIOError:
                self._wait_until_taken()
                continue
            except OSError as error:
                if isinstance(error, ConnectionError) or sent:
                    raise ClientGone(f"cannot send the response: {error.strerror or error}") from error
                raise
            if number == 0:
                break
            sent += number
        return sent

    def _wait_until_taken(self) -> None:
        # The kernel reports "writable" only when a third of its buffer is free, which a slow client may
        # need minutes for: a shrinking send queue is progress too.
        self._before_blocking()
        deadline = time.monotonic() + self._write_s
        queued = unsent_bytes(self._socket)
        while not _wait(self._socket, select.POLLOUT, min(_PROGRESS_S, max(0.0, deadline - time.monotonic()))):
            left = unsent_bytes(self._socket)
            if left < queued:
                queued, deadline = left, time.monotonic() + self._write_s
            elif time.monotonic() >= deadline:
                raise ClientTooSlow("cannot send the response: the client takes nothing")


def unsent_bytes(sock: socket.socket) -> int:
    """Bytes sent that the client has not acknowledged yet; 0 if nobody can tell."""
    try:
        return system.unsent_bytes(sock)
    except OSError:
        return 0


def _wait(sock: socket.socket, event: int, timeout_s: float) -> bool:
    """Whether something happened on the socket in time; errors and hang-ups are events too."""
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(math.ceil(timeout_s * 1000)))
