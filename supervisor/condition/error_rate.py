"""The error rate of a service: how many of its clients' requests were answered with 5xx, a moment ago.

A service fails while at least one in ten of them was, and at least ten. The log hears of it once when it begins, and
once when it has been over for ten seconds. Polls of load balancers do not count: they would hide what clients get.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from releve.supervisor.generation.totals import Totals
from releve.supervisor.reporting.log import log

WINDOW_S = 10.0  # of which requests count; two samples (``totals.EVERY_S``)
LEAST_ERRORS = 10  # fewer are somebody who tries a broken page
LEAST_SHARE = 0.1
CALM_S = 10.0


class ErrorRate:
    """That of one service. Lives in the supervisor's loop."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began: float | None = None  # monotonic; the log was told
        self._last = 0.0  # monotonic: when it was seen last

    def look(self, answered: Totals, seconds: float) -> str | None:
        """See whether a service fails now, and tell the log if that has changed.

        ``answered``: in the last so many seconds. Returns ``230 of 240 requests in the last 10 s were answered with 5xx
        (95.8%)``; None for a service that does not fail.
        """
        now, clients = self._now(), answered.unpolled
        words = (
            f"{clients.errors} of {clients.requests} requests in the last {max(1.0, seconds):.0f} s were answered with "
            f"5xx ({clients.share:.1%})"
        )
        if clients.errors >= LEAST_ERRORS and clients.share >= LEAST_SHARE:
            self._last = now
            if self._began is None:
                self._began = now
                log.warning("failing: %s", words)
            return words
        if self._began is not None and now - self._last >= CALM_S:
            lasted_s, self._began = self._last - self._began, None
            log.info("no longer failing after %.0f s: %s", lasted_s, words)
        return None
