"""In the master: the controller has each order of the supervisor carried out, and hears what becomes of the workers.

Knows no loop and no clock of its own: ``master.py`` calls it with what happened.
An order is objected to (``orders.objection``) before anything changes; what must
be waited for is a pending order.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from releve.config.grammar import counted
from releve.server.master.canary import Canary
from releve.server.master.guard import Guard
from releve.server.master.orders import Change, Posture, objection
from releve.server.master.pending import ACK_S, DROP_S, Pending, PendingOrders
from releve.server.master.plan import Plan
from releve.server.master.recycling import RecyclingQueue
from releve.server.master.reload import Reload
from releve.server.master.reopen import reopened, rotate
from releve.server.master.scaling import Scaling
from releve.server.master.traffic import Traffic
from releve.server.master.vacancies import Filling
from releve.server.prefork.boot import Boot, Revision
from releve.server.prefork.lifecycle import Lifecycle
from releve.server.prefork.outbox import Outbox, send_failure
from releve.server.prefork.spawner import Spawner
from releve.server.prefork.workers import IllegalTransition, Worker, Workers
from releve.server.process import stacks
from releve.server.process.messages import MalformedOrder
from releve.server.shared import system
from releve.server.shared.faults import fault
from releve.server.shared.form import Unfit, seconds
from releve.server.shared.link import LOST_S, Message, clip
from releve.server.shared.native import os
from releve.server.shared.revive import within
from releve.server.shared.states import WorkerState

REMARKS_MAX = 20
ENDED_MAX = 200  # remembered for the next supervisor
STACKS_MAX = 25_000  # of a master's, in one message

log = logging.getLogger("releve.master")


class Controller:
    """The orders and the workers of a generation whose application is loaded (or is left to the workers)."""

    def __init__(
        self, boot: Boot, workers: Workers, spawner: Spawner, outbox: Outbox, now: Callable[[], float]
    ) -> None:
        self.exit_status = 0
        self.plan = Plan(boot.revision, boot.revision.settings.workers)
        self._boot = boot
        self._workers = workers
        self._spawner = spawner
        self._outbox = outbox
        self._now = now
        self._pending = PendingOrders(outbox, now)
        self._lifecycle = Lifecycle(boot, workers, spawner, outbox, now)
        self._filling = Filling(self.plan, workers, self._lifecycle, outbox, now)
        self._canary = Canary(self.plan, workers, spawner, self._pending)
        self._traffic = Traffic(self.plan, workers, self._lifecycle, self._filling, self._canary, self._pending)
        self._reload = Reload(self.plan, boot, workers, spawner, self._lifecycle, self._pending)
        self._scaling = Scaling(self.plan, workers, self._lifecycle, self._pending)
        self._recycling = RecyclingQueue(self.plan, workers, self._lifecycle, self._pending, now)
        self.guard = Guard(boot.keepsake, boot.door)
        spawner.disown = self.guard.disown
        spawner.workers = self._workers_of
        # of a stop that serves on: deadline (monotonic), linger_s
        self._last_part: tuple[float, float | None] | None = None
        self._remarks: list[str] = []
        # ended unasked: when (monotonic), and whether it had booted
        self._ended: deque[tuple[float, bool]] = deque(maxlen=ENDED_MAX)
        self._quits: list[object] = []  # ids of the quit orders to answer at the end
        self._verbs: dict[str, Callable[[Message, list[int]], None]] = {
            "attend": self._traffic.attend,
            "divert": self._traffic.divert,
            "resume": self._traffic.resume,
            "pause": self._traffic.pause,
            "quit": self._quit,
            "replace": self._recycling.restart,
            "scale": self._scaling.scale,
            "reload": self._reload.prepare,
            "switch": self._reload.switch,
            "cancel": self._reload.cancel,
            "keep": self._keep,
            "door": self._take_door,
            "reopen": self._reopen,
            "stacks": self._stacks,
        }

    def _workers_of(self, revision: Revision) -> int:
        """How many workers of a revision there are to be."""
        return self.plan.target if revision is self.plan.current else revision.settings.workers

    # What happens to it

    def boot(self) -> None:
        """Fork the first workers; ``ready`` or ``failed`` is sent when it is known."""
        self._outbox.send({"type": "phase", "phase": "workers"})
        new, trouble = self._lifecycle.spawn(self.plan.current, self.plan.target, first=True)
        if trouble:
            self._fail_boot({"step": "workers", "reason": trouble})
        else:
            waiting = {worker.number for worker in new}
            self._pending.start(Pending("boot", frozenset({WorkerState.READY}), waiting, self._booted, self._boot_lost))

    def obey(self, message: Message, fds: list[int]) -> None:
        """Begin to carry out one order; it is answered now or later.

        Takes the descriptors that it keeps out of ``fds``.

        Without an id it is passed over: nobody could be answered. Only ``quit`` is obeyed all the same.
        """
        verb, order_id = str(message.get("type")), message.get("id")
        if verb == "alive":
            with suppress(Unfit):
                self.guard.hear(self._now(), within(message.get("within_s")))
            return
        if order_id is None and verb != "quit":
            return
        trouble = objection(verb, self.plan.posture, self.plan.change)
        if trouble is None:
            try:
                self._verbs[verb](message, fds)
            except MalformedOrder as error:
                trouble = str(error)
            except (KeyError, TypeError, ValueError, OverflowError, AttributeError, Unfit) as error:
                trouble = f"cannot {verb}: the order is malformed ({type(error).__name__}: {error})"
        if trouble is not None:
            self._pending.fail(order_id, "order", trouble)

    def hear(self, worker: Worker, message: Message) -> None:
        """A worker said something, in its form (``words.py``).

        Raises IllegalTransition, and then nothing has changed.
        """
        match message["type"]:
            case "failed":
                worker.failure = message
            case "recycle":
                self._recycling.ask(worker, message.get("reason", ""))
            case "mixed":
                self._outbox.send({"type": "mixed", "files": message.get("files", []), "astray": True})
            case "remark":
                self.remark(message["text"])
            case "spent":
                worker.serves_on = False
                self._shut()
            case "reopened":
                self._pending.settle(worker, {}, reopened(message))
            case "state":
                self._note_state(worker, message)

    def _note_state(self, worker: Worker, message: Message) -> None:
        try:
            state = WorkerState(message["state"])
        except ValueError as error:
            raise IllegalTransition(f"a state of {worker}: {error}") from error
        if state is WorkerState.GONE:  # that is the kernel's word
            raise IllegalTransition(f"{worker} reported its own exit")
        worker.become(state)
        self._outbox.send({**message, "worker": worker.number})
        if worker.state is WorkerState.READY:
            self._traffic.join(worker)
        self._pending.settle(worker, message)

    def remark(self, text: str) -> None:
        """Say something, once, that who operates this has to know."""
        if text not in self._remarks and len(self._remarks) < REMARKS_MAX:
            self._remarks.append(text)
            log.warning("%s", text)
            self._outbox.send({"type": "remark", "text": clip(text, 600)})

    def miss(self, worker: Worker) -> None:
        """The control pair of a worker has ended: as it does when the process ends, which is seen in a moment."""
        worker.lost_at = self._now() + LOST_S

    def note_exit(self, worker: Worker, status: int) -> None:
        """A worker was reaped."""
        ready, left = worker.state is not WorkerState.BOOTING, worker.state is WorkerState.LEAVING
        worker.become(WorkerState.GONE)
        self._workers.remove(worker)
        if worker.failure is None:
            worker.failure = {
                "step": "workers",
                "reason": f"{worker} {system.describe_exit(status)}{'' if ready else ' before it was ready'}",
            }
        counts = not worker.dismissed and bool(status or not left)  # as a loss, for the supervisor that comes
        if counts:
            self._ended.append((self._now(), ready))
        if worker.dismissed or left:
            log.log(logging.WARNING if counts else logging.INFO, "%s %s", worker, system.describe_exit(status))
        elif worker.revision == self.plan.current.number and self._filling.missing:
            wait_s = self._filling.lose(worker, booted=ready)
            log.error(
                "%s; starting another %s", worker.failure.get("reason"), f"in {wait_s:.2g} s" if wait_s else "now"
            )
        elif self._pending.fails_with(worker):  # the supervisor logs the reason, with the operation that fails
            log.info("%s %s", worker, system.describe_exit(status))
        else:
            log.error("%s", worker.failure.get("reason"))
        self._outbox.send(
            {"type": "gone", "worker": worker.number, "pid": worker.pid, "status": status, "expected": worker.dismissed}
        )
        self._pending.settle(worker, {})
        self._shut()

    def keep(self) -> None:
        """What is due by the clock: overdue workers, late pending orders, other workers for those lost or recycled."""
        now = self._now()
        self._lifecycle.keep(self.plan.current.settings.timeouts.boot)
        self._pending.expire(now)
        self._filling.step()
        self._recycling.step()
        self.guard.step(now)

    def next_due(self) -> float | None:
        """When ``keep`` must be called next (monotonic); None: not before something happens."""
        dues = self._pending.deadlines()
        dues += self._lifecycle.deadlines()
        later = (self._filling.next_due(), self._recycling.next_due(), self.guard.next_due())
        dues += [due for due in later if due is not None]
        return min(dues, default=None)

    def leave(self, deadline_s: float, linger_s: float | None, *, serve_on: bool = False) -> None:
        """Have every worker finish and go; kill what is left after the deadline.

        ``serve_on``: those that serve accept until all of them are spent.
        """
        self.plan.posture = Posture.LEAVING
        self.plan.change = Change.NONE
        self._canary.end()
        for pending in self._pending:
            self._pending.drop(pending, "the generation stops")
        for revision in list(self._spawner.revisions):
            self._spawner.close(revision)
        for worker in self._workers:
            self._lifecycle.dismiss(
                worker, deadline_s, linger_s, serve_on=serve_on and worker.state is WorkerState.SERVING
            )
        self._last_part = (self._now() + deadline_s, linger_s) if serve_on else None
        self._shut()

    def _shut(self) -> None:
        """Where workers serve on, have all of them accept no more as soon as the last one is spent."""
        if self._last_part is not None and not any(worker.serves_on for worker in self._workers):
            (deadline, linger_s), self._last_part = self._last_part, None
            for worker in self._workers:
                self._lifecycle.dismiss(worker, max(0.0, deadline - self._now()), linger_s)

    @property
    def over(self) -> bool:
        """Whether everybody has left, as was wanted."""
        return self.plan.posture is Posture.LEAVING and not len(self._workers)

    def answer_quits(self) -> None:
        """Answer the orders to quit."""
        for order_id in self._quits:
            self._outbox.send({"type": "done", "id": order_id})

    # Without a supervisor, and with the next one

    def go_on_alone(self) -> None:
        """The supervisor has gone without a goodbye: serve on. What was only prepared is dropped."""
        if self.plan.change in (Change.PREPARING, Change.PREPARED):
            for pending in self._pending:
                if pending.verb == "reload":
                    self._pending.drop(pending, "the supervisor exited")
            self._reload.withdraw(lambda _: None)
        self._pending.forget()
        self._recycling.forget()
        self.guard.alarm(self._now())

    def take_stock(self) -> None:
        """Tell a supervisor that has just come what there is, and hand it what it must hold."""
        boot, revision = self._boot, self.plan.current
        fds = [sock.fileno() for _, sock in revision.listeners]
        fds += [boot.exchange_receive, boot.exchange_send, boot.board, boot.crash, boot.keepsake]
        self._outbox.send(
            {
                "type": "inventory",
                "generation": boot.generation,
                "posture": self.plan.posture.value,
                "revision": revision.number,
                "listeners": [name for name, _ in revision.listeners],
                "preloaded": self._spawner.application is not None,
                "diverting": self._canary.to,
                "crashed": [when for when, booted in self._ended if booted],
                "unbooted": [when for when, booted in self._ended if not booted],
            },
            fds,
        )
        for worker in self._workers:
            self._lifecycle.report(worker)
            self._outbox.send({"type": "state", "worker": worker.number, "state": worker.state.value})
        self._outbox.send({"type": "ready"})

    def _keep(self, order: Message, fds: list[int]) -> None:
        if len(fds) != 1:
            raise MalformedOrder(f"cannot keep: {counted(len(fds), 'descriptor')}, not one")
        self.guard.keep(fds[0])
        self._outbox.send({"type": "done", "id": order["id"]})

    def _take_door(self, order: Message, fds: list[int]) -> None:
        if len(fds) != 1 or self._boot.door < 0:
            raise MalformedOrder(f"cannot replace the door: {counted(len(fds), 'descriptor')}, not one; or it has none")
        os.dup2(fds[0], self._boot.door, inheritable=False)
        self._outbox.send({"type": "done", "id": order["id"]})

    def _reopen(self, order: Message, fds: list[int]) -> None:
        waiting = rotate(order, fds, self._spawner.revisions, self.plan.current.number, self._workers)
        done = self._pending.answer
        self._pending.start(
            Pending("reopen", frozenset({reopened(order)}), waiting, done, id=order["id"]), within_s=ACK_S
        )

    def _stacks(self, order: Message, fds: list[int]) -> None:
        self._outbox.send({"type": "done", "id": order["id"], "text": stacks.text(limit=STACKS_MAX)})

    # Boot

    def _booted(self, pending: Pending) -> None:
        self.plan.posture = Posture.READY
        log.info("%s ready", counted(len(self._workers.up(self.plan.current.number)), "worker"))
        self._outbox.send({"type": "ready"})

    def _boot_lost(self, pending: Pending, worker: Worker) -> None:
        self._fail_boot(worker.failure or {})

    def _fail_boot(self, failure: Message) -> None:
        self.exit_status = 1
        send_failure(self._outbox, failure)
        self.leave(DROP_S, None)

    def _quit(self, order: Message, fds: list[int]) -> None:
        fault("master_quit")
        linger = order.get("linger_s")
        deadline_s, linger_s = seconds(order["deadline_s"]), None if linger is None else seconds(linger)
        self._quits.append(order.get("id"))
        self.leave(deadline_s, linger_s, serve_on=order.get("serve_on") is True)
