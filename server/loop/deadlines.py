"""Deadlines of many connections, cheap to move: buckets of an eighth of a second. Pure.

A heap would keep an entry for every request of the last ``timeouts.keepalive``.
Here a connection is in one bucket at most, is taken out in constant time, and a
deadline that moves later (the usual case: one more request was answered) costs
nothing until its bucket is due.
"""

from __future__ import annotations

import heapq
import math
from typing import Generic, Protocol, TypeVar

TICK_S = 0.125  # a power of two, so that no rounding puts a deadline before itself


class Expiring(Protocol):
    """What has a deadline."""

    deadline: float  # monotonic seconds, `math.inf` for none; changed by `Deadlines.put` only
    tick: int  # number of its bucket, -1 for none; belongs to Deadlines


T = TypeVar("T", bound=Expiring)


class Deadlines(Generic[T]):
    """Each item with a deadline is in one bucket, by the tick in which it is due, or an earlier one."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[int, T]] = {}
        self._ticks: list[int] = []  # heap of the bucket numbers

    def put(self, item: T, deadline: float) -> None:
        """Give an item a deadline in place of the one it has; ``math.inf``: none."""
        item.deadline = deadline
        if deadline == math.inf:
            return  # left where it is; `due` drops it
        tick = math.ceil(deadline / TICK_S)
        if item.tick >= 0:
            if item.tick <= tick:
                return  # `due` moves it on
            del self._buckets[item.tick][id(item)]
        self._insert(item, tick)

    def drop(self, item: T) -> None:
        """Take an item out of its bucket; it has no deadline any more."""
        if item.tick >= 0:
            del self._buckets[item.tick][id(item)]
            item.tick = -1

    def wait_s(self, now: float) -> float | None:
        """Seconds until something may be due, None for never."""
        while self._ticks and not self._buckets[self._ticks[0]]:
            del self._buckets[heapq.heappop(self._ticks)]
        return max(0.0, self._ticks[0] * TICK_S - now) if self._ticks else None

    def due(self, now: float) -> list[T]:
        """Take out every item whose deadline has passed."""
        found: list[T] = []
        while self._ticks and self._ticks[0] * TICK_S <= now:
            for item in self._buckets.pop(heapq.heappop(self._ticks)).values():
                item.tick = -1
                if item.deadline <= now:
                    found.append(item)
                elif item.deadline != math.inf:
                    self._insert(item, math.ceil(item.deadline / TICK_S))
        return found

    def _insert(self, item: T, tick: int) -> None:
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heapq.heappush(self._ticks, tick)
        bucket[id(item)] = item
        item.tick = tick
