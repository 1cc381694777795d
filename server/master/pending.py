"""Pending orders: what some workers were told, until each has done it or has died; and the answers to the
supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from releve.server.prefork.outbox import Outbox, log_failure, send_failure
from releve.server.prefork.workers import Worker
from releve.server.shared.link import Message
from releve.server.shared.states import WorkerState

ACK_S = 6.0  # how long a worker may take to say that it serves, or has paused; a switch waits for both
DROP_S = 5.0  # deadline of workers that were never resumed


@dataclass
class Pending:
    """Workers (by number) on their way to one of the states ``awaited``, or to what is told by a word; to their end, if
    that is empty.

    ``done`` runs when the last one has arrived. ``lost`` runs, if given, for one
    that ends before, and ends the pending order; else such a worker counts as arrived,
    since it holds nothing any more.
    """

    verb: str
    awaited: frozenset[WorkerState | str]
    waiting: set[int]
    done: Callable[[Pending], None]
    lost: Callable[[Pending, Worker], None] | None = None
    id: object = None  # of the order; None: nobody waits for an answer
    deadline: float | None = None  # monotonic; then it is done without those that are late
    given: int = 0
    kept: int = 0
    late: list[int] = field(default_factory=list)


class PendingOrders:
    """All pending orders under way."""

    def __init__(self, outbox: Outbox, now: Callable[[], float]) -> None:
        self._outbox = outbox
        self._now = now
        self._list: list[Pending] = []

    def __iter__(self) -> Iterator[Pending]:
        return iter(list(self._list))

    def start(self, pending: Pending, within_s: float | None = None) -> None:
        """Begin to wait; done at once if there is nobody to wait for.

        ``within_s``: after so long it is done without those that are late.
        """
        if within_s is not None:
            pending.deadline = self._now() + within_s
        self._list.append(pending)
        if not pending.waiting:
            self._finish(pending)

    def settle(self, worker: Worker, message: Message, state: WorkerState | str | None = None) -> None:
        """A worker has come to a state (or to what is as good as ``state``): tell whoever awaits that of it, or loses
        it.
        """
        state = state or worker.state
        for pending in self:
            if worker.number not in pending.waiting or pending not in self._list:
                continue  # not, or not any more: dropped by what came of the one before
            if state in pending.awaited:
                pending.given += int(message.get("given", 0))
                pending.kept += int(message.get("kept", 0))
            elif state is not WorkerState.GONE and not (state is WorkerState.LEAVING and pending.awaited):
                continue
            elif pending.lost is not None:
                self._list.remove(pending)
                pending.lost(pending, worker)
                continue
            pending.waiting.discard(worker.number)
            if not pending.waiting:
                self._finish(pending)

    def fails_with(self, worker: Worker) -> bool:
        """Whether an order waits for this worker, and its failure is the order's."""
        return any(worker.number in pending.waiting and pending.lost is not None for pending in self._list)

    def expire(self, now: float) -> None:
        """Do without the late ones, where the deadline has passed."""
        for pending in self:
            if pending.deadline is not None and pending.deadline <= now and pending in self._list:
                pending.late = sorted(pending.waiting)
                self._finish(pending)

    def deadlines(self) -> list[float]:
        """When ``expire`` is due (monotonic)."""
        return [pending.deadline for pending in self._list if pending.deadline is not None]

    def refuse(self, order_id: object, failure: Message) -> None:
        """Answer that an order was not carried out, for a reason that a worker gave. Without an id, nobody waits for
        the answer: the reason is logged.
        """
        if order_id is None:
            log_failure(failure)
        else:
            send_failure(self._outbox, failure, id=order_id)

    def drop(self, pending: Pending, why: str) -> None:
        """Wait no longer; the order has failed, since something else came between."""
        self._list.remove(pending)
        if pending.id is not None:
            self.fail(pending.id, "order", f"cannot finish {pending.verb}: {why}")

    def forget(self) -> None:
        """Answer none of them any more: the supervisor has gone, and the next one numbers its orders from 1 again."""
        for pending in self._list:
            pending.id = None

    def answer(self, pending: Pending, **results: object) -> None:
        """Send ``done`` for it, if it has a number."""
        if pending.late:
            results["late"] = pending.late
        if pending.id is not None:
            self._outbox.send({"type": "done", "id": pending.id, **results})

    def fail(self, order_id: object, step: str, reason: str) -> None:
        """Answer that an order was not carried out, for a reason of ours; as ``refuse``."""
        self.refuse(order_id, {"step": step, "reason": reason})

    def _finish(self, pending: Pending) -> None:
        self._list.remove(pending)
        pending.done(pending)
