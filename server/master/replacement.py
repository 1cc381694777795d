"""In the master: the workers that asked to be replaced. A replacement serves first, then they retire; one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from releve.server.master.pending import Pending, PendingOrders
from releve.server.master.vacancies import backoff_s
from releve.server.prefork.workers import Worker, Workers
from releve.server.shared.states import WorkerState

RETRY_S = 1.0  # at least, after a replacement has failed

log = logging.getLogger("releve.master")


class Controls(Protocol):
    """What is done to the workers on its behalf; ``controller.Controller`` does it."""

    def may_turn_over(self) -> bool:
        """Whether the workers serve, and are not in the middle of another change."""
        ...

    def add_one(self) -> tuple[Worker | None, str]:
        """Fork one more worker of the current revision, or say why not."""
        ...

    def retire(self, worker: Worker, done: Callable[[], None]) -> None:
        """Have a worker give its connections to its siblings, and leave in its own time; ``done`` when it has given
        them.
        """
        ...

    def dismiss_new(self, worker: Worker) -> None:
        """End a worker that is not needed after all."""
        ...


class Replacements:
    """The queue, and the one whose turn it is."""

    def __init__(
        self, workers: Workers, pending_orders: PendingOrders, controls: Controls, now: Callable[[], float]
    ) -> None:
        self._workers = workers
        self._pending = pending_orders
        self._controls = controls
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
        if self._busy or not self._queue or self._now() < self._due or not self._controls.may_turn_over():
            return
        if sum(worker.dismissed for worker in self._workers) >= len(self._workers) / 2:
            return  # as many retire as serve: wait until some have left
        number, reason = next(iter(self._queue.items()))
        old = self._workers.get(number)
        assert old is not None, "those that have gone are out of the queue"
        new, trouble = self._controls.add_one()
        if new is None:
            self._complain(old, trouble)
            return
        self._busy = True
        log.info("%s %s: %s takes its place", old, reason, new)

        def serving(pending: Pending) -> None:
            if _stays(old) and self._controls.may_turn_over() and new.state is WorkerState.SERVING:
                del self._queue[number]
                self._failures = 0
                self._controls.retire(old, self._over)
                return
            if new.state is not WorkerState.GONE and not new.dismissed and _stays(old):
                self._controls.dismiss_new(new)
            self._over()

        def lost(pending: Pending, worker: Worker) -> None:
            self._complain(old, str((worker.failure or {}).get("reason", "it has gone")))
            self._over()

        self._pending.start(
            Pending("replace", frozenset({WorkerState.SERVING, WorkerState.PAUSED}), {new.number}, serving, lost)
        )

    def _complain(self, old: Worker, why: str) -> None:
        self._failures += 1
        wait_s = max(RETRY_S, backoff_s(self._failures))
        self._due = self._now() + wait_s
        log.error("cannot replace %s: %s; it serves on, trying again in %gs", old, why, wait_s)

    def _over(self) -> None:
        self._busy = False


def _stays(worker: Worker | None) -> bool:
    return worker is not None and not worker.dismissed and worker.state in (WorkerState.SERVING, WorkerState.ATTENDING)
