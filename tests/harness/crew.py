"""A generation whose workers nobody has forked: each is a control pair, of which the test has the other end."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from releve.config.settings.settings import Settings
from releve.server.master.pending import PendingOrders
from releve.server.master.plan import Plan
from releve.server.prefork.lifecycle import Lifecycle
from releve.server.prefork.workers import Worker, Workers
from releve.server.shared.link import Link, Message, pair
from releve.server.shared.states import WorkerState


class Crew:
    """The workers, what they were told, and what the supervisor was."""

    def __init__(self, exchange: int) -> None:
        self.now = 100.0  # monotonic
        self.workers = Workers()
        self.said: list[Message] = []  # to the supervisor
        self.alone = False  # the supervisor has gone
        self.refuses = False  # the system forks nothing
        self.diversion = -1
        revision: Any = SimpleNamespace(number=1, settings=Settings(app="x:y", workers=2))
        self.plan = Plan(revision, 2)
        boot: Any = SimpleNamespace(generation=7, exchange_send=exchange)
        this: Any = self
        self.outbox = this
        self.spawner = this
        self.pending = PendingOrders(this, self.clock)
        self.lifecycle = Lifecycle(boot, self.workers, this, this, self.clock)
        self._ends: dict[int, Link] = {}

    def clock(self) -> float:
        return self.now

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> bool:
        if not self.alone:
            self.said.append(message)
        return not self.alone

    def mixed(self) -> list[str]:
        return []

    def spawn(self, revision: Any) -> Worker:
        """As the spawner does."""
        if self.refuses:
            raise BlockingIOError("no more processes")
        ours, theirs = pair()
        worker = Worker(self.workers.next_number(), self.workers.take_slot(), revision.number, 0, -1, ours)
        self.workers.add(worker)
        self._ends[worker.number] = theirs
        return worker

    def up(self, state: WorkerState, count: int = 2) -> list[Worker]:
        """Some workers that have come to a state."""
        made = [self.spawn(self.plan.current) for _ in range(count)]
        for worker in made:
            worker.state = state
        return made

    def told(self, worker: Worker) -> list[str]:
        """The orders that a worker has got since it was asked last."""
        verbs = []
        for message, fds in self._ends[worker.number].messages():
            verbs.append(str(message["type"]))
            for fd in fds:
                os.close(fd)
        return verbs

    def come(self, worker: Worker, state: WorkerState, **more: object) -> None:
        """It says that it has come to a state."""
        worker.become(state)
        self.pending.settle(worker, {"type": "state", "state": state.value, **more})

    def end(self, worker: Worker) -> None:
        """It ends, by itself."""
        worker.become(WorkerState.GONE)
        self.workers.remove(worker)
        self.pending.settle(worker, {})

    def answers(self) -> list[Message]:
        """What the supervisor was answered since it was looked at last."""
        found = [message for message in self.said if message["type"] in ("done", "failed")]
        self.said.clear()
        return found

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        for end in self._ends.values():
            end.close()
