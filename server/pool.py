"""In the worker: the threads that run the application, and the way of a connection to them and back.

With ``threads: 1`` the application runs in the main thread only (people of
pre-forked servers count on it: signals, asyncio, sqlite) and the loop in a
spare one; otherwise the loop has the main thread.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, NoReturn

from releve.config.settings import Settings
from releve.server import system
from releve.server.body import Input
from releve.server.call import Outcome, run_call
from releve.server.connection import Connection, SocketChannel
from releve.server.environ import build_environ
from releve.server.fork import EXIT_INTERNAL

Application = Callable[..., Iterable[bytes]]

log = logging.getLogger("releve.worker")


class Pool:
    """The threads, a queue of connections with a complete head to them, and a deque back to the loop."""

    def __init__(self, application: Application, settings: Settings, may_keep: Callable[[Connection], bool]) -> None:
        """``may_keep`` is asked, in a thread, when a response's head is made: may the connection outlive this request?"""
        self.threads = settings.threads
        self.busy = 0  # connections that are not with the loop; counted by the loop
        self.answered = 0  # connections that have come back
        self.bell = system.wakeup()  # readable when a connection has come back
        self.pid = os.getpid()
        self._application = application
        self._settings = settings
        self._may_keep = may_keep
        self._waiting: SimpleQueue[Connection] = SimpleQueue()
        self._finished: deque[Connection] = deque()
        self._rung = False

    @property
    def free(self) -> int:
        """Threads with nothing to do."""
        return max(0, self.threads - self.busy)

    def start(self) -> None:
        """Start the threads, unless the caller's own will ``work``."""
        for number in range(1, self.threads + 1):
            threading.Thread(target=self.work, name=f"releve-{number}", daemon=True).start()

    def work(self) -> NoReturn:
        """In a thread of the pool: answer one connection after the other, for ever."""
        while True:
            connection = self._waiting.get()
            try:
                connection.outcome = self._answer(connection)
            except BaseException:  # ours: the application's own were answered by run_call
                log.exception("cannot finish a request: internal error")
                connection.outcome = Outcome(500, 0, False, "internal error")
            if os.getpid() != self.pid:
                os._exit(EXIT_INTERNAL)  # a child that the application forked has come back from the view: it is no worker
            self._finished.append(connection)
            if not self._rung:
                self._rung = True
                system.ring(self.bell)

    def submit(self, connection: Connection) -> None:
        """In the loop: hand a connection with a complete head to the threads. It is theirs from now on."""
        self.busy += 1
        self._waiting.put(connection)

    def returned(self) -> Iterator[Connection]:
        """In the loop: the connections that have come back. They are the loop's from now on."""
        system.hush(self.bell)
        self._rung = False  # before the deque is emptied: who appends later rings again
        while self._finished:
            self.busy -= 1
            self.answered += 1
            yield self._finished.popleft()

    def _answer(self, connection: Connection) -> Outcome:
        head, settings = connection.head, self._settings
        assert head is not None, "submitted with a complete head"
        if connection.channel is None:
            connection.channel = SocketChannel(connection.socket, settings.timeouts)
        buffered = bytes(connection.buffer)
        connection.buffer.clear()
        connection.body = body = Input(connection.channel, head, buffered, settings.limits, timeout_s=settings.timeouts.body)
        environ: dict[str, Any] = build_environ(head, connection.base_environ(multithread=self.threads > 1), body)
        keep = self._may_keep
        outcome = run_call(self._application, head, environ, body, connection.channel, keep_alive=lambda: keep(connection))
        connection.buffer += body.rest
        return outcome
