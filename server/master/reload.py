"""In the master: a reload, the small switch inside one generation.

New workers of a new revision beside the old ones, then in their place.

Any failure ends the new ones; the old ones were never told.
"""

from __future__ import annotations

from collections.abc import Callable

from releve.server.master.orders import Change
from releve.server.master.pending import ACK_S, DROP_S, Pending, PendingOrders
from releve.server.master.plan import Plan
from releve.server.prefork.boot import Boot, Revision, read_revision
from releve.server.prefork.lifecycle import Lifecycle
from releve.server.prefork.spawner import Spawner
from releve.server.prefork.workers import Worker, Workers
from releve.server.process import output
from releve.server.process.messages import MalformedOrder
from releve.server.shared.link import Message
from releve.server.shared.log import Who
from releve.server.shared.states import UP, WorkerState


class Reload:
    """The revision that is coming, from its preparation to its switch or its end."""

    def __init__(
        self,
        plan: Plan,
        boot: Boot,
        workers: Workers,
        spawner: Spawner,
        lifecycle: Lifecycle,
        pending_orders: PendingOrders,
    ) -> None:
        self._plan = plan
        self._boot = boot
        self._workers = workers
        self._spawner = spawner
        self._lifecycle = lifecycle
        self._pending = pending_orders
        self._coming: Revision | None = None

    def prepare(self, order: Message, fds: list[int]) -> None:
        """``reload``: fork a whole new set of workers beside the old ones."""
        coming = read_revision(order, fds)
        fds.clear()
        self._coming, self._plan.change = coming, Change.PREPARING
        self._spawner.revisions.append(coming)

        def done(pending: Pending) -> None:
            self._plan.change = Change.PREPARED
            self._pending.answer(pending, workers=[w.number for w in self._workers.up(coming.number)])

        def lost(pending: Pending, worker: Worker) -> None:
            self._fail(pending.id, worker.failure or {})

        new, trouble = self._lifecycle.spawn(coming, coming.settings.workers)
        if trouble:
            self._fail(order["id"], {"step": "workers", "reason": trouble})
        else:
            self._pending.start(
                Pending(
                    "reload", frozenset({WorkerState.READY}), {worker.number for worker in new}, done, lost, order["id"]
                )
            )

    def switch(self, order: Message, fds: list[int]) -> None:
        """``switch``: the new set accepts, then the old one hands its connections over and leaves."""
        coming = self._the_coming(order)
        new = self._workers.up(coming.number)
        if len(new) < coming.settings.workers:
            reason = (
                f"cannot switch: only {len(new)} of {coming.settings.workers} new workers run; the "
                "old ones keep serving"
            )
            self._fail(order["id"], {"step": "switch", "reason": reason})
            return
        self._plan.change = Change.SWITCHING

        def resumed(pending: Pending) -> None:
            if not any(w.state is WorkerState.SERVING for w in self._workers.up(coming.number)):
                reason = "cannot switch: no new worker started to serve; the old ones keep serving"
                self._fail(pending.id, {"step": "switch", "reason": reason})
                return
            old = self._workers.standing(self._plan.current.number)
            self._spawner.close(self._plan.current)
            self._plan.current, self._coming = coming, None
            self._plan.target = coming.settings.workers
            output.standard.lead(coming.log)
            output.begin(coming.settings.log, Who(self._boot.generation, release=self._boot.directory))
            for worker in old:
                worker.dismissed = True
            waiting = self._lifecycle.give_up(old)

            def paused(pending: Pending) -> None:
                self._plan.change = Change.NONE
                for worker in old:
                    if worker.state in UP:
                        self._lifecycle.dismiss(worker, coming.settings.upgrade.retire, None)
                self._pending.answer(pending, given=pending.given, kept=pending.kept)

            self._pending.start(
                Pending("switch", frozenset({WorkerState.PAUSED}), waiting, paused, id=pending.id), within_s=ACK_S
            )

        for worker in new:
            worker.order({"type": "resume"}, WorkerState.SERVING)
        waiting = {w.number for w in new}
        self._pending.start(
            Pending("switch", frozenset({WorkerState.SERVING}), waiting, resumed, id=order["id"]), within_s=ACK_S
        )

    def cancel(self, order: Message, fds: list[int]) -> None:
        """``cancel``: end the new set."""
        self._the_coming(order)
        for pending in self._pending:
            if pending.verb == "reload":
                self._pending.drop(pending, "the reload was cancelled")
        self.withdraw(lambda pending: self._pending.answer(pending), order["id"])

    def _the_coming(self, order: Message) -> Revision:
        if self._coming is None or self._coming.number != order["revision"]:
            raise MalformedOrder(f"cannot {order['type']}: revision {order['revision']} is not the one prepared")
        return self._coming

    def _fail(self, order_id: object, failure: Message) -> None:
        """Withdraw it, then answer the order that has failed."""
        self.withdraw(lambda pending: self._pending.refuse(pending.id, failure), order_id)

    def withdraw(self, then: Callable[[Pending], None], order_id: object = None) -> None:
        """End the new workers of a reload, then go on."""
        coming, self._coming, self._plan.change = self._coming, None, Change.CANCELLING
        assert coming is not None
        self._spawner.close(coming)
        new = [w for w in self._workers if w.revision == coming.number]
        for worker in new:
            self._lifecycle.dismiss(worker, DROP_S, None)

        def gone(pending: Pending) -> None:
            self._plan.change = Change.NONE
            then(pending)

        self._pending.start(Pending("cancel", frozenset(), {w.number for w in new}, gone, id=order_id))
