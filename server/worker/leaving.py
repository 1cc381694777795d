"""In the worker: how it leaves: when nothing is left to do, or at a deadline; told to, or since nobody commands it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial

from releve.config.grammar import counted
from releve.config.settings.timeouts import Timeouts
from releve.server.loop.connection import Connection, State
from releve.server.loop.loop import Loop
from releve.server.shared.faults import fault
from releve.server.shared.form import seconds
from releve.server.shared.link import ORPHAN_S, Message
from releve.server.shared.states import AT_WORK, WorkerState
from releve.server.worker.traffic import Traffic

SHUT_S = 1.0  # before the deadline, who serves on accepts no more

log = logging.getLogger("releve.worker")


class Leaving:
    """From the first order to quit to the end of the loop."""

    def __init__(self, loop: Loop, traffic: Traffic, timeouts: Timeouts, tell: Callable[[Message], None]) -> None:
        """``tell`` has the master hear of it."""
        self.due = math.inf  # monotonic
        self._loop = loop
        self._traffic = traffic
        self._timeouts = timeouts
        self._tell = tell
        # while it serves on though it leaves: the connections that it had when it was told
        self._earlier: set[Connection] | None = None
        self._spent = False  # it has said that none of them is left

    def quit(self, message: Message) -> None:
        """The order: finish and leave, when no connection is left, or at the deadline."""
        fault("worker_quit")
        linger_s, deadline_s = message.get("linger_s"), message.get("deadline_s")
        self._leave(
            self._timeouts.drain if deadline_s is None else seconds(deadline_s),
            None if linger_s is None else seconds(linger_s),
            serve_on=message.get("serve_on") is True,
        )

    def terminate(self) -> None:
        """The same without an order: SIGTERM has come, or nobody commands it."""
        self._leave(self._timeouts.drain, self._timeouts.linger)

    def orphan(self) -> None:
        """Both master and supervisor held the other end of its control pair: nobody will ever command it again.

        It serves on for a while.
        """
        if self._traffic.state is WorkerState.LEAVING:
            if self._earlier is not None:
                self._shut(WorkerState.LEAVING, self._timeouts.linger)
            return
        log.warning("the master and the supervisor exited: this worker exits in %g s", ORPHAN_S)
        serving = self._traffic.state in AT_WORK  # the others have nothing that a client waits for, or pass it on
        self._loop.at("orphan", self._loop.now() + ORPHAN_S * serving, self.terminate)

    def step(self) -> None:
        """Leaving, after each turn: end the loop when nothing is left; or say, once, that nothing is left of what there
        was when it was told to leave.
        """
        earlier = self._earlier
        if earlier is None:
            if not self._loop.connections.table:
                self._loop.stop()
            return
        earlier.difference_update([one for one in earlier if one.state is State.CLOSED])
        if not earlier and not self._spent:
            self._spent = True
            self._tell({"type": "spent"})

    def _leave(self, deadline_s: float, linger_s: float | None, *, serve_on: bool = False) -> None:
        """``linger_s`` is None after connections were given away; else this is a stop, and whoever is queued is still
        served.

        ``serve_on``: accept until told again, without it, or shortly before the deadline. Somebody keeps the accept
        queue open beyond our end, so that its clients would wait.
        """
        traffic, now = self._traffic, self._loop.now()
        before = traffic.order("quit")
        traffic.pause_hooks.leave()
        self.due = min(self.due, now + deadline_s)
        traffic.polite_at = min(traffic.polite_at, now + deadline_s / 2)
        self._loop.at("quit", self.due, self._overdue)
        if serve_on and before is WorkerState.SERVING:
            self._earlier = set(self._loop.connections.table.values())
            shut = partial(self._shut, WorkerState.LEAVING, linger_s)
            self._loop.at("shut", self.due - min(SHUT_S, deadline_s / 2), shut)
            traffic.send_state()
        elif serve_on and self._earlier is not None:
            self._spent = False  # perhaps another one commands, who has not heard it
        else:
            self._shut(before, linger_s)
        # else what is left was kept for a reason, and is closed by its next response or its own time
        if linger_s is not None:
            self._loop.connections.shorten_idle(linger_s)

    def _shut(self, before: WorkerState, linger_s: float | None) -> None:
        """Accept no more, ever."""
        first = before is not WorkerState.LEAVING or self._earlier is not None
        self._earlier = None
        self._loop.cancel("shut")
        if linger_s is not None:
            self._traffic.sweep(before)
        if first:
            self._traffic.close()

    def _overdue(self) -> None:
        waiting = (State.COLLECTING, State.WRITING)
        unfinished = self._loop.executor.busy + sum(
            one.state in waiting for one in self._loop.connections.table.values()
        )
        if unfinished:
            log.warning("exiting with %s unfinished: the deadline has passed", counted(unfinished, "request"))
        self._loop.stop()
