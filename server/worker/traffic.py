"""In the worker: its state, and the orders that decide what comes in and who else gets it: resume, attend, divert,
pause.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from releve.server.handover.acceptor import Acceptor, Width
from releve.server.handover.diversion import Diversion, Portion
from releve.server.handover.handover import Handover
from releve.server.handover.sharing import share
from releve.server.loop.connection import Connection, State
from releve.server.loop.loop import Loop
from releve.server.shared.faults import fault
from releve.server.shared.link import Message
from releve.server.shared.native import os
from releve.server.shared.states import AT_WORK, WorkerState
from releve.server.worker.orders import AFTER, IllegalOrder
from releve.server.worker.pause_hooks import PauseHooks
from releve.server.worker.setup import WorkerSetup
from releve.server.wsgi.hooks import Functions


class Traffic:
    """What each order does to acceptor and handover. Owns the exchange; all but ``may_keep`` run in the loop."""

    def __init__(
        self, setup: WorkerSetup, loop: Loop, acceptor: Acceptor, functions: Functions, tell: Callable[[Message], None]
    ) -> None:
        """``tell`` has the master hear what has become of an order."""
        self.state = WorkerState.READY
        self.workers = setup.settings.workers  # of its generation
        self.polite_at = math.inf  # monotonic: leaving, who still pipelines requests then is told that it was the last
        self.pause_hooks = PauseHooks(functions, loop, self._accept)
        self._number, self._generation = setup.number, setup.generation
        self._loop = loop
        self._connections = loop.connections
        self._acceptor = acceptor
        self._exchange_send = setup.exchange_send  # held so that the queue outlives other holders; -1: closed
        self._handover: Handover | None = None  # of the last pause, if it named a receiver
        self._pause_reported = True
        self._tell = tell
        self._connections.give = self._give
        self._connections.share = self._share
        self._review()

    def may_keep(self, connection: Connection) -> bool:
        """In a thread: whether the connection may live on after the response that is about to be sent."""
        handover = self._handover  # the loop may change it meanwhile
        if connection.polite:
            return connection.has_more()
        if self.state is WorkerState.LEAVING:
            if handover is not None and handover.usable and not connection.private:
                return True
            return self._loop.now() < self.polite_at and connection.has_more()
        return handover is None or handover.usable or connection.private or connection.has_more()

    # Orders

    def order(self, verb: str) -> WorkerState:
        """Take the state that an order leads to; returns the one before. Raises IllegalOrder, and changes nothing."""
        after = AFTER.get((self.state, verb))
        if after is None:
            raise IllegalOrder(f"cannot {verb}: the worker is {self.state.value}")
        before, self.state = self.state, after
        self._review()
        return before

    def resume(self) -> None:
        """Accept connections, from the listeners and from the own exchange."""
        fault("worker_resume")
        self.order("resume")
        self._end_handover()
        self._pause_reported = True  # a pause that was not complete never will be
        self.pause_hooks.resume()

    def attend(self) -> None:
        """Take connections from the own exchange, and accept none: others pass some of theirs on."""
        fault("worker_attend")
        self.order("attend")
        self._acceptor.resume(listeners=False)
        self.send_state()

    def divert(self, message: Message, fds: list[int]) -> None:
        """Pass a share of the new connections on to the exchange in ``fds``, or, without one, serve all of them
        again.
        """
        fault("worker_divert")
        if (message.get("to") is not None) != bool(fds):
            raise IllegalOrder("cannot divert: a receiver and its exchange must come together")
        portion = Portion(float(message["share"]), self._number) if fds else None
        self.order("divert")
        self._acceptor.divert(None if portion is None else Diversion(self._connections, fds.pop(0), portion))
        if self.state is WorkerState.SERVING:
            self.send_state()

    def pause(self, message: Message, fds: list[int]) -> None:
        """Accept no more; give what is idle, and what becomes idle, to the exchange in ``fds``, if there is one."""
        fault("worker_pause")
        to = message.get("to")
        if (to is not None) != bool(fds):
            raise IllegalOrder("cannot pause: a receiver and its exchange must come together")
        before = self.order("pause")
        self._end_handover()
        self.pause_hooks.pause()
        self._acceptor.shut()
        # What waits in the own exchange stays there if that is where it would be sent: a sibling takes it.
        own = to == self._generation
        swept = (
            list(self._acceptor.sweep(listeners=before is WorkerState.SERVING, exchange=not own))
            if before in AT_WORK
            else []
        )
        self._pause_reported = False
        if fds:
            self._handover = Handover(self._loop, fds.pop(0))
            self._review()
            self._handover.add(self._connections.table.values())
        else:
            for connection in swept:
                self._connections.welcome(connection)

    def sweep(self, before: WorkerState) -> None:
        """Leaving, accept no more, and serve whoever is queued; ``before``: the state from which it leaves."""
        # What stands by does not answer for the generation in service, which sweeps the same queues.
        left_to_others = self._handover is not None or before is WorkerState.READY
        self._end_handover()
        self._acceptor.shut()
        if not left_to_others:
            for connection in self._acceptor.sweep(listeners=before is not WorkerState.ATTENDING):
                self._connections.welcome(connection)

    def close(self) -> None:
        """Accept no more, ever."""
        self._acceptor.close()
        os.close(self._exchange_send)
        self._exchange_send = -1
        self.send_state()

    def disown(self) -> None:
        """In a child that the application forked: close the descriptors and touch nothing else."""
        self._acceptor.disown()
        if self._handover is not None:
            self._handover.disown()
        if self._exchange_send >= 0:
            os.close(self._exchange_send)

    # In the loop

    def step(self) -> bool:
        """After each turn; whether there is more to do at once."""
        acceptor, handover = self._acceptor, self._handover
        if acceptor.resumed and acceptor.width is not Width.OPEN:
            acceptor.update()
            acceptor.glance()
        if handover is not None:
            handover.step()
        if not self._pause_reported and (handover is None or handover.done):
            self._report_pause()
        if self._pause_reported and self.pause_hooks.active:
            self.pause_hooks.step()
        return handover is not None and handover.hurry

    def send_state(self, **more: int) -> None:
        """Tell the master the state, and what belongs to it."""
        self._tell({"type": "state", "state": self.state.value, **more})

    def _accept(self) -> None:
        self._acceptor.resume()
        self.send_state()

    def _give(self, connection: Connection) -> bool:
        return self._handover is not None and self._handover.offer(connection)

    def _share(self, connection: Connection, data: bytes) -> bool:
        alone = self.workers == 1 and not self._acceptor.crowded()
        if alone or self.state not in AT_WORK or self._loop.executor.free:
            return False
        return share(self._connections, connection, data, self._exchange_send)

    def _report_pause(self) -> None:
        fault("worker_paused")
        self._pause_reported = True
        if self._handover is not None:
            self.send_state(given=self._handover.given, kept=self._handover.kept)
        else:
            left = self._connections.table.values()
            self.send_state(given=0, kept=sum(one.state is not State.BUSY and not one.private for one in left))

    def _end_handover(self) -> None:
        if self._handover is not None:
            self._handover.close()
            self._handover = None
            self._review()

    def _review(self) -> None:
        """Tell the loop what becomes of connections after their responses."""
        self._connections.giving = self._handover is not None
        self._connections.plain = self._handover is None and self.state is not WorkerState.LEAVING
