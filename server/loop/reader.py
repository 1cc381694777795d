"""In the leader: from the bytes of a connection to a request that a thread can answer. It never waits for a client.

Usual requests are read by ``fasthead.py``, all others by ``head.py``, which is strict and has the last word. A body
that is not complete is a matter of ``collecting.py``.
"""

from __future__ import annotations

import logging
from io import BytesIO
from typing import Any

from releve.config.settings.limits import Limits
from releve.server.http.fasthead import Usual, fast_environ, usual
from releve.server.http.forwarded import concerns, introduce
from releve.server.http.head import EMPTY_LINE, END, HTTPError, Partial, head_end, parse_head, skip_empty_lines
from releve.server.http.proxy_protocol import PrefaceError, read_preface
from releve.server.http.shape import LEARN_MAX, learn
from releve.server.loop.collecting import Collecting
from releve.server.loop.connection import (
    READ_BYTES,
    REST_MAX_BYTES,
    Connection,
    State,
)
from releve.server.loop.connections import Connections
from releve.server.loop.executor import Executor
from releve.server.loop.handler import Handler
from releve.server.loop.writer import Writer
from releve.server.wsgi.environ import split_peer

# Looking a member up in its Enum costs more than all else in a comparison.
_IDLE, _BUSY = State.IDLE, State.BUSY

Environ = dict[str, Any]

log = logging.getLogger("releve.worker")


class Reader:
    """Reads for the loop."""

    def __init__(
        self,
        connections: Connections,
        executor: Executor,
        answer: Handler,
        collecting: Collecting,
        writer: Writer,
        limits: Limits,
    ) -> None:
        self._connections = connections
        self._executor = executor
        self._answer = answer
        self._collecting = collecting
        self._writer = writer
        self._limits = limits

    def read(self, connection: Connection) -> None:
        """Read what has arrived on a connection of the loop and go on with it."""
        try:
            # While connections are given away, what is left behind a request has to fit the message.
            data = connection.socket.recv(REST_MAX_BYTES if self._connections.giving else READ_BYTES)
        except BlockingIOError:
            self._connections.register(connection)
            return
        except OSError:
            data = b""
        self.received(connection, data)

    def received(self, connection: Connection, data: bytes) -> None:
        """Go on with what was read on a connection of the loop; nothing: the client has closed it."""
        found = None if connection.buffer else self.usual(connection, data)
        if found is None:
            self.unusual(connection, data)
        else:
            self.make_ready(connection, data, *found)

    def go_on(self, connection: Connection) -> None:
        """Go on with what a connection has brought behind the request before."""
        buffer = connection.buffer
        data = bytes(buffer)
        buffer.clear()
        self.received(connection, data)

    def _take_preface(self, connection: Connection) -> bool:
        """Read who the client is, as the proxy says; nothing else may stand there.

        False: it is not whole yet, or refused.
        """
        buffer = connection.buffer
        try:
            if split_peer(connection.peer)[0] not in Connection.trusted:
                raise PrefaceError("it is not in proxy.trusted; with proxy.protocol, only those peers may connect")
            preface = read_preface(buffer)
        except PrefaceError as error:
            log.warning("refused a connection from %s: %s", connection.peer or "a Unix socket", error)
            # not by an answer: who does not speak the protocol gets nothing to read
            self._connections.close(connection)
            return False
        if preface is None:
            if not connection.searched:
                self._connections.deadlines.put(connection, self._connections.now() + self._connections.header_s)
            connection.searched = len(buffer)
            self._connections.register(connection)
            return False
        del buffer[: preface.length_bytes]
        connection.searched = 0
        connection.owes_preface = False
        connection.peer = preface.source or connection.peer
        connection.anonymous = not preface.source and not preface.local
        self._connections.deadlines.put(connection, self._connections.now() + self._connections.fresh_s)
        if not buffer:
            self._connections.register(connection)
            return False
        return True

    def usual(self, connection: Connection, data: bytes) -> tuple[Environ, Usual, int] | None:
        """The first request in ``data``, if it is plain and its body is all there: its environ, its head in short, and
        how many bytes it has. ``None``: the strict parser reads it (``unusual``), as all of private connections, and
        what may have a header of the PROXY protocol before it.
        """
        end = data.find(END) + len(END)
        if end < len(END) or connection.private or connection.owes_preface:
            return None
        base = connection.base or connection.base_environ()
        environ = fast_environ(data, end, base, self._limits)
        if environ is None:
            return None
        head = usual(environ)
        whole = end
        length = environ.get("CONTENT_LENGTH")
        if length is not None:
            whole += int(length)
            if whole > len(data):
                return None
        elif whole == len(data) and connection.learned < LEARN_MAX and not connection.polite and head.keep_alive:
            connection.learned += 1
            connection.shape = learn(data.decode("latin-1"), environ, base, connection.shape, self._limits)
            if connection.shape is None:
                connection.learned = LEARN_MAX  # it does not repeat itself
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = connection.host, connection.port
        environ["wsgi.input"] = BytesIO(data[end:whole])
        if concerns(environ):
            introduce(environ, connection.trust)
        return environ, head, whole

    def make_ready(self, connection: Connection, data: bytes, environ: Environ, head: Usual, whole: int) -> None:
        """Have a usual request answered in its turn: the first ``whole`` bytes of ``data``, all that was read. Or by
        another worker, if no thread is free here.
        """
        connection.fresh = False
        if (
            not self._executor.open
            and self._answer.ours(connection, environ) is None
            and self._connections.share(connection, data)
        ):
            return
        connection.head = head
        connection.environ = environ
        if whole < len(data):
            connection.buffer += data[whole:]
        # not by `enter`: IDLE and READING may become that, and this is the way of every other request
        connection.state = _BUSY
        self._connections.ready.append(connection)

    def unusual(self, connection: Connection, data: bytes) -> None:
        """Go on with what ``usual`` does not read; nothing: the client has closed the connection."""
        if not data:
            self._connections.close(connection)
            return
        connection.fresh = False
        connection.buffer += data
        self.advance(connection)

    def advance(self, connection: Connection) -> None:
        """Go as far as the bytes at hand allow."""
        buffer = connection.buffer
        if connection.owes_preface and not self._take_preface(connection):
            return
        if buffer.startswith(EMPTY_LINE):
            skip_empty_lines(buffer)
            connection.searched, connection.partial = 0, None
        try:
            end = head_end(buffer, connection.searched)
            if end < 0:
                connection.searched = len(buffer)
                partial = connection.partial
                if partial is None:
                    partial = connection.partial = Partial()
                partial.look(buffer, self._limits)
            else:
                connection.head = head = parse_head(bytes(buffer[:end]), self._limits)
        except HTTPError as error:
            self._writer.refuse(connection, error.status, error.reason)
            return
        if end < 0:
            if connection.state is _IDLE and not EMPTY_LINE.startswith(buffer):
                connection.enter(State.READING)
                self._connections.deadlines.put(connection, self._connections.now() + self._connections.header_s)
            self._connections.register(connection)
            return
        alone = self._executor.open or self._answer.is_own(connection, head)
        if not alone and self._connections.share(connection, b""):
            return
        del buffer[:end]
        connection.searched, connection.partial = 0, None
        self._collecting.begin(connection, self._answer.open_body(connection, head))
