"""In the worker: one client connection.

A connection has exactly one owner. The loop owns it while it is ``IDLE``, ``READING``,
``COLLECTING``, ``WRITING`` or ``CLOSING``; the thread that answers owns it while it is
``BUSY``. Only the owner touches socket and buffer. The thread that finishes sets
``outcome``; if it does not lead it hands the connection back (``threads.py``).
"""

from __future__ import annotations

import contextlib
import enum
import math
from collections.abc import Callable, Iterable
from typing import Any

from releve.server.http.body import Input
from releve.server.http.fasthead import Usual
from releve.server.http.forwarded import Trust
from releve.server.http.head import Head, Partial
from releve.server.http.shape import Shape, known_shapes
from releve.server.loop.gathering import Gathering
from releve.server.loop.socket_channel import SocketChannel
from releve.server.shared.native import socket
from releve.server.wsgi.call import Call
from releve.server.wsgi.environ import base_environ, split_peer
from releve.server.wsgi.outcome import Outcome

READ_BYTES = 16 * 1024
CLOSING_S = 2.0  # how long a client may go on sending after our last word
CLOSING_MAX_BYTES = 64 * 1024  # and how much
REST_MAX_BYTES = 8 * 1024  # a longer beginning of a request is served where it is, and does not change hands


class State(enum.Enum):
    """Who owns the connection, and for what."""

    IDLE = "idle"  # no byte of a next request yet
    READING = "reading"  # a part of its head
    BUSY = "busy"  # owned by a thread
    COLLECTING = "collecting"  # its head is read; its body waits for a thread, which may not wait for it
    WRITING = "writing"  # answered; the client has not taken the end of the response yet
    # answered for the last time; what the client still sends is dropped, so that our answer arrives
    CLOSING = "closing"
    CLOSED = "closed"


# state -> those it may change to
TRANSITIONS = {
    State.IDLE: {State.READING, State.COLLECTING, State.BUSY, State.CLOSING, State.CLOSED},
    State.READING: {State.COLLECTING, State.BUSY, State.CLOSING, State.CLOSED},
    State.COLLECTING: {State.BUSY, State.CLOSING, State.CLOSED},
    State.BUSY: {State.IDLE, State.WRITING, State.CLOSING, State.CLOSED},
    State.WRITING: {State.IDLE, State.CLOSING, State.CLOSED},
    State.CLOSING: {State.CLOSED},
    State.CLOSED: set[State](),
}


class Connection:
    """One client connection. Owns its socket."""

    multithread = True  # of this worker: whether calls run in several threads
    trusted = Trust(())  # of this worker: the peers whose word is believed

    __slots__ = (
        "anonymous",
        "awaits",
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
        "gathering",
        "head",
        "hops",
        "host",
        "keeps",
        "learned",
        "listener",
        "mark",
        "outcome",
        "owes_preface",
        "peer",
        "polite",
        "port",
        "private",
        "paced_bytes",
        "partial",
        "queued",
        "received",
        "registered",
        "requests",
        "searched",
        "shape",
        "socket",
        "state",
        "took_s",
        "streams",
        "swallowed_bytes",
        "tick",
        "trust",
    )

    def __init__(self, sock: socket.socket, listener: str, peer: str, *, private: bool = False) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.took_s = 0.0  # its last request, in the application
        self.listener = listener
        self.peer = peer
        self.private = private  # brought by `serve`: served paused or not, never given away
        self.polite = False  # its next response says `Connection: close`
        self.owes_preface = False  # it begins with a header of the PROXY protocol, which was not read yet
        self.anonymous = False  # that header named no client: nothing is believed of it
        # BUSY: a call in the loop's own thread hears what epoll says of the socket; None: nobody waits for that
        self.awaits: Callable[[int], None] | None = None
        self.state = State.IDLE
        self.registered = False  # in the loop's epoll
        self.events = 0  # what for
        self.buffer = bytearray()  # read, and not yet part of a request
        self.searched = 0  # bytes of the buffer in which no end of a head was found
        self.partial: Partial | None = None  # what was seen of that head
        self.queued = False  # its next request is at hand, and others have their turn first
        self.hops = 0  # times it was handed over since its last request
        self.received = False  # another generation has sent it, and its last close may wait (`closing.py`)
        self.requests = 0  # answered on it, by all its workers
        self.fresh = True  # no byte was read on it yet
        self.swallowed_bytes = 0  # read and dropped while closing
        self.paced_bytes = 0  # that were still to be taken, or had come of a body, when its deadline was set
        self.gathering: Gathering | None = None  # of a body that was not complete when its head was read
        self.streams = False  # its body was not complete when a thread got it
        self.deadline = math.inf
        self.tick = -1
        # Made at the first request:
        self.base: dict[str, Any] | None = None  # of its environs; shared with others, never changed
        self.host = self.port = ""  # of the peer
        self.mark = b""  # the peer, as the scoreboard shows it
        self.trust: Trust | None = None  # whom to believe further, if the peer is believed
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

    def receive(self, limit: int) -> bytes | None:
        """In the leader, beside the request path: what has come; empty where nothing more will, None where
        nothing has.
        """
        try:
            return self.socket.recv(limit)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def has_more(self) -> bool:
        """In the thread that answers: whether the client has sent something behind the request."""
        if self.buffer or (self.body is not None and self.body.rest):
            return True
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def base_environ(self) -> dict[str, Any]:
        """The part of the environ that requests to the same address of ours share; the peer is not in it."""
        if self.base is None:
            local = self.socket.getsockname()
            key = (self.listener, local)
            base = _bases.get(key)
            if base is None:
                if len(_bases) >= BASES_MAX:
                    _bases.clear()
                base = _bases[key] = base_environ(
                    self.listener, local, multithread=Connection.multithread, multiprocess=_multiprocess
                )
            self.base = base
            self.host, self.port = split_peer(self.peer)
            self.mark = self.peer.encode("latin-1", "replace")
            if self.private or (self.host in Connection.trusted and not self.anonymous):
                self.trust = Connection.trusted
        return self.base


BASES_MAX = 64
_bases: dict[tuple[str, Any], dict[str, Any]] = {}
_multiprocess = True  # of this worker: whether others run the same application


def count_workers(workers: int, connections: Iterable[Connection] = ()) -> None:
    """In the loop: how many its generation has from now on, for the next requests of these connections and of
    new ones.
    """
    global _multiprocess
    if _multiprocess is not (workers > 1):
        _multiprocess = workers > 1
        bases = [*_bases.values(), *(one.base for one in connections if one.base is not None)]
        shapes = [*known_shapes(), *(one.shape for one in connections if one.shape is not None)]
        for environ in (*bases, *(shape.environ for shape in shapes)):
            environ["wsgi.multiprocess"] = _multiprocess


def _never() -> bool:
    return False


def prepare(sock: socket.socket) -> None:
    """Give a new connection the options that it keeps, whoever has it."""
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # it has gone already; the first read tells
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def peer_text(address: Any) -> str:
    """A peer as ``host:port`` (IPv6 in brackets); empty for Unix sockets."""
    if not isinstance(address, tuple):
        return ""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


def shown_peer(connection: Connection) -> bytes:
    """The peer, as the scoreboard shows it."""
    return connection.peer.encode("latin-1", "replace")


def shown_request(connection: Connection) -> bytes:
    """The request that a connection has brought, for the scoreboard."""
    head = connection.head
    return b"" if head is None else f"{head.method} {head.target}\r".encode("latin-1", "replace")


def shown_client(connection: Connection) -> bytes | None:
    """Who the client of a call is, by the application's environ: a trusted proxy names it there. None: the peer."""
    environ, call = connection.environ, connection.call  # in this order: it goes from the one to the other
    if call is not None:
        environ = call.environ
    address = None if environ is None else environ.get("REMOTE_ADDR")
    if not isinstance(address, str) or not address or address == connection.host:
        return None
    return address.encode("latin-1", "replace")
