"""The losses of a generation: its workers that ended unasked, in words and in numbers; and what of them counts against
it; and the places that they leave.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.supervisor.channels.worker import LastExit, Worker

REMEMBERED_S = 30.0  # for how long they are counted
LISTED_MAX = 200  # the last ones: workers may crash for days
FREE_MAX = 512  # as many as there may be workers


class Losses:
    """Workers of one generation that ended unasked: each in words, and how many in the last half minute; and why no
    others can be started.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.trouble = ""  # why the system refuses to fork
        self.listed: list[tuple[int, str]] = []  # of a revision, in words; the oldest first
        self._now = now
        self._crashes: deque[float] = deque()  # monotonic; of those that had booted
        self._boots: deque[float] = deque()  # of those that had not

    def enter(self, revision: int, words: str) -> None:
        """One of a revision has ended, as ``words`` say."""
        self.listed.append((revision, words))
        del self.listed[:-LISTED_MAX]

    def of(self, revision: int) -> list[str]:
        """Those of a revision, in words."""
        return [words for of, words in self.listed if of == revision]

    def note(self, *, booted: bool) -> None:
        """One has ended that counts."""
        (self._crashes if booted else self._boots).append(self._now())
        self.count()

    def count(self) -> tuple[int, int]:
        """Crashes, and boots that failed, of the last half minute."""
        for times in (self._crashes, self._boots):
            while times and times[0] <= self._now() - REMEMBERED_S:
                times.popleft()
        return len(self._crashes), len(self._boots)

    @property
    def times(self) -> tuple[list[float], list[float]]:
        """When they were, monotonic: crashes, and boots that failed; for the next program of this process."""
        return list(self._crashes), list(self._boots)

    def take_over(
        self, crashes: Iterable[float], boots: Iterable[float], listed: Iterable[tuple[int, str]] = ()
    ) -> None:
        """Remember what another one has noted before: the times of both kinds, and those that it has listed."""
        self.listed.extend(listed)
        self._crashes.extend(crashes)
        self._boots.extend(boots)

    def words(self) -> str:
        """``11 crashes and 2 failed boots in 30 s``; empty if there were none."""
        crashes, boots = self.count()
        parts = [counted(crashes, "crash", "crashes")] * bool(crashes) + [counted(boots, "failed boot")] * bool(boots)
        losses = f"{' and '.join(parts)} in {REMEMBERED_S:g} s" if parts else ""
        return ", ".join(filter(None, (losses, self.trouble)))


@dataclass(frozen=True, slots=True)
class _Place:
    revision: int
    restarts: int
    last: LastExit


class Vacancies:
    """The places of a generation's workers that ended unasked, until others take them: who replaces whom.

    A replacement has a number and a slot of its own. It takes the place in its revision that has been free for the
    longest time, and so tells how often that was freed, and how the last one ended.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._free: deque[_Place] = deque(maxlen=FREE_MAX)

    def leave(self, worker: Worker, words: str) -> None:
        """One has ended unasked, as ``words`` say."""
        self._free.append(_Place(worker.revision, worker.restarts + 1, LastExit(words, self._now())))

    def fill(self, worker: Worker) -> None:
        """One has come that replaces another: it takes a free place of its revision, if there is any."""
        place = next((one for one in self._free if one.revision == worker.revision), None)
        if place is not None:
            self._free.remove(place)
            worker.restarts, worker.last_exit = place.restarts, place.last


def unexcused(lost: Sequence[str], before: int) -> Sequence[str]:
    """Of a new generation's losses, those to be held against it: none, where the old one lost as many (``before``)
    shortly before.
    """
    return lost if len(lost) > before else ()
