"""The health of the generation in service: whether as many workers serve as are wanted, and how many have crashed.

What is said of it is ``1 of 4 workers, 11 crashes in 30 s``, for as long as fewer serve than are wanted. One crash
whose worker is replaced within a second is none of that. The log hears of it once when it begins, and once when it is
over: when all have served for ten seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from releve.supervisor.generation.losses import Losses
from releve.supervisor.reporting.log import log

GRACE_S = 1.0  # for the first crash in a while
CALM_S = 10.0


class Health:
    """What there is to say of the generation in service. Lives in the supervisor's loop."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.words = ""  # what is wrong; empty: nothing
        self.summary = ""  # the same, and for a while after it
        self.again: Callable[[], None] = lambda: None  # called when ``look`` is due though nothing has happened
        self._now = now
        self._short_since: float | None = None
        self._whole_since: float | None = None
        self._told = False  # the log, that it has begun
        self._timer: asyncio.TimerHandle | None = None

    def look(self, serving: int, wanted: int, losses: Losses, *, planned: bool) -> str:
        """How it is now. ``planned``: an operation is under way, which may be why some are missing."""
        now = self._now()
        if serving >= wanted:
            self._short_since, self.words = None, ""
            self._whole_since = self._whole_since or now
            self._calm(now, serving, wanted, losses)
            self.summary = _words(serving, wanted, losses) if self._told else ""
            return ""
        ended = sum(losses.count())
        if planned and not ended and not losses.trouble and not self.words:
            return ""
        self._whole_since = None
        self._short_since = self._short_since or now
        if not serving or ended > 1 or losses.trouble or self.words or now - self._short_since >= GRACE_S:
            self.words = _words(serving, wanted, losses)
            if not self._told:
                self._told = True
                log.warning("degraded: %s", self.words)
            self.summary = self.words
        else:
            self._later(self._short_since + GRACE_S - now)
        return self.words

    def forget(self) -> None:
        """Another generation, or set of workers, is in service."""
        if self._told:
            log.info("no longer degraded: another generation serves")
        self.words, self.summary, self._told, self._short_since, self._whole_since = "", "", False, None, None

    def _calm(self, now: float, serving: int, wanted: int, losses: Losses) -> None:
        if not self._told or self._whole_since is None:
            return
        rest_s = self._whole_since + CALM_S - now
        if rest_s > 0:
            self._later(rest_s)
            return
        self._told = False
        log.info("no longer degraded: %s", _words(serving, wanted, losses))

    def _later(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds + 0.01
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()  # it was to see later that all is well again
        self._timer = loop.call_at(due, self._due)

    def _due(self) -> None:
        self._timer = None
        self.again()


def _words(serving: int, wanted: int, losses: Losses) -> str:
    return ", ".join(filter(None, (f"{serving} of {wanted} workers", losses.words())))
