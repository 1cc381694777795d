"""In the master: the workers that are to be replaced, since they ask for it or the supervisor does (`ctl restart`).

A replacement serves first, then they retire; one at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from releve.config.frozen import dataclass
from releve.server.master.pending import ACK_S, DROP_S, Pending, PendingOrders
from releve.server.master.plan import Plan
from releve.server.master.vacancies import backoff_s
from releve.server.prefork.lifecycle import Lifecycle
from releve.server.prefork.workers import Worker, Workers
from releve.server.process.messages import MalformedOrder
from releve.server.shared.link import Message
from releve.server.shared.states import AT_WORK, UP, WorkerState

RETRY_S = 1.0  # at least, after a replacement has failed

log = logging.getLogger("releve.master")


def _stays(worker: Worker) -> bool:
    """Whether a worker serves, or stands by to serve again."""
    return not worker.dismissed and worker.state in UP


def _serves(worker: Worker) -> bool:
    return not worker.dismissed and worker.state in AT_WORK


@dataclass(frozen=True, slots=True)
class Wish:
    """Why a worker is to be replaced."""

    reason: str
    asked: bool = True  # by the worker itself: it is tried again until it is done
    order: object = None  # id of the supervisor's order, which is answered at the first try


class RecyclingQueue:
    """The queue, and the one whose turn it is."""

    def __init__(
        self,
        plan: Plan,
        workers: Workers,
        lifecycle: Lifecycle,
        pending_orders: PendingOrders,
        now: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._workers = workers
        self._pending = pending_orders
        self._lifecycle = lifecycle
        self._now = now
        self._queue: dict[int, Wish] = {}  # by the number of the worker
        self._busy = False
        self._failures = 0  # in a row
        self._due = float("-inf")  # the next try, after a failure

    def ask(self, worker: Worker, reason: str) -> None:
        """A worker asks to be replaced."""
        before = self._queue.get(worker.number)
        self._queue[worker.number] = Wish(reason) if before is None else replace(before, asked=True)
        self.step()

    def restart(self, order: Message, fds: list[int]) -> None:
        """The supervisor asks: answered when the replacement serves and the worker accepts no more. Its turn is next.

        Raises MalformedOrder where it cannot be.
        """
        number = int(order["worker"])
        worker, before = self._workers.get(number), self._queue.get(number)
        if worker is None or not _serves(worker):
            raise MalformedOrder(f"cannot replace worker {number}: it does not serve")
        if before is not None and before.order is not None:
            raise MalformedOrder(f"cannot replace {worker}: it is being replaced already")
        if self._crowded:
            raise MalformedOrder(
                f"cannot replace {worker}: as many workers as serve still finish their requests; wait until some exit"
            )
        wish = Wish("was asked to leave (ctl restart)", asked=False) if before is None else before
        others = {other: its for other, its in self._queue.items() if other != number}
        self._queue = {number: replace(wish, order=order["id"]), **others}
        self._due = float("-inf")
        self.step()

    def forget(self) -> None:
        """Answer no order any more, and carry out none: the supervisor has gone. What workers asked for stays."""
        self._queue = {number: replace(wish, order=None) for number, wish in self._queue.items() if wish.asked}

    @property
    def _crowded(self) -> bool:
        """Whether as many retire as serve."""
        return sum(worker.dismissed for worker in self._workers) >= len(self._workers) / 2

    def next_due(self) -> float | None:
        """When ``step`` must be called though nothing happens (monotonic)."""
        return self._due if self._queue and not self._busy and self._due > self._now() else None

    def step(self) -> None:
        """Begin the next one, if that can be done now."""
        self._sort_out()
        if self._busy or self._now() < self._due or not self._plan.settled:
            return
        if self._crowded:
            return  # wait until some have left
        able = (worker for worker in map(self._workers.get, self._queue) if worker is not None and _serves(worker))
        old = next(able, None)
        if old is None:
            return
        number, wish = old.number, self._queue[old.number]
        forked, trouble = self._lifecycle.spawn(self._plan.current, 1)
        if not forked:
            self._complain(old, trouble)
            return
        new = forked[0]
        self._busy = True
        log.info("%s %s; replacing it with %s", old, wish.reason, new)

        def serving(pending: Pending) -> None:
            wish = self._queue.get(number)  # none any more: the order was refused in a pause, or forgotten
            if wish is not None and _serves(old) and self._plan.settled and new.state is WorkerState.SERVING:
                self._failures = 0
                del self._queue[number]
                self._retire(old, wish.order)
                return
            if new.state is not WorkerState.GONE and not new.dismissed and _stays(old):
                self._lifecycle.dismiss(new, DROP_S, None)  # forked in vain; else it takes the place of the old one
            self._refuse(number, "the generation is in the middle of another change")
            self._over()

        def lost(pending: Pending, worker: Worker) -> None:
            self._complain(old, str((worker.failure or {}).get("reason", "it exited")))
            self._over()

        self._pending.start(
            Pending("replace", frozenset({WorkerState.SERVING, WorkerState.PAUSED}), {new.number}, serving, lost)
        )

    def _retire(self, worker: Worker, order: object) -> None:
        """Have a worker give its idle connections to its siblings, finish what it has, and leave. ``order``: the id of
        the one to answer, if there is one.
        """

        def paused(pending: Pending) -> None:
            if worker.state in UP:
                self._lifecycle.dismiss(worker, self._plan.current.settings.upgrade.retire, None)
            self._pending.answer(pending)
            self._over()

        worker.dismissed = True
        waiting = self._lifecycle.give_up([worker])
        self._pending.start(
            Pending("retire", frozenset({WorkerState.PAUSED}), waiting, paused, id=order), within_s=ACK_S
        )

    def _complain(self, old: Worker, why: str) -> None:
        answered = self._refuse(old.number, why)
        if old.number not in self._queue:  # it was only ordered: who did so knows, if the order was not refused before
            if not answered and _stays(old):
                log.error("cannot replace %s: %s; it stays", old, why)
            return
        self._failures += 1
        wait_s = max(RETRY_S, backoff_s(self._failures))
        self._due = self._now() + wait_s
        log.error("cannot replace %s: %s; it keeps serving, trying again in %g s", old, why, wait_s)

    def _refuse(self, number: int, why: str) -> bool:
        """Answer the order for a worker, if there is one, that it was not carried out; returns whether there is."""
        wish = self._queue.get(number)
        if wish is None or wish.order is None:
            return False
        if wish.asked:
            self._queue[number] = replace(wish, order=None)
        else:
            del self._queue[number]
        self._pending.fail(wish.order, "workers", f"cannot replace worker {number}: {why}")
        return True

    def _sort_out(self) -> None:
        """Strike off those that leave. Who stands by keeps its wish, for when it serves again: it asks only once."""
        for number in list(self._queue):
            worker = self._workers.get(number)
            if worker is None or not _serves(worker):
                self._refuse(number, "it no longer serves")
            if worker is None or not _stays(worker):
                self._queue.pop(number, None)

    def _over(self) -> None:
        self._busy = False
