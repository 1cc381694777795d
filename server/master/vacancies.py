"""In the master: the places of workers that have died, and when each is filled again.

A worker that had booted is replaced at once: a request that kills its worker costs that worker, and no other. The
pace bounds what a storm of such requests may cost: one place each at once, then ten a second (or as many as there are
places), which keeps somebody serving for as long as workers do not die faster than that. Where a *boot* has failed, a
place waits ever longer, for itself alone. Where the system refuses a fork (EAGAIN, ENOMEM, EMFILE), all wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from releve.config.frozen import dataclass
from releve.server.master.plan import Plan
from releve.server.prefork.lifecycle import Lifecycle
from releve.server.prefork.outbox import Outbox
from releve.server.prefork.workers import Worker, Workers
from releve.server.shared.link import clip

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 10.0
PACE_PER_S = 10.0

log = logging.getLogger("releve.master")


def backoff_s(failures: int) -> float:
    """How long to wait after so many failures in a row: 0, 0.1, 0.2, 0.4 … 10 seconds."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 32)) if failures else 0.0


@dataclass(frozen=True, slots=True)
class Vacancy:
    """A place without a worker."""

    due: float  # monotonic
    failed: int = 0  # boots in this place, in a row


class Vacancies:
    """Those of the current revision. ``places``: how many workers there are to be."""

    def __init__(self, places: Callable[[], int], now: Callable[[], float]) -> None:
        self._places = places
        self._now = now
        self._open: list[Vacancy] = []
        self._booked = float("-inf")  # monotonic: up to when the pace is used up
        self._refused = 0  # forks, in a row
        self._forks_due = float("-inf")  # monotonic

    def lose(self, failed: int) -> float:
        """A worker has died; seconds until it is replaced.

        ``failed``: boots in its place, in a row; 0 if it had booted.
        """
        now = self._now()
        due = now + backoff_s(failed) if failed else self._book(now)
        self._open.append(Vacancy(due, failed))
        return max(due, self._forks_due) - now if due > now or self._forks_due > now else 0.0

    def take(self, missing: int, *, at_once: bool = False) -> list[int]:
        """Take out what is to be filled now, of ``missing`` vacancies: for each, how many boots in this place have
        failed in a row.
        """
        self._match(missing)
        now = self._now()
        if self._forks_due > now and not at_once:
            return []
        taken = [one for one in self._open if at_once or one.due <= now]
        self._open = [one for one in self._open if one not in taken]
        return [one.failed for one in taken]

    def give_back(self, failed: Iterable[int]) -> float:
        """The system has refused to fork for these; seconds until the next try."""
        self._refused += 1
        wait_s = backoff_s(self._refused)
        self._forks_due = self._now() + wait_s
        self._open += [Vacancy(self._forks_due, one) for one in failed]
        return wait_s

    def forked(self) -> None:
        """It does not refuse any more."""
        self._refused, self._forks_due = 0, float("-inf")

    def next_due(self, missing: int) -> float | None:
        """When ``take`` is due (monotonic); None: nothing is vacant."""
        self._match(missing)
        return max(self._forks_due, min(one.due for one in self._open)) if self._open else None

    def _match(self, missing: int) -> None:
        """Have as many as are missing: orders change how many there are to be, and some workers leave by themselves."""
        if len(self._open) > missing:
            self._open = sorted(self._open, key=lambda one: one.due)[: max(0, missing)]
        while len(self._open) < missing:
            self._open.append(Vacancy(self._book(self._now())))

    def _book(self, now: float) -> float:
        """The next moment at which the pace allows a replacement."""
        places = max(1, self._places())
        every_s = 1.0 / max(PACE_PER_S, places)
        round_s = places * every_s
        due = max(now, self._booked - round_s)
        # no debt for places that were filled otherwise
        self._booked = min(max(now, self._booked) + every_s, now + 3 * round_s)
        return due


class Filling:
    """Has the workers of the current revision be as many as they are to be."""

    def __init__(
        self, plan: Plan, workers: Workers, lifecycle: Lifecycle, outbox: Outbox, now: Callable[[], float]
    ) -> None:
        self._plan = plan
        self._workers = workers
        self._lifecycle = lifecycle
        self._outbox = outbox
        self._vacancies = Vacancies(lambda: plan.target, now)

    @property
    def missing(self) -> int:
        """How many workers there are too few."""
        plan = self._plan
        return max(0, plan.target - len(self._workers.standing(plan.current.number))) if plan.kept_up else 0

    def lose(self, worker: Worker, *, booted: bool) -> float:
        """A worker has ended that is missed; seconds until another one is forked in its place."""
        return self._vacancies.lose(0 if booted else worker.failed_before + 1)

    def step(self, *, at_once: bool = False) -> None:
        """Fork a worker for each place whose time has come; ``at_once``: for each, whatever the back-off."""
        failed = self._vacancies.take(self.missing, at_once=at_once)
        if not failed:
            return
        new, trouble = self._lifecycle.spawn(self._plan.current, len(failed), failed=failed)
        if not trouble:
            self._vacancies.forked()
            return
        wait_s = self._vacancies.give_back(failed[len(new) :])
        log.error("%s; missing workers: %d; trying again in %g s", trouble, self.missing, wait_s)
        self._outbox.send({"type": "unfilled", "workers": self.missing, "reason": clip(trouble)})

    def next_due(self) -> float | None:
        """When ``step`` is due (monotonic); None: nothing is vacant."""
        return self._vacancies.next_due(self.missing)
