"""In the thread that owns a connection: one request, from its complete head to its outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from releve.config.settings import Settings
from releve.server.body import Input
from releve.server.call import Outcome, run_call
from releve.server.connection import Connection, SocketChannel
from releve.server.environ import build_environ
from releve.server.head import Head

Application = Callable[..., Iterable[bytes]]

log = logging.getLogger("releve.worker")


class Answer:
    """Answers the request of a connection; called with it, in whatever thread."""

    def __init__(self, application: Application, settings: Settings, may_keep: Callable[[Connection], bool]) -> None:
        """``may_keep`` is asked when a response's head is made: may the connection outlive this request?"""
        self.before_blocking: Callable[[Connection], None] = lambda connection: None
        self._application = application
        self._settings = settings
        self._may_keep = may_keep

    def __call__(self, connection: Connection) -> None:
        """Set the connection's ``outcome``. Never raises."""
        try:
            channel = connection.channel
            if channel is None:
                channel = SocketChannel(connection.socket, self._settings.timeouts, partial(self.before_blocking, connection))
                connection.channel = channel
                connection.keeps = partial(self._may_keep, connection)
            environ, head = connection.environ, connection.head
            assert head is not None, "an answer needs a complete head"
            if environ is None:
                self._strictly(connection, channel)
                return
            connection.environ = None
            connection.outcome = run_call(self._application, head, environ, None, channel, keep_alive=connection.keeps)
        except BaseException:  # ours: the application's own were answered by run_call
            log.exception("cannot finish a request: internal error")
            connection.outcome = Outcome(500, 0, False, "internal error")

    def _strictly(self, connection: Connection, channel: SocketChannel) -> None:
        """A request that came through the strict parser; its body may be still to come."""
        head, settings = connection.head, self._settings
        assert isinstance(head, Head)
        buffered = bytes(connection.buffer)
        connection.buffer.clear()
        connection.body = body = Input(channel, head, buffered, settings.limits, timeout_s=settings.timeouts.body)
        environ: dict[str, Any] = build_environ(head, connection.base_environ(), body)
        connection.outcome = run_call(self._application, head, environ, body, channel, keep_alive=connection.keeps)
        connection.buffer += body.rest
