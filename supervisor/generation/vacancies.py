"""The places of workers that ended unasked, until others take them: who replaces whom.

A replacement has a number and a slot of its own. It takes the place that has been free for the longest time, and so
tells how often that was freed, and how the last one ended.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from releve.config.frozen import dataclass
from releve.supervisor.channels.worker import LastExit, Worker

FREE_MAX = 512  # as many as there may be workers


@dataclass(frozen=True, slots=True)
class _Place:
    restarts: int
    last: LastExit


class Vacancies:
    """Of one generation."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._free: deque[_Place] = deque(maxlen=FREE_MAX)

    def leave(self, worker: Worker, words: str) -> None:
        """One has ended unasked, as ``words`` say."""
        self._free.append(_Place(worker.restarts + 1, LastExit(words, self._now())))

    def fill(self, worker: Worker) -> None:
        """One has come: it takes a free place, if there is any."""
        if self._free:
            place = self._free.popleft()
            worker.restarts, worker.last_exit = place.restarts, place.last
