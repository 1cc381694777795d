"""In the worker: lines of its logs that wait: for a log that can be written again, or for their own end."""

from __future__ import annotations

from functools import partial

from releve.server.loop.loop import Loop
from releve.server.process import output
from releve.server.shared.lost_lines import RETRY_S, lost

SETTLE_S = 1.0  # so long a line that the application has begun waits for its end


class LogLines:
    """The timers of those that wait."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._retrying = False  # to write logs that have lost lines
        self._settling = False  # a line of the application's waits for its end
        output.hold()

    def step(self) -> None:
        """After each turn in which a line waits."""
        if lost.some and not self._retrying:
            self._retrying = True
            self._loop.at("logs", self._loop.now() + RETRY_S, self._retry)
        if output.begun and not self._settling:
            self._settling = True
            self._loop.at("output", self._loop.now() + SETTLE_S, partial(self._settle, output.snapshot()))

    def _retry(self) -> None:
        self._retrying = False
        lost.retry()

    def _settle(self, lines: dict[tuple[int, int], int]) -> None:
        self._settling = False
        output.settle(lines)
