"""In the master: another number of workers."""

from __future__ import annotations

from releve.config.grammar import counted
from releve.server.master.orders import Change
from releve.server.master.pending import ACK_S, DROP_S, Pending, PendingOrders
from releve.server.master.plan import Plan
from releve.server.prefork.lifecycle import Lifecycle
from releve.server.prefork.workers import Worker, Workers
from releve.server.process.messages import MalformedOrder
from releve.server.shared.link import Message
from releve.server.shared.states import UP, WorkerState


class Scaling:
    """More of them are forked; of fewer, the youngest retire."""

    def __init__(
        self,
        plan: Plan,
        workers: Workers,
        lifecycle: Lifecycle,
        pending_orders: PendingOrders,
    ) -> None:
        self._plan = plan
        self._workers = workers
        self._lifecycle = lifecycle
        self._pending = pending_orders

    def scale(self, order: Message, fds: list[int]) -> None:
        """Have there be another number of workers; answered when the new ones serve, or the others have paused."""
        wanted, before = int(order["workers"]), self._plan.target
        if wanted < 1:
            raise MalformedOrder(f"cannot scale to {counted(wanted, 'worker')}")
        standing = self._standing()
        self._plan.target, self._plan.change = wanted, Change.SCALING
        self._count()
        if wanted >= len(standing):
            self._scale_up(order["id"], wanted - len(standing), before)
        else:
            self._scale_down(order["id"], standing[wanted:])

    def _scale_up(self, order_id: object, number: int, before: int) -> None:
        def back(order_id: object, failure: Message) -> None:
            self._plan.target, self._plan.change = before, Change.NONE
            self._count()
            for worker in new:
                if worker.state is not WorkerState.GONE:
                    self._lifecycle.dismiss(worker, DROP_S, None)
            self._pending.refuse(order_id, failure)

        def lost(pending: Pending, worker: Worker) -> None:
            back(pending.id, worker.failure or {})

        new, trouble = self._lifecycle.spawn(self._plan.current, number)
        if trouble:
            back(order_id, {"step": "workers", "reason": trouble})
            return
        # A worker that is ready in a paused generation counts as paused (`Traffic.join`).
        awaited = frozenset({WorkerState.SERVING, WorkerState.PAUSED})
        self._pending.start(Pending("scale", awaited, {worker.number for worker in new}, self._scaled, lost, order_id))

    def _scale_down(self, order_id: object, leaving: list[Worker]) -> None:
        def done(pending: Pending) -> None:
            for worker in leaving:
                if worker.state in UP:
                    self._lifecycle.dismiss(worker, self._plan.current.settings.upgrade.retire, None)
            self._scaled(pending)

        for worker in leaving:
            worker.dismissed = True
        waiting = self._lifecycle.give_up(leaving)
        self._pending.start(
            Pending("scale", frozenset({WorkerState.PAUSED}), waiting, done, id=order_id), within_s=ACK_S
        )

    def _count(self) -> None:
        """Tell the workers how many they are to be."""
        for worker in self._standing():
            worker.pass_on({"type": "crew", "workers": self._plan.target}, ())

    def _scaled(self, pending: Pending) -> None:
        self._plan.change = Change.NONE
        self._pending.answer(pending, workers=len(self._standing()), given=pending.given, kept=pending.kept)

    def _standing(self) -> list[Worker]:
        return self._workers.standing(self._plan.current.number)
