"""The standby: the generation that stands by, warm for a rollback, until its time is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState


class Standby:
    """At most one generation. Lives in the supervisor's loop."""

    def __init__(self, on_time: Callable[[], None]) -> None:
        """``on_time``: its time is over."""
        self.generation: Generation | None = None
        self.called_back = False  # it is about to serve again: neither its time nor the end of its master sends it away
        self._until = 0.0  # monotonic
        self._timer: asyncio.TimerHandle | None = None
        self._on_time = on_time

    @property
    def until(self) -> float | None:
        """When it retires, monotonic; None if there is none."""
        return None if self.generation is None else self._until

    @property
    def fit(self) -> bool:
        """Whether it can be relied upon."""
        return (
            self.generation is not None
            and self.generation.state is GenerationState.STANDBY
            and not self.generation.trouble
        )

    def begin(self, generation: Generation, seconds: float) -> None:
        """Have a generation stand by for so long."""
        self._cancel()
        self.generation, self._until = generation, time.monotonic() + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_time)

    def call_back(self) -> None:
        """A rollback to it begins."""
        self._cancel()
        self.called_back = True

    def send_back(self) -> None:
        """The rollback has failed: it stands by for the rest of its time."""
        self.called_back = False
        if self.generation is not None:
            self.begin(self.generation, max(0.0, self._until - time.monotonic()))

    def end(self) -> Generation | None:
        """It stands by no longer, for whatever reason; returns it."""
        self._cancel()
        generation, self.generation, self.called_back = self.generation, None, False
        return generation

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
