"""In the thread that owns a connection: one request, from its complete head to its outcome.

What is *counted* as a request (on the scoreboard; a release is judged by it): what a client asked the application by a
listener. Not counted are our own answers to load balancers, the supervisor's checks, which come by private connections,
and what we refuse before there is a request (``writer.py``); nor attempts of the application to accept a WebSocket:
they fail in every release. Counted apart is what the application itself answers at the path that is for load balancers:
their polls say nothing about what clients get.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from releve.config.settings.settings import Settings
from releve.server.http import websocket
from releve.server.http.body import Input
from releve.server.http.fasthead import Usual
from releve.server.http.forwarded import introduce
from releve.server.http.head import Head
from releve.server.loop.connection import Connection
from releve.server.loop.socket_channel import SocketChannel
from releve.server.scoreboard.record import POLLED_KIND
from releve.server.scoreboard.recorder import Kind
from releve.server.shared.native import time
from releve.server.wsgi.access import AccessLog
from releve.server.wsgi.call import Call, new_call
from releve.server.wsgi.environ import build_environ
from releve.server.wsgi.outcome import Outcome
from releve.server.wsgi.readiness import Readiness

Application = Callable[..., Iterable[bytes]]

# In place of the status, or added to it, once the answer is on its way:
NOT_COUNTED = 0  # it says nothing about what clients get from the application
POLLED = 100 * POLLED_KIND  # a load balancer asked, and the application answered

log = logging.getLogger("releve.worker")


class Handler:
    """Answers the request of a connection; called with it, in whatever thread."""

    def __init__(
        self,
        application: Application,
        settings: Settings,
        may_keep: Callable[[Connection], bool] = lambda connection: True,
        access: AccessLog | None = None,
        readiness: Readiness | None = None,
    ) -> None:
        """``may_keep`` is asked when a response's head is made: may the connection outlive this request?"""
        self.application = application
        self.access = access
        self.before_blocking: Callable[[Connection], None] = lambda connection: None
        self._settings = settings
        self.may_keep = may_keep
        self._readiness = readiness
        # Values of PATH_INFO that are perhaps not the application's to answer.
        self.own: frozenset[str] = frozenset() if readiness is None else readiness.paths

    def prepare(self, connection: Connection) -> SocketChannel:
        """What an answer needs of its connection; made once."""
        connection.channel = SocketChannel(
            connection.socket, self._settings.timeouts, partial(self.before_blocking, connection)
        )
        connection.keeps = partial(self.may_keep, connection)
        return connection.channel

    def open_body(self, connection: Connection, head: Head) -> Input:
        """In the loop: the body of a request that came through the strict parser; it may be still to come."""
        channel, settings = connection.channel or self.prepare(connection), self._settings
        connection.body = body = Input(
            channel,
            head,
            bytes(connection.buffer),
            settings.limits,
            timeout_s=settings.timeouts.body,
            whole_bytes=settings.request.buffer_chunked if head.chunked else None,
        )
        connection.buffer.clear()
        return body

    def crowded(self) -> bool:
        """Whether there are requests that we answer ourselves, now: then clients are of use for whom no thread
        is free.
        """
        return self._readiness is not None and self._readiness.application(False) is not None

    def ours(self, connection: Connection, environ: dict[str, Any]) -> Application | None:
        """What of ours answers a request, whole and without waiting for anything; None: the application."""
        if self._readiness is None or environ["PATH_INFO"] not in self.own:
            return None
        return self._readiness.application(connection.private)

    def answer_own(self, connection: Connection) -> bool:
        """In the leader, without a free thread: answer a request that is ours, waiting for nobody.

        False: it is the application's.
        """
        if not self.own or (connection.body is not None and not connection.body.finished):
            return False
        if connection.environ is None:
            connection.environ = self._build(connection, connection.head)
        ours = self.ours(connection, connection.environ)
        if ours is not None:
            self(connection, ours)
        return ours is not None

    def is_own(self, connection: Connection, head: Head) -> bool:
        """In the leader: whether it will be, once its head is taken from the buffer."""
        return bool(self.own) and self.ours(connection, self._build(connection, head)) is not None

    def _build(self, connection: Connection, head: Head | Usual | None) -> dict[str, Any]:
        assert isinstance(head, Head), "a usual request has its environ"
        environ = build_environ(head, connection.base_environ(), connection.body)
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = connection.host, connection.port
        introduce(environ, connection.trust)
        websocket.mark(environ)
        # it is all here: as if its client had known how long it is
        if connection.body is not None and connection.body.whole:
            environ.pop("HTTP_TRANSFER_ENCODING", None)
            environ["CONTENT_LENGTH"] = str(connection.body.arrived_bytes)
        return environ

    def __call__(self, connection: Connection, ours: Application | None = None) -> None:
        """Set the connection's ``outcome``.

        Never raises. ``ours`` answers, if that is decided: asked again, it may have changed.
        """
        began = time.monotonic()
        try:
            channel = connection.channel or self.prepare(connection)
            head = connection.head
            assert head is not None, "an answer needs a complete head"
            environ = connection.environ or self._build(connection, head)
            polled = environ["PATH_INFO"] in self.own  # the application may change it
            if polled and ours is None:
                ours = self.ours(connection, environ)
            call = new_call(head, connection.body, channel, connection.keeps)
            # others look who the client is, at any moment
            call.environ, connection.call, connection.environ = environ, call, None
            if ours is not None or connection.private:
                call.kind = Kind.ASKED if ours is None else None
            outcome = call.run(ours or self.application, environ)
            connection.took_s = took_s = time.monotonic() - began
            if not connection.private:
                self.note(environ, call, outcome, took_s)
            if outcome.status >= 500 and self.refused(environ, call, outcome):
                outcome = outcome._replace(status=NOT_COUNTED)
            elif polled or connection.private:
                counts = ours is None and not connection.private
                outcome = outcome._replace(status=outcome.status + POLLED if counts else NOT_COUNTED)
        except BaseException:  # ours: the application's own were answered by the call
            log.exception("cannot finish a request: internal error")
            outcome = Outcome(500, 0, False, "internal error")
            connection.took_s = time.monotonic() - began
        connection.call = None
        connection.outcome = outcome

    def refused(self, environ: dict[str, Any], call: Call, outcome: Outcome) -> bool:
        """Whether a request has failed since it tried to accept a WebSocket.

        That its client wanted one is for the log.
        """
        socket = websocket.socket_of(environ)
        if socket is None:
            return False
        log.warning("%s: a WebSocket client got status %d: %s", call.request(), outcome.status, websocket.ADVICE)
        return socket.used

    def note(self, environ: dict[str, Any], call: Call, outcome: Outcome, duration_s: float) -> None:
        """Onto the access log."""
        if self.access is not None:
            self.access.add(
                environ,
                outcome.status,
                outcome.sent_bytes,
                duration_s,
                call.headers if self.access.wants_headers else (),
            )
