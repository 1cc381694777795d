"""In the master: the orders that move traffic, attend, divert, resume and pause, carried out by all workers."""

from __future__ import annotations

from releve.server.master.canary import Canary
from releve.server.master.orders import ESTABLISHED, Posture
from releve.server.master.pending import ACK_S, Pending, PendingOrders
from releve.server.master.plan import Plan
from releve.server.master.vacancies import Filling
from releve.server.prefork.lifecycle import Lifecycle, names
from releve.server.prefork.workers import Worker, Workers
from releve.server.process.messages import MalformedOrder
from releve.server.shared import system
from releve.server.shared.faults import fault
from releve.server.shared.link import Message
from releve.server.shared.states import WorkerState


class Traffic:
    """Each order takes the place of the one before it; a worker that boots meanwhile follows."""

    def __init__(
        self,
        plan: Plan,
        workers: Workers,
        lifecycle: Lifecycle,
        filling: Filling,
        canary: Canary,
        pending_orders: PendingOrders,
    ) -> None:
        self._plan = plan
        self._workers = workers
        self._lifecycle = lifecycle
        self._filling = filling
        self._canary = canary
        self._pending = pending_orders

    def attend(self, order: Message, fds: list[int]) -> None:
        """Have every worker take connections from the exchange only: this generation is a canary."""
        fault("master_attend")
        system.die_with_parent(False)
        self._supersede("attend")
        self._plan.posture = Posture.ATTENDING
        self._canary.attend(order)

    def divert(self, order: Message, fds: list[int]) -> None:
        """Have every worker pass a share of its new connections on to a canary, or none any more."""
        fault("master_divert")
        self._supersede("divert")
        self._canary.divert(order, fds)

    def resume(self, order: Message, fds: list[int]) -> None:
        """Have every worker accept, those too that come later."""
        fault("master_resume")
        before = self._plan.posture
        if before not in ESTABLISHED:
            system.die_with_parent(False)
        self._supersede("resume")
        self._plan.posture = Posture.RESUMING
        able = self._up()
        if not able:
            self._filling.step(at_once=True)  # whatever the back-off
        asked = [w for w in able if not (w.state is WorkerState.SERVING and w.told is WorkerState.SERVING)]
        for worker in asked:
            worker.order({"type": "resume"}, WorkerState.SERVING)

        def done(pending: Pending) -> None:
            if any(w.state is WorkerState.SERVING for w in self._up()):
                self._plan.posture = Posture.RESUMED
                self._pending.answer(pending, workers=len(self._up()))
            else:
                self._plan.posture = before if before in (Posture.READY, Posture.RESUMED) else Posture.PAUSED
                # whoever hears it late shall not serve alone
                self._lifecycle.pause(self._up(), None, ())
                self._pending.fail(pending.id, "resume", "cannot resume: no worker started to serve")

        waiting = {w.number for w in (asked if able else self._workers.standing(self._plan.current.number))}
        self._pending.start(
            Pending("resume", frozenset({WorkerState.SERVING}), waiting, done, id=order["id"]), within_s=ACK_S
        )

    def pause(self, order: Message, fds: list[int]) -> None:
        """Have every worker accept no more, and give its idle connections to another generation, if one is named."""
        fault("master_pause")
        to = order.get("to")
        if to is not None and not fds:
            raise MalformedOrder("cannot pause: the exchange of the receiving generation is missing")
        self._supersede("pause")
        self._canary.end()
        self._plan.posture = Posture.PAUSING

        def done(pending: Pending) -> None:
            self._plan.posture = Posture.PAUSED
            if pending.late:
                late = names(self._workers.named(pending.late))
                self._pending.fail(
                    pending.id, "pause", f"cannot confirm that all paused: {late} did not answer for {ACK_S:g} s"
                )
            else:
                self._pending.answer(pending, given=pending.given, kept=pending.kept)

        waiting = self._lifecycle.pause(self._up(), to, tuple(fds[:1]) if to is not None else ())
        self._pending.start(
            Pending("pause", frozenset({WorkerState.PAUSED}), waiting, done, id=order["id"]), within_s=ACK_S
        )

    def join(self, worker: Worker) -> None:
        """A worker has booted: it does what the others do."""
        worker.ready_by = None
        if worker.revision != self._plan.current.number or worker.dismissed:
            return
        if self._plan.posture in (Posture.RESUMING, Posture.RESUMED):
            self._canary.brief(worker)
            worker.order({"type": "resume"}, WorkerState.SERVING)
        elif self._plan.posture is Posture.ATTENDING:
            worker.order({"type": "attend"}, WorkerState.ATTENDING)
        elif self._plan.posture is not Posture.BOOTING:
            self._pending.settle(worker, {}, WorkerState.PAUSED)  # it waits as the others do

    def _up(self) -> list[Worker]:
        return self._workers.up(self._plan.current.number)

    def _supersede(self, verb: str) -> None:
        for pending in self._pending:
            if pending.verb in ("attend", "divert", "resume", "pause"):
                self._pending.drop(pending, f"an order to {verb} followed")
