"""In the worker: the loop. It owns epoll, and every connection that no thread owns (``connections.py``).

Only the leader (``threads.py``) is in here. It accepts (through ``acceptor.py``), reads requests (``reader.py``), calls
the application inline, sends what a slow client has not taken of a response (``writer.py``), and keeps the deadlines.
Level-triggered throughout: a leader that loses the lead in a call drops the rest of its batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import compress
from typing import NoReturn

from releve.config.settings.settings import Settings
from releve.server.loop.collecting import Collecting
from releve.server.loop.connection import Connection, State
from releve.server.loop.connections import Connections
from releve.server.loop.deadlines import TICK_S
from releve.server.loop.executor import Executor
from releve.server.loop.fastpath import fast_path
from releve.server.loop.handler import Handler
from releve.server.loop.reader import Reader
from releve.server.loop.threads import Threads
from releve.server.loop.writer import Writer
from releve.server.scoreboard.record import KINDS, Tally, bucket
from releve.server.shared.link import EXIT_INTERNAL
from releve.server.shared.native import os, select, time

EVENTS_MAX = 128  # of one turn
OVERRUNS_LOOK_S = 1.0  # how often, where requests have a limit and some last
# for requests that clients have pipelined, before the loop looks at others; one of each client, at least
SLICE_S = 0.001
ACCESS_RETRY_S = 1.0  # how soon a slow reader of the access log is tried again

# Looking a member up in its Enum costs more than all else in a comparison; these are used in every request.
_IDLE, _READING, _BUSY = State.IDLE, State.READING, State.BUSY
_CLOSING, _WRITING, _COLLECTING = State.CLOSING, State.WRITING, State.COLLECTING

log = logging.getLogger("releve.worker")


class Loop:
    """One turn after the other, until ``stop``."""

    now = staticmethod(time.monotonic)

    def __init__(
        self, settings: Settings, answer: Handler, tally: Tally, make: Callable[[Loop], Executor] | None = None
    ) -> None:
        """``answer`` runs in the leader or another thread, and sets the connection's ``outcome``. ``make`` makes the
        executor; None: threads.
        """
        self._epoll = select.epoll()
        self.connections = Connections(self._epoll, settings.timeouts, tally)
        self.executor: Executor = (
            Threads(settings.threads, answer, self._run, tally.inflight) if make is None else make(self)
        )
        self.tally = tally
        tally.put("threads", self.executor.most)
        tally.put("connections_max", settings.limits.connections)
        self._full = False  # every thread is in the application, and the scoreboard says so
        self.after_turn: Callable[[], bool] = lambda: False  # True: there is more to do at once
        self.overdue: Callable[[str], None] = lambda reason: None  # a request has lasted too long
        self.ended: Callable[[], NoReturn] = lambda: os._exit(0)  # called in the leader after `stop`
        # the same, in an exception that nobody expected
        self.failed: Callable[[], NoReturn] = lambda: os._exit(EXIT_INTERNAL)
        self._handlers: dict[int, Callable[[], object]] = {}
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._hurry = False
        self._stopped = False
        self._request_s = settings.timeouts.request
        self._answer = answer
        self._access = answer.access
        self._writer = Writer(self.connections, settings, answer.access)
        self._collecting = Collecting(self.connections, self._writer, settings, at_once=self.executor.waits_for_bodies)
        self.reader = Reader(self.connections, self.executor, answer, self._collecting, self._writer, settings.limits)
        self.serve: Callable[[Connection], bool] = (
            fast_path(self.connections, self.executor, answer, self.reader, self.settle)
            if isinstance(self.executor, Threads)
            else self._serve
        )
        self.connections.dropped = self._collecting.forget
        self.watch(self.executor.wakeup, self._take_back)

    # The turn

    def _run(self) -> None:
        """In the leader: turn until the lead is lost or left.

        Ends the process at ``stop``, and if anything is raised in here.
        """
        try:
            self._post()  # a call has begun to last
            while self._turn():
                self._hurry = self.after_turn()
                self._post()
                if self._stopped:
                    self.ended()
                if self.executor.tasks and self.executor.step_aside():
                    return
        except BaseException:
            self.failed()

    def step(self) -> float | None:
        """One turn that waits for nothing, for an executor that has an event loop of its own. In how many seconds the
        next one is due, 0 or more; None: when ``fileno`` is readable, which any turn is due for.

        Ends the process at ``stop``, and if anything is raised in here.
        """
        try:
            self._turn(wait=False)
            self._hurry = self.after_turn()
            self._post()
            if self._stopped:
                self.ended()
            return 0.0 if self._is_due() else self._wait_s()
        except BaseException:
            self.failed()

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to do."""
        return self._epoll.fileno()

    def _post(self) -> None:
        """Onto the scoreboard: once a turn, not once a request."""
        self.tally.beat()
        self.tally.put("connections", len(self.connections.table))
        busy, most = self.executor.busy, self.executor.most
        self.tally.put("busy", min(busy, most))
        if self._full or busy >= most:
            self._post_full(busy >= most)
        classes = self.connections.classes
        for kind in compress(KINDS, classes):
            self.tally.answered(kind, classes[kind])
            classes[kind] = 0

    def _post_full(self, full: bool) -> None:
        if full is not self._full:
            self._full = full
            self.tally.put("full_ns", time.monotonic_ns() if full else 0)
        self.tally.put("waiting", self.executor.waiting)

    def disown(self) -> None:
        """In a child that the application forked: close what is ours; the connections and the wake-up too."""
        self._epoll.close()
        self.connections.disown()
        self.executor.forked = True
        os.close(self.executor.wakeup)

    def stop(self) -> None:
        """End after this turn."""
        self._stopped = True

    def watch(self, fd: int, handler: Callable[[], object], events: int = select.EPOLLIN) -> None:
        """Call ``handler`` whenever the descriptor is ready. It returns False if the lead was lost in it."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def unwatch(self, fd: int) -> None:
        """Stop that; before the descriptor is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, name: str, due: float, action: Callable[[], None]) -> None:
        """Call ``action`` at a monotonic time, in place of the timer of that name."""
        self._timers[name] = (due, action)

    def cancel(self, name: str) -> None:
        """Forget a timer, if there is one."""
        self._timers.pop(name, None)

    def _is_due(self) -> bool:
        """Whether there is something to do though nothing has happened."""
        connections, access = self.connections, self._access
        return bool(self._hurry or connections.ready or connections.more or (access is not None and access.lines))

    def _turn(self, wait: bool = True) -> bool:
        """Serve one batch of events. False: the lead was lost in a call, the rest of the batch is the next leader's."""
        connections = self.connections
        table_get, ready, more = connections.table.get, connections.ready, connections.more
        access = self._access
        at_once = not wait or self._hurry or ready or more or (access is not None and access.lines)
        events = self._epoll.poll(0.0 if at_once else self._wait_s(), EVENTS_MAX)
        if access is not None and (access.full or (not events and not more and access.pending)):
            access.flush()
        for fd, happened in events:
            connection = table_get(fd)
            kept = True  # the lead
            if connection is None:
                handler = self._handlers.get(fd)
                kept = handler is None or handler() is not False
            elif connection.state is _IDLE and not connection.buffer:
                kept = self.serve(connection)
            else:
                self._on_connection(connection, happened)
            if not kept:
                self._hurry = True  # the next leader does what is due after this turn
                return False
            while ready:  # at most one, but for those that came in through a door
                if not self._dispatch(ready.popleft()):
                    return False
        if more and not self._go_on():
            return False
        now = self.now()
        for connection in connections.deadlines.due(now):
            self._expire(connection)
        if self._request_s is not None and self.executor.overruns:
            self._look_at_overruns(now, self._request_s)
        for name, (due, action) in list(self._timers.items()):
            if due <= now and self._timers.get(name) == (due, action):  # not cancelled by another one just now
                del self._timers[name]
                action()
        while ready:
            if not self._dispatch(ready.popleft()):
                return False
        return True

    def _go_on(self) -> bool:
        """Serve what was pipelined, one request of a connection at a time, for no longer than others may wait.

        False: the lead was lost.
        """
        ready, more = self.connections.ready, self.connections.more
        until = self.now() + SLICE_S
        while more:
            connection = more.popleft()
            if connection.queued and connection.state in (_IDLE, _READING):  # neither closed nor given away
                connection.queued = False
                self.reader.go_on(connection)
                while ready:
                    if not self._dispatch(ready.popleft()):
                        return False
                if self.now() >= until:
                    break
        return True

    def _dispatch(self, connection: Connection) -> bool:
        """Have a request answered: here, if a thread is free. False: the lead was lost in it."""
        executor = self.executor
        if not executor.open:
            if self._answer.answer_own(connection):
                self.settle(connection)
                return True
            if executor.queue(connection):
                return True
        if not executor.call(connection):
            self._hurry = True  # the next leader does what is due after this turn
            return False
        executor.answered += 1
        self.settle(connection)
        return True

    def _wait_s(self) -> float | None:
        now = self.now()
        waits = [max(0.0, due - now) for due, _ in self._timers.values()]
        first = self.connections.deadlines.wait_s(now)
        if first is not None:
            waits.append(first)
        if self._access is not None and self._access.kept:
            waits.append(ACCESS_RETRY_S)
        if self._request_s is not None and self.executor.overruns:
            waits.append(min(self._request_s, OVERRUNS_LOOK_S))
        return min(waits) if waits else None

    def _look_at_overruns(self, now: float, limit_s: float) -> None:
        """Show where a request is that has moved nothing for too long; once."""
        for connection, overrun in list(self.executor.overruns.items()):
            call, channel = connection.call, connection.channel
            if (
                call is None
                or call.shown
                or now - max(overrun.since, channel.moved_at if channel is not None else 0.0) < limit_s
            ):
                continue
            call.shown = True
            stack = self.executor.stack(connection, overrun)
            text = (
                f"{call.request()}: the application read and wrote nothing for {limit_s:g} s "
                "(timeouts.request); its stack:"
            )
            log.handle(log.makeRecord(log.name, logging.WARNING, __file__, 0, text, (), None, sinfo=stack.rstrip()))
            self.overdue(f"had a request without progress for {limit_s:g} s (timeouts.request)")

    # The life of a connection

    def _serve(self, connection: Connection) -> bool:
        """An idle connection of a client, just accepted or with something to read; the lead is never lost here."""
        self.reader.read(connection)
        return True

    def _on_connection(self, connection: Connection, happened: int) -> None:
        if connection.queued:
            self.connections.unregister(connection)  # it has brought enough for now
        elif connection.state is _BUSY:
            if connection.awaits is None:
                self.connections.unregister(connection)
            else:
                connection.awaits(happened)
        elif connection.state is _CLOSING:
            self._writer.swallow(connection)
        elif connection.state is _WRITING:
            self._writer.write(connection)
        elif connection.state is _COLLECTING:
            self._collecting.gather(connection)
        else:
            self.reader.read(connection)

    def _take_back(self) -> None:
        for connection in self.executor.returned():
            self.settle(connection)

    def settle(self, connection: Connection) -> None:
        """A request was answered; its connection is the loop's again."""
        outcome, channel = connection.outcome, connection.channel
        assert outcome is not None and channel is not None
        kind = outcome.status // 100
        self.connections.classes[kind] += 1
        if kind:
            self.tally.durations[bucket(connection.took_s)] += 1
        connection.requests += 1
        connection.hops = 0
        if connection.body is not None:
            connection.buffer += connection.body.rest
            self._collecting.over(connection)
        if channel.unsent is not None:
            connection.enter(_WRITING)
            self._writer.await_write(connection)
        else:
            self._writer.answered(connection)

    def _expire(self, connection: Connection) -> None:
        before = connection.state
        if before is _BUSY:
            return
        if connection.queued:
            self.connections.deadlines.put(connection, self.now() + TICK_S)  # when it had its turn
            return
        if before is _WRITING:
            self._writer.expired(connection)
            return
        if before is _COLLECTING:
            self._collecting.expired(connection)
            return
        if before is not _CLOSING:
            self.reader.read(connection)  # what came at the last moment counts
        if connection.state is before:
            if before is _READING:
                self._writer.refuse(connection, 408, "the request head took too long")
            else:
                self.connections.close(connection)
