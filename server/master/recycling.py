"""In the master: the workers that asked to be replaced. A replacement serves first, then they retire; one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable

from releve.server.master.pending import ACK_S, DROP_S, Pending, PendingOrders
from releve.server.master.plan import Plan
from releve.server.master.vacancies import backoff_s
from releve.server.prefork.lifecycle import Lifecycle
from releve.server.prefork.workers import Worker, Workers
from releve.server.shared.states import UP, WorkerState

RETRY_S = 1.0  # at least, after a replacement has failed

log = logging.getLogger("releve.master")


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
        self._queue: dict[int, str] = {}  # number of a worker -> why
        self._busy = False
        self._failures = 0  # in a row
        self._due = float("-inf")  # the next try, after a failure

    def ask(self, worker: Worker, reason: str) -> None:
        """A worker asks to be replaced."""
        self._queue.setdefault(worker.number, reason)
        self.step()

    def next_due(self) -> float | None:
        """When ``step`` must be called though nothing happens (monotonic)."""
        return self._due if self._queue and not self._busy and self._due > self._now() else None

    def step(self) -> None:
        """Begin the next one, if that can be done now."""
        for number in [number for number in self._queue if not _stays(self._workers.get(number))]:
            del self._queue[number]
        if self._busy or not self._queue or self._now() < self._due or not self._plan.settled:
            return
        if sum(worker.dismissed for worker in self._workers) >= len(self._workers) / 2:
            return  # as many retire as serve: wait until some have left
        number, reason = next(iter(self._queue.items()))
        old = self._workers.get(number)
        assert old is not None, "those that have gone are out of the queue"
        forked, trouble = self._lifecycle.spawn(self._plan.current, 1)
        if not forked:
            self._complain(old, trouble)
            return
        new = forked[0]
        self._busy = True
        log.info("%s %s; replacing it with %s", old, reason, new)

        def serving(pending: Pending) -> None:
            if _stays(old) and self._plan.settled and new.state is WorkerState.SERVING:
                del self._queue[number]
                self._failures = 0
                self._retire(old)
                return
            if new.state is not WorkerState.GONE and not new.dismissed and _stays(old):
                self._lifecycle.dismiss(new, DROP_S, None)  # forked in vain
            self._over()

        def lost(pending: Pending, worker: Worker) -> None:
            self._complain(old, str((worker.failure or {}).get("reason", "it exited")))
            self._over()

        self._pending.start(
            Pending("replace", frozenset({WorkerState.SERVING, WorkerState.PAUSED}), {new.number}, serving, lost)
        )

    def _retire(self, worker: Worker) -> None:
        """Have a worker give its idle connections to its siblings, finish what it has, and leave."""

        def paused(pending: Pending) -> None:
            if worker.state in UP:
                self._lifecycle.dismiss(worker, self._plan.current.settings.upgrade.retire, None)
            self._over()

        worker.dismissed = True
        waiting = self._lifecycle.give_up([worker])
        self._pending.start(Pending("retire", frozenset({WorkerState.PAUSED}), waiting, paused), within_s=ACK_S)

    def _complain(self, old: Worker, why: str) -> None:
        self._failures += 1
        wait_s = max(RETRY_S, backoff_s(self._failures))
        self._due = self._now() + wait_s
        log.error("cannot replace %s: %s; it keeps serving, trying again in %g s", old, why, wait_s)

    def _over(self) -> None:
        self._busy = False


def _stays(worker: Worker | None) -> bool:
    return worker is not None and not worker.dismissed and worker.state in (WorkerState.SERVING, WorkerState.ATTENDING)
