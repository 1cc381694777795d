"""In the master: both sides of a canary.

The old generation passes a share of its new connections on, the new one attends to them.
"""

from __future__ import annotations

from collections.abc import Callable

from releve.server.master.pending import ACK_S, Pending, PendingOrders
from releve.server.master.plan import Plan
from releve.server.prefork.lifecycle import names
from releve.server.prefork.spawner import Spawner
from releve.server.prefork.workers import Worker, Workers
from releve.server.process.messages import MalformedOrder
from releve.server.shared.link import Message
from releve.server.shared.native import os
from releve.server.shared.states import WorkerState


class Canary:
    """What the workers were told of it, for those that come later. The send end that the spawner keeps is its own."""

    def __init__(
        self,
        plan: Plan,
        workers: Workers,
        spawner: Spawner,
        pending_orders: PendingOrders,
    ) -> None:
        self.to: object = None  # number of the generation that some connections go to; None: there is no canary
        self._share = 0.0
        self._plan = plan
        self._workers = workers
        self._spawner = spawner
        self._pending = pending_orders

    def attend(self, order: Message) -> None:
        """Have every worker take connections from the exchange only; the order is answered when all do."""

        def done(pending: Pending) -> None:
            up = self._workers.up(self._plan.current.number)
            late = [worker for worker in up if worker.number in pending.late]
            if late or not any(worker.state is WorkerState.ATTENDING for worker in up):
                why = f"{names(late)} did not answer for {ACK_S:g} s" if late else "no worker runs"
                self._pending.fail(pending.id, "canary", f"cannot attend: {why}")
            else:
                self._pending.answer(pending, workers=len(up))

        up = self._workers.up(self._plan.current.number)
        for worker in up:
            worker.order({"type": "attend"}, WorkerState.ATTENDING)
        self._await(order, "attend", WorkerState.ATTENDING, up, done)

    def divert(self, order: Message, fds: list[int]) -> None:
        """Have every worker, and those to come, pass a share on, or none any more; answered when all do.

        Raises MalformedOrder.
        """
        to = order.get("to")
        if (to is not None) != bool(fds):
            raise MalformedOrder("cannot divert: a receiver and its exchange must come together")
        share = float(order["share"]) if to is not None else 0.0
        self.end()
        if to is not None:
            self.to, self._share, self._spawner.diversion = to, share, fds.pop(0)
        up = self._workers.up(self._plan.current.number)
        for worker in up:
            self._tell(worker)
        self._await(
            order,
            "divert",
            WorkerState.SERVING,
            up,
            lambda pending: self._pending.answer(pending, workers=len(up)),
        )

    def brief(self, worker: Worker) -> None:
        """Tell one that is about to be resumed."""
        if self.to is not None:
            self._tell(worker)

    def end(self) -> None:
        """There is none any more; the workers know, or are told otherwise."""
        if self._spawner.diversion >= 0:
            os.close(self._spawner.diversion)
        self.to, self._spawner.diversion = None, -1

    def _tell(self, worker: Worker) -> None:
        fds = (self._spawner.diversion,) if self.to is not None else ()
        worker.order({"type": "divert", "to": self.to, "share": self._share}, worker.told or worker.state, fds)

    def _await(
        self,
        order: Message,
        verb: str,
        state: WorkerState,
        workers: list[Worker],
        done: Callable[[Pending], None],
    ) -> None:
        waiting = {worker.number for worker in workers}
        self._pending.start(Pending(verb, frozenset({state}), waiting, done, id=order["id"]), within_s=ACK_S)
