"""The saturation of a service: every thread of every worker is in the application, and clients wait.

Each worker writes since when it has no free thread, so that a service is saturated for as long as all of them have had
none. The log hears of it once when it begins, and once when it has been over for ten seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.server.scoreboard.record import Record
from releve.server.shared.states import WorkerState
from releve.supervisor.generation.generation import Generation
from releve.supervisor.listeners.accept_queue import accept_queue
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.reporting.log import log

BEGIN_S = 2.0  # without a free thread: a burst is shorter
CALM_S = 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a service is at a moment.

    ``threads`` is 0, and ``full_s`` None, where workers do not say how many they have.
    """

    busy: int  # threads that are in the application
    threads: int
    waiting: int  # clients that nobody has accepted, and requests that wait for a thread
    full_s: float | None  # since every thread has been in the application; None: one is free

    @property
    def words(self) -> str:
        """Of a service that is saturated: ``all 16 threads busy for 12 s, 37 waiting``."""
        threads = "the only thread" if self.threads == 1 else f"all {counted(self.threads, 'thread')}"
        waiting = f", {self.waiting} waiting" if self.waiting else ""
        return f"{threads} busy for {self.full_s or 0.0:.0f} s{waiting}"


def load_of(generation: Generation | None, listeners: Iterable[Listener]) -> Load:
    """That of the workers in service, and of the queues before them."""
    records = [] if generation is None else list(_records(generation))
    queued = sum(queue.waiting for one in listeners if (queue := accept_queue(one.socket)) is not None)
    told = bool(records) and all(one.threads for one in records)
    since_ns = max((one.full_ns for one in records), default=0) if told and all(one.full_ns for one in records) else 0
    now_ns = time.monotonic_ns()
    return Load(
        busy=sum(one.busy for one in records),
        threads=sum(one.threads for one in records) if told else 0,
        waiting=queued + sum(one.waiting for one in records),
        full_s=(now_ns - since_ns) / 1e9 if 0 < since_ns <= now_ns else None,
    )


def _records(generation: Generation) -> Iterable[Record]:
    for worker in generation.workers.values():
        record = worker.record(generation.board) if worker.state == WorkerState.SERVING else None
        if record is not None:
            yield record


class Saturation:
    """That of one service. Lives in the supervisor's loop."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began: float | None = None  # monotonic; the log was told
        self._last = 0.0  # monotonic: when it was seen last

    def look(self, load: Load) -> bool:
        """See whether a service is saturated now, and tell the log if that has changed."""
        now = self._now()
        saturated = load.full_s is not None and load.full_s >= BEGIN_S
        if saturated:
            self._last = now
            if self._began is None:
                self._began = now - (load.full_s or 0.0)
                log.warning("saturated: %s", load.words)
        elif self._began is not None and now - self._last >= CALM_S:
            lasted_s, self._began = self._last - self._began, None
            log.info("no longer saturated after %.0f s: %d of %d threads busy", lasted_s, load.busy, load.threads)
        return saturated
