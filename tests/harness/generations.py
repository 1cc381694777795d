"""Generations without a process, for tests of what holds them."""

from __future__ import annotations

from collections.abc import Iterable

from harness.pins import PIN
from releve.config.settings.settings import Settings
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.keepsake import keepsake
from releve.supervisor.keepsake.keepsake import Keepsake
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.release.release import Pin


class Bare(Generation):
    """One in some state; what its master would keep is in ``kept``."""

    def __init__(
        self,
        number: int,
        state: GenerationState = GenerationState.SERVING,
        *,
        settings: Settings | None = None,
        listeners: Iterable[Listener] = (),
        pin: Pin = PIN,
    ) -> None:
        super().__init__(number, pin, settings or Settings(), list(listeners))
        self.life.state = state
        self.kept: list[Keepsake] = []

    def keep(self, keepsake: int) -> None:
        """As a master that can."""
        self.kept.append(_read(keepsake))

    def end(self) -> None:
        """Close all of it."""
        self.kill()


_read = keepsake.read
