"""The traffic of one generation: what its workers have counted on the scoreboard, summed up and remembered for a
minute.

A worker's slot is given to another one after its death, and a new worker begins
at nothing: what counts is how much each record grew since it was last looked at.
"""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from releve.config.frozen import dataclass
from releve.server.scoreboard.record import BUCKETS, Record, quantile_s

REMEMBERED_S = 60.0
EVERY_S = 5.0  # between two samples of the generation in service


@dataclass(frozen=True, slots=True)
class Totals:
    """Requests of clients answered so far, and how: of a generation since its start, or of a time between two such."""

    requests: int = 0
    errors: int = 0  # answered with 5xx
    durations: tuple[int, ...] = (0,) * BUCKETS
    accepted: int = 0  # new connections
    diverted: int = 0  # of those, passed on to a canary
    undiverted: int = 0  # of those, could not be passed on
    polled: int = 0  # of the requests, for the path that is for load balancers
    polled_errors: int = 0

    def __add__(self, other: Totals) -> Totals:
        return self._with(operator.add, other)

    def __sub__(self, other: Totals) -> Totals:
        return self._with(operator.sub, other)

    def growth(self, before: Totals) -> Totals:
        """How much each number has grown: nothing where it shrank, which only a worker does that writes what it
        likes.
        """
        return self._with(lambda now, then: max(0, now - then), before)

    def _with(self, do: Callable[[int, int], int], other: Totals) -> Totals:
        return Totals(
            do(self.requests, other.requests),
            do(self.errors, other.errors),
            tuple(map(do, self.durations, other.durations)),
            do(self.accepted, other.accepted),
            do(self.diverted, other.diverted),
            do(self.undiverted, other.undiverted),
            do(self.polled, other.polled),
            do(self.polled_errors, other.polled_errors),
        )

    @property
    def unpolled(self) -> Totals:
        """Without those for the path that is for load balancers: what clients got."""
        return replace(
            self,
            requests=self.requests - self.polled,
            errors=self.errors - self.polled_errors,
            polled=0,
            polled_errors=0,
        )

    @property
    def share(self) -> float:
        """Of errors in all requests, 0 to 1."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def p99_s(self) -> float | None:
        """99 of 100 were answered within so many seconds, to the next power of two of microseconds."""
        return quantile_s(self.durations, 0.99)

    def words(self) -> str:
        """For people."""
        p99 = "" if self.p99_s is None else f", p99 under {self.p99_s * 1000:.3g} ms"
        return f"{self.errors} of {self.requests} requests answered with 5xx ({self.share:.1%}){p99}"


class RunningTotals:
    """What the records of one generation amount to.

    ``look`` gives the records of the slots that it has used, living and dead.
    """

    def __init__(
        self, look: Callable[[], Iterable[tuple[int, Record]]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._now = now
        self._total = Totals()
        self._seen: dict[int, tuple[int, Totals]] = {}  # slot -> pid of its worker, and as it was last
        self._samples: deque[tuple[float, Totals]] = deque()

    def sample(self) -> Totals:
        """The total so far; remembered with its time."""
        for slot, record in self._look():
            if record.pid:
                connections = (record.accepted, record.diverted, record.undiverted)
                totals = Totals(
                    record.requests, record.status_5xx, record.durations, *connections, record.polled, record.polled_5xx
                )
                pid, before = self._seen.get(slot, (0, Totals()))
                self._total += totals.growth(before) if pid == record.pid else totals
                self._seen[slot] = record.pid, totals
        now = self._now()
        self._samples.append((now, self._total))
        while len(self._samples) > 1 and self._samples[1][0] <= now - REMEMBERED_S:
            self._samples.popleft()
        return self._total

    def recent(self, seconds: float) -> tuple[Totals, float]:
        """What came in the last so many seconds or a little longer, as far as that is remembered; and in how many."""
        total = self.sample()
        now = self._samples[-1][0]
        when, before = next((one for one in reversed(self._samples) if now - one[0] >= seconds), self._samples[0])
        return total - before, now - when

    def last_minute(self) -> Totals:
        """What came in the time that is remembered, up to now."""
        total = self.sample()
        return total - self._samples[0][1] if len(self._samples) > 1 else total
