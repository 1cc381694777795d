"""The continuity of a service: what there is of it that outlives its supervisor, should that be killed.

Masters keep what their generation is to the service (``archive.py``), a guard among them or a sentry starts another
supervisor, and systemd reads in a file which of them it is. Nothing here waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from releve.config.settings.settings import Settings
from releve.supervisor.generation.generation import Generation
from releve.supervisor.host import capabilities
from releve.supervisor.keepsake.keepsake import Role
from releve.supervisor.keepsake.revival import Folders
from releve.supervisor.reporting.log import log
from releve.supervisor.service.archive import Archive, Standing
from releve.supervisor.service.sentry_process import SentryProcess
from releve.supervisor.systemd.guardfile import GuardFile
from releve.supervisor.systemd.notify import Notifier

MISTAKEN_S = 10.0  # so long after an adoption or a reload systemd may take the guard for the main process


class Continuity:
    """Of one service. Lives in the supervisor's loop."""

    def __init__(self, folders: Folders, notifier: Notifier, sentry: SentryProcess) -> None:
        self.on_terminated: Callable[[], None] = lambda: None  # systemd means to stop the service
        self.guard_file = GuardFile(folders.runtime, notifier.active)
        self._archive = Archive(folders)
        self._sentry = sentry
        self._sentry.on_terminated = self._terminated
        self._sentry.on_replaced = self._name_sentry
        self._systemd = notifier.active
        self._mistaken_until = 0.0  # monotonic
        self.may_be_mistaken()

    def tell(self, standing: Standing) -> None:
        """Have each master keep what its generation now is to the service, and somebody start another supervisor."""
        for generation, role in standing.roles:
            self._archive.keep(generation, role, standing)
        if standing.roles:
            serving, _ = standing.roles[0]
            self._sentry.keep_watched(serving.pin.identity, self._archive.revival)
            self.name_guard(serving)

    def tell_coming(self, generation: Generation, standing: Standing, coming: Settings) -> None:
        """The generation in service is about to switch to other settings; which ones hold, its revision tells."""
        self._archive.keep(generation, Role.ACTIVE, standing, coming)

    def keepsake(self, generation: Generation, standing: Standing) -> int:
        """What the master of a candidate keeps from its boot on: a memory file, owned by the caller."""
        return self._archive.keepsake(generation, Role.CANDIDATE, standing)

    def assure(self, generations: Iterable[Generation], within_s: float) -> None:
        """Tell every master, and the sentry, that we are alive, and will say so again within that time."""
        self._sentry.assure(within_s)
        for generation in generations:
            generation.assure(within_s)

    def listen_to(self, generation: Generation) -> None:
        """Hear from a generation's master that somebody means to end the service by it."""
        # else a sentry is the guard, and no master can end the service
        if not capabilities.exceeds(generation.pin.identity):
            generation.news.on_terminated = self._terminated

    def name_guard(self, serving: Generation) -> None:
        """Have systemd know who starts another supervisor."""
        self.guard_file.name(self._sentry.pid or serving.pid)

    def may_be_mistaken(self) -> None:
        """For some time from now on systemd may take the guard for the main process."""
        self._mistaken_until = time.monotonic() + MISTAKEN_S

    def _name_sentry(self) -> None:
        self.guard_file.name(self._sentry.pid)

    def _terminated(self) -> None:
        if self._systemd and time.monotonic() < self._mistaken_until:
            log.info("stopping: SIGTERM came to the guard, which systemd still took for the main process")
            self.on_terminated()
