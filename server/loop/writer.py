"""In the leader: the end of a response, and of a connection, as fast as the client takes it."""

from __future__ import annotations

import contextlib
import logging
import struct

from releve.config.settings.settings import Settings
from releve.server.http.head import skip_empty_lines
from releve.server.http.response import body_bytes, simple_response
from releve.server.loop.connection import (
    CLOSING_MAX_BYTES,
    CLOSING_S,
    READ_BYTES,
    Connection,
    State,
)
from releve.server.loop.connections import Connections
from releve.server.loop.handler import NOT_COUNTED
from releve.server.loop.pace import min_bytes
from releve.server.loop.socket_channel import unsent_bytes
from releve.server.shared.native import select, socket
from releve.server.wsgi.access import AccessLog

LINE_LOGGED = 1000  # bytes of a request line that was refused

_IDLE, _CLOSING = State.IDLE, State.CLOSING
_RESET = struct.pack("ii", 1, 0)  # socket(7): SO_LINGER, for no time at all

log = logging.getLogger("releve.worker")


class Writer:
    """Sends for the loop what is left of a response, and takes leave of clients."""

    def __init__(self, connections: Connections, settings: Settings, access: AccessLog | None) -> None:
        self._connections = connections
        self._access = access
        self._write_s = settings.timeouts.write
        self._write_min_bytes = max(1, min_bytes(settings.timeouts.write, settings.timeouts.min_rate))

    def write(self, connection: Connection) -> None:
        """Send more of a response that its client takes slowly."""
        channel = connection.channel
        assert channel is not None and channel.unsent is not None
        try:
            channel.unsent.send(connection.socket)
        except BlockingIOError:
            return
        except OSError:
            self._connections.close(connection)
            return
        if not channel.unsent.left_bytes:
            channel.unsent.close()
            channel.unsent = None
            self.answered(connection)

    def answered(self, connection: Connection) -> None:
        """The response has left: keep the connection, or close it."""
        connections = self._connections
        outcome, head, body = connection.outcome, connection.head, connection.body
        assert outcome is not None and head is not None
        connection.outcome = connection.head = connection.body = None
        if outcome.keep:
            connection.state = _IDLE  # BUSY and WRITING may become that
            if connection.buffer:
                skip_empty_lines(connection.buffer)
            deadline = connections.now() + (connections.header_s if connection.buffer else connections.idle_s)
            if connection.tick >= 0 and connection.deadline <= deadline:
                connection.deadline = deadline  # its bucket is early enough: all that `put` would do
            else:
                connections.deadlines.put(connection, deadline)
            if connections.giving and connections.give(connection):
                return
            if connection.buffer:
                connections.queue(connection)
            elif not connection.registered or connection.events != select.EPOLLIN:
                connections.register(connection)
        elif head.keep_alive or connection.buffer or (body is not None and not body.finished):
            self.close_gently(connection)
        else:
            connections.close(connection)

    def await_write(self, connection: Connection) -> None:
        """The client has not taken all: go on when it can."""
        connection.paced_bytes = _untaken_bytes(connection)
        self._connections.register(connection, select.EPOLLOUT)
        self._connections.deadlines.put(connection, self._connections.now() + self._write_s)

    def refuse(self, connection: Connection, status: int, reason: str) -> None:
        """Answer what is no request, and close."""
        log.debug("refused a request from %s: %d %s", connection.peer or "a Unix socket", status, reason)
        self._connections.classes[NOT_COUNTED] += 1
        method = (
            connection.head.method if connection.head is not None else "HEAD" * connection.buffer.startswith(b"HEAD ")
        )
        answer = simple_response(status, reason, head=method == "HEAD")
        if self._access is not None:
            self._access.refuse(
                connection.peer, status, body_bytes(answer), request_line=_first_line(connection.buffer)
            )
        with contextlib.suppress(OSError):  # gone, or it reads nothing: then it does without
            connection.socket.send(answer)
        self.close_gently(connection)

    def close_gently(self, connection: Connection) -> None:
        """Close, but not before the client has had time to read: closing over unread bytes is a reset (RFC
        9112, 9.6).
        """
        connection.buffer.clear()
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._connections.close(connection)
            return
        connection.enter(_CLOSING)
        self._connections.deadlines.put(connection, self._connections.now() + CLOSING_S)
        self._connections.register(connection)

    def swallow(self, connection: Connection) -> None:
        """Drop what a client still sends behind our last word."""
        data = connection.receive(READ_BYTES)
        if data is None:
            return
        connection.swallowed_bytes += len(data)
        if not data or connection.swallowed_bytes > CLOSING_MAX_BYTES:
            self._connections.close(connection)

    def expired(self, connection: Connection) -> None:
        """A client has had its time to take some of its response."""
        # The kernel reports "writable" only when a third of its buffer is free: a shrinking send queue is progress too.
        if connection.paced_bytes - _untaken_bytes(connection) >= self._write_min_bytes:
            self.await_write(connection)
            return
        # by a reset, or the kernel keeps what is unsent, megabytes, for as long as the client likes
        with contextlib.suppress(OSError):
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._connections.close(connection)


def _untaken_bytes(connection: Connection) -> int:
    """What a client has still to take of its response."""
    rest = connection.channel.unsent if connection.channel is not None else None
    return unsent_bytes(connection.socket) + (rest.left_bytes if rest is not None else 0)


def _first_line(buffer: bytearray) -> str:
    """What is known of a request line, for the access log."""
    return bytes(buffer[:LINE_LOGGED]).lstrip(b"\r\n").split(b"\r\n", 1)[0].decode("latin-1") or "-"
