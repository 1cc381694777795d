"""The life of a generation: where it stands, what has become of its master, and who waits for either to change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from releve.supervisor.channels.master import SILENT
from releve.supervisor.generation.states import GenerationEvent, GenerationState, next_state
from releve.supervisor.reporting.failure import StepFailed


class Life:
    """That of one generation. Lives in the supervisor's loop."""

    def __init__(self, number: int) -> None:
        self.number = number  # of the generation
        self.state = GenerationState.BOOTING
        self.fate = ""  # how its master ended, in words
        self.orphaned = False  # its master is gone, and its workers serve on
        self._changed = asyncio.Event()

    @property
    def gone(self) -> bool:
        """Whether every process of it has ended."""
        return self.state is GenerationState.GONE

    @property
    def trouble(self) -> str:
        """Why nobody can rely on it: its master has ended, or all of it. Empty while its master commands it."""
        if self.gone:
            return f"generation {self.number} exited" + (f": {self.fate}" if self.fate else "")
        return (self.fate or f"generation {self.number} lost its master") if self.orphaned else ""

    def after(self, event: GenerationEvent) -> GenerationState:
        """The state to which an event would lead; nothing has changed.

        Raises StepFailed for a generation that has ended, IllegalEvent in a wrong state.
        """
        if self.gone:  # a death may come at any moment, and is nobody's mistake
            raise StepFailed(SILENT, self.trouble)
        return next_state(self.state, event)

    def take(self, event: GenerationEvent) -> None:
        """It has happened. Raises as ``after``."""
        self.state = self.after(event)

    def notice(self) -> None:
        """Something of it has changed: have those who wait look again."""
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a change makes the condition true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """The same, for so long; whether it came true."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.until(condition)
        return condition()
