"""The watchdog: what systemd hears from time to time, for as long as the supervisor's loop turns.

``WATCHDOG=1`` where the unit has ``WatchdogSec=`` (a supervisor that hangs is ended, and
the next one goes on), and ``EXTEND_TIMEOUT_USEC`` while something is under way, so that
no start, reload or stop is cut short because it takes long; sd_notify(3). Nothing is
sent, and nothing wakes up, where nobody listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from releve.supervisor.systemd.notify import Notifier

EXTEND_EVERY_S = 5.0
EXTEND_BY_S = 20.0  # more than the interval: one that comes late costs nothing


class Watchdog:
    """Two timers in the supervisor's loop."""

    def __init__(self, notifier: Notifier, environ: Mapping[str, str], pid: int, busy: Callable[[], bool]) -> None:
        self._notifier = notifier
        self._busy = busy
        self._watchdog_s = watchdog_s(environ, pid)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Begin to beat."""
        if self._notifier.active:
            self._keep_extending()
            if self._watchdog_s is not None:
                self._beat()

    def stop(self) -> None:
        """Beat no more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def extend(self) -> None:
        """Something has begun: ask for time now, not only at the next turn."""
        self._notifier.extend(EXTEND_BY_S)

    def _beat(self) -> None:
        assert self._watchdog_s is not None
        self._notifier.watchdog()
        self._timers["watchdog"] = asyncio.get_running_loop().call_later(self._watchdog_s, self._beat)

    def _keep_extending(self) -> None:
        if self._busy():
            self.extend()
        self._timers["extend"] = asyncio.get_running_loop().call_later(EXTEND_EVERY_S, self._keep_extending)


def watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """How often to send ``WATCHDOG=1``: a third of what systemd waits; None if it does not wait.
    sd_watchdog_enabled(3).
    """
    limit_us = environ.get("WATCHDOG_USEC", "")
    if not (limit_us.isascii() and limit_us.isdigit()) or int(limit_us) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(limit_us) / 3_000_000
