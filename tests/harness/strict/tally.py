"""What the clients have seen, counted: answers, failures, times."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from harness.strict.answer import Broken


def quantiles(times: Counter[int]) -> dict[str, float]:
    """Median, 99th percentile and maximum in seconds, of times in tenths of a millisecond; nothing of none."""
    found: dict[str, float] = {}
    passed, total = 0, times.total()
    for value in sorted(times):
        passed += times[value]
        for percent in (50, 99):
            if passed > min(total - 1, total * percent // 100):
                found.setdefault(f"p{percent}", value / 10_000)
    return {**found, "max": max(times) / 10_000} if times else {}


class Tally:
    """All that is counted; whoever waits for a count is woken by ``progress``."""

    def __init__(self, failures: int) -> None:
        self.sent = self.answered = self.failed = self.connects = self.announced = 0
        self.failures: list[dict[str, Any]] = []
        self.most_failures = failures  # of those that are told one by one
        self.kinds: Counter[str] = Counter()
        self.by_generation: Counter[str] = Counter()
        self.by_template: Counter[int] = Counter()
        self.times: Counter[int] = Counter()  # how many answers took so many tenths of a millisecond
        self.progress = asyncio.Event()

    def answer(self, generation: str | None, template: int) -> None:
        """One request has been answered, and as it has to be."""
        self.by_generation[generation or "?"] += 1
        self.by_template[template] += 1
        self.answered += 1
        self.progress.set()

    def fail(self, client: str, error: Broken) -> None:
        self.failed += 1
        self.kinds[error.kind] += 1
        if len(self.failures) < self.most_failures:
            self.failures.append({"kind": error.kind, "detail": error.detail, "client": client, "at": time.monotonic()})
        self.progress.set()

    def report(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "kinds": dict(self.kinds),
            "failures": self.failures,
            "by_generation": dict(self.by_generation),
            "by_template": dict(self.by_template),
            "connects": self.connects,
            "announced_closes": self.announced,
            "seconds": quantiles(self.times),
        }

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until that is true of what has been counted."""
        while not holds():
            self.progress.clear()
            await self.progress.wait()
