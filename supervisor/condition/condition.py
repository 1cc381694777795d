"""The condition of the service: what is degraded, by subject, as ``ctl status`` and ``systemctl status`` show it."""

from __future__ import annotations

import os
from collections.abc import Callable

from releve.config.frozen import dataclass
from releve.config.settings.log import Log
from releve.supervisor.condition.health import Health
from releve.supervisor.condition.log_health import LogHealth
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import AT_WORK, GenerationState
from releve.supervisor.reporting.log import own


@dataclass(frozen=True, slots=True)
class Subject:
    """What of a service is judged."""

    active: Generation | None
    candidate: Generation | None
    log: Log  # the settings in force
    wanted_workers: int


class Condition:
    """Of one service. Lives in the supervisor's loop."""

    def __init__(self, subject: Callable[[], Subject]) -> None:
        """``subject``: the service as it is now."""
        self.degraded: dict[str, str] = {}  # subject -> why
        self.planned: Callable[[], bool] = lambda: False  # whether an operation is under way
        self.on_change: Callable[[], None] = lambda: None  # of what there is to say of the workers
        self._subject = subject
        self._logs = LogHealth()
        self._health = Health()
        self._health.again = self.judge

    def begin_anew(self, active: Generation) -> None:
        """Another generation is in service: what was wrong with the one before is over."""
        self.degraded.clear()
        self._health.forget()
        if active.trouble:  # its master has ended while it was switched to
            self.lose_master(active)

    def lose_master(self, generation: Generation) -> None:
        """The generation in service has lost its master: say so for as long as it serves."""
        self.degraded["master"] = f"generation {generation.number} lost its master" + (
            "; its workers keep serving" if generation.workers else " and all its workers"
        )

    def judge_logs(self) -> None:
        """See whether the logs are written, and say it where it can be read: they cannot say so themselves."""
        self._judge_logs(self._subject())

    def _judge_logs(self, subject: Subject) -> None:
        writing = [one for one in (subject.active, subject.candidate) if one is not None]
        told = self._logs.look(subject.log, writing)
        self.degraded.pop("log", None)
        if self._logs.words:
            self.degraded["log"] = self._logs.words
        if told:
            own.aside("error" if self._logs.losing else "info", told)
            self.on_change()

    def judge(self, subject: Subject | None = None) -> None:
        """See whether the generation in service is all that it should be.

        ``subject``: the service as it is now, for whoever has it at hand.
        """
        subject = subject or self._subject()
        self._judge_logs(subject)
        generation, candidate = subject.active, subject.candidate
        if generation is None or generation.orphaned or generation.state is not GenerationState.SERVING:
            return
        if candidate is not None and candidate.state in AT_WORK:
            return  # which serves too: the workers are shared out between both
        self._judge_code(generation)
        said, roster = self._health.summary, generation.roster
        self._health.words = self.degraded.pop("workers", "")  # perhaps of the program before us
        words = self._health.look(roster.serving(), subject.wanted_workers, roster.losses, planned=self.planned())
        if words:
            self.degraded = {"workers": words, **self.degraded}
        if self._health.summary != said:
            self.on_change()

    def _judge_code(self, generation: Generation) -> None:
        if generation.news.mixed:
            self.degraded["code"] = (
                f"mixed code: workers of generation {generation.number} were started from changed files"
            )
        elif generation.news.astray and os.path.realpath(generation.pin.directory) != generation.pin.resolved:
            self.degraded["code"] = f"mixed code: generation {generation.number} may import code of another release"
        else:
            self.degraded.pop("code", None)

    @property
    def words(self) -> str:
        """All of it in one line; for a while also that it is over. Empty: nothing is wrong."""
        return f"degraded: {'; '.join(self.degraded.values())}" if self.degraded else self._health.summary
