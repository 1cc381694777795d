"""In the worker: one client connection, and how the thread that owns it reads and writes it.

A connection has exactly one owner. The loop owns it while it is ``IDLE``, ``READING``,
``COLLECTING``, ``WRITING`` or ``CLOSING``; the thread that answers owns it while it is
``BUSY``. Only the owner touches socket and buffer. The thread that finishes sets
``outcome``; if it does not lead it hands the connection back (``threads.py``).
"""

from __future__ import annotations

import contextlib
import enum
import errno
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from releve.config.settings.timeouts import Timeouts
from releve.server.http.body import ClientGone, ClientTooSlow, Input
from releve.server.http.fasthead import Usual
from releve.server.http.forwarded import Trust
from releve.server.http.head import Head, Partial
from releve.server.http.shape import Shape, known_shapes
from releve.server.shared import system
from releve.server.shared.native import os, select, socket, time
from releve.server.wsgi.call import Call
from releve.server.wsgi.environ import base_environ, split_peer
from releve.server.wsgi.outcome import Outcome

if TYPE_CHECKING:
    from releve.server.loop.collecting import Gathering

READ_BYTES = 16 * 1024
FILE_PART_BYTES = 256 * 1024  # of a file, before the loop looks at others
CLOSING_S = 2.0  # how long a client may go on sending after our last word
CLOSING_MAX_BYTES = 64 * 1024  # and how much
_PROGRESS_S = 5.0  # how often a blocked write looks whether the client took something

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


class Pace:
    """Whether a client keeps up: in every ``window_s`` that we spend waiting for it, it must move its share of
    bytes.
    """

    __slots__ = ("_min_bytes", "_moved_bytes", "_waited_s", "_window_s")

    def __init__(self, window_s: float, min_rate: int | None) -> None:
        """``min_rate`` is in bytes per second; ``None``: any pace will do."""
        self._window_s = window_s
        self._min_bytes = min_bytes(window_s, min_rate)
        self._waited_s = 0.0
        self._moved_bytes = 0

    def too_slow(self, waited_s: float, moved_bytes: int) -> bool:
        """We have waited, and so much has come of it."""
        self._waited_s += waited_s
        self._moved_bytes += moved_bytes
        if self._waited_s < self._window_s:
            return False
        slow = self._moved_bytes < self._min_bytes
        self._waited_s, self._moved_bytes = 0.0, 0
        return slow


def min_bytes(window_s: float, min_rate: int | None) -> int:
    """What a client has to move in a window."""
    return 0 if min_rate is None else max(1, int(min_rate * window_s))


class Rest:
    """The end of a response that its client has not taken: bytes, or a part of a file (owned)."""

    __slots__ = ("_count", "_data", "_file", "_offset")

    def __init__(self, data: memoryview | None = None, file: int = -1, offset: int = 0, count: int = 0) -> None:
        self._data = data
        self._file = os.dup(file) if file >= 0 else -1
        self._offset = offset
        self._count = count

    @property
    def left_bytes(self) -> int:
        """Bytes still to be sent."""
        return self._count if self._data is None else len(self._data)

    def send(self, sock: socket.socket) -> None:
        """Send what the client takes now.

        Raises BlockingIOError if that is nothing, OSError also where the file has become shorter.
        """
        if self._data is not None:
            self._data = self._data[sock.send(self._data) :]
            return
        sent = os.sendfile(sock.fileno(), self._file, self._offset, min(self._count, FILE_PART_BYTES))
        if sent == 0:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        self._offset += sent
        self._count -= sent

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class SocketChannel:
    """In the thread that answers: blocking reads and writes on a non-blocking socket (``channel.py`` has the
    contract).
    """

    __slots__ = ("_before_blocking", "_read_pace", "_socket", "_write_pace", "_write_s", "moved_at", "unsent")

    def __init__(
        self, sock: socket.socket, timeouts: Timeouts, before_blocking: Callable[[], None] = lambda: None
    ) -> None:
        """``before_blocking`` is called whenever the thread is about to wait for the client."""
        self.unsent: Rest | None = None  # what `finish` left
        # monotonic: when the application last took or gave a byte, as far as that went through here
        self.moved_at = 0.0
        self._socket = sock
        self._write_s = timeouts.write
        self._read_pace = Pace(timeouts.body, timeouts.min_rate)
        self._write_pace = Pace(timeouts.write, timeouts.min_rate)
        self._before_blocking = before_blocking

    def read(self, limit: int, timeout_s: float) -> bytes:
        """Up to ``limit`` bytes, ``b""`` at the end. Raises TimeoutError, ConnectionError."""
        began = time.monotonic()
        waited_s = 0.0
        while True:
            try:
                data = self._socket.recv(limit)
            except BlockingIOError:
                self._before_blocking()
                if waited_s >= timeout_s or not _wait(self._socket, select.POLLIN, timeout_s - waited_s):
                    raise TimeoutError("the client sent nothing in time") from None
                waited_s = time.monotonic() - began
                continue
            if self._read_pace.too_slow(waited_s, len(data)):
                raise TimeoutError("the client sends too slowly")
            self.moved_at = began + waited_s
            return data

    def finish(self, data: bytes | memoryview) -> None:
        """Send the last bytes of a response; what the client does not take at once is left in ``unsent``.

        Raises ClientGone.
        """
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise _gone(error) from error
        if sent < len(data):
            self.unsent = Rest(memoryview(data)[sent:])

    def finish_file(self, file: int, offset: int, count: int) -> int:
        """Send the last part of a response from a file, likewise. Raises as ``sendfile``."""
        sent = 0
        while sent < count:
            try:
                number = os.sendfile(self._socket.fileno(), file, offset + sent, count - sent)
            except BlockingIOError:
                try:
                    self.unsent = Rest(file=file, offset=offset + sent, count=count - sent)
                except OSError as error:  # no descriptor is free
                    if sent:
                        raise _gone(error) from error
                    raise
                return count
            except OSError as error:
                if isinstance(error, ConnectionError) or sent:
                    raise _gone(error) from error
                raise
            if number == 0:
                break
            sent += number
        return sent

    def write(self, data: bytes | memoryview) -> None:
        """Send all of it. Raises ClientGone, ClientTooSlow."""
        view = memoryview(data).cast("B")
        self.moved_at = time.monotonic()
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                self._wait_until_taken()
            except OSError as error:
                raise _gone(error) from error

    def _wait_until_taken(self) -> None:
        # The kernel reports "writable" only when a third of its buffer is free, which a slow client may
        # need minutes for: a shrinking send queue is progress too.
        self._before_blocking()
        began = at = time.monotonic()
        queued = unsent_bytes(self._socket)
        writable = False
        while not writable:
            writable = _wait(self._socket, select.POLLOUT, min(_PROGRESS_S, max(0.0, began + self._write_s - at)))
            now, left = time.monotonic(), unsent_bytes(self._socket)
            if self._write_pace.too_slow(now - at, max(0, queued - left)):
                raise ClientTooSlow("cannot send the response: the client takes it too slowly")
            if left < queued:
                began = now
            elif not writable and now >= began + self._write_s:
                raise ClientTooSlow("cannot send the response: the client takes nothing")
            at, queued = now, left
        self.moved_at = at


def _gone(error: OSError) -> ClientGone:
    return ClientGone(f"cannot send the response: {error.strerror or error}")


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
