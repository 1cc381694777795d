"""Noise: what comes and is no good.

The log says so once, and then how often; a sender that does nothing else is told apart.
"""

from __future__ import annotations

from collections.abc import Callable

from releve.server.shared.native import time

EVERY_S = 10.0  # between two lines
TOO_MUCH = 1000  # in a minute
MINUTE_S = 60.0


class Noise:
    """Counts what was passed over from one sender."""

    def __init__(self, say: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        """``say`` writes a line to the log."""
        self._say = say
        self._now = now
        self._unsaid = 0
        self._quiet_until = 0.0  # monotonic
        self._since = 0.0  # monotonic: when the counting began
        self._count = 0

    @property
    def too_much(self) -> bool:
        """Whether so much came within a minute that nothing good is to be expected."""
        return self._count > TOO_MUCH

    def hear(self, what: str) -> None:
        """Something was passed over, and this is why."""
        now = self._now()
        if now - self._since > MINUTE_S:
            self._since, self._count = now, 0
        self._count += 1
        if now < self._quiet_until:
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} more since the last such line)" if self._unsaid else ""
        self._unsaid, self._quiet_until = 0, now + EVERY_S
        self._say(f"ignored {what}{more}")
