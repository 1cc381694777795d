"""Adoption: a supervisor that starts where another one was killed takes over its generations.

Each master that has served goes on without a supervisor, and hands over what it has
to whoever comes to its door (``inventory.py``). Each generation gets its place in the
service (``places.py``), and the first operation settles what was interrupted
(``settlement.py``). What cannot be believed is not taken over, but sent away
(``refusal.py``).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from releve.instance import holders, paths
from releve.server.shared import closing
from releve.server.shared.link import ORPHAN_S, LinkError
from releve.server.shared.runtime import SOCKET_NAME
from releve.supervisor.channels.door import doors
from releve.supervisor.host import system
from releve.supervisor.host.identity import Identity
from releve.supervisor.keepsake import record
from releve.supervisor.keepsake.keepsake import Keepsake, KeepsakeError, Role
from releve.supervisor.reporting.log import log
from releve.supervisor.service.service import Service
from releve.supervisor.takeover import inventory, places, silent
from releve.supervisor.takeover.inventory import CALL_S, Adopted, Refused
from releve.supervisor.takeover.refusal import Refusals
from releve.supervisor.takeover.verification import AdoptionError, recorded


class Adoption:
    """By one supervisor, at its start."""

    def __init__(self, service: Service, refusals: Refusals) -> None:
        self.adopted: list[Adopted] = []  # oldest first
        self.unheard: list[int] = []  # generations whose masters did not answer, and were ended
        self._service = service
        self._refusals = refusals
        self._configured: Identity | None = None
        self._bereaved: list[tuple[Path, Keepsake]] = []  # whose masters have died, and of which there is a record
        self._unled: list[int] = []  # pidfds, owned: workers of the unheard, whom nobody commands

    async def find(self, configured: Identity | None = None) -> None:
        """Take over every generation that can be found, and give each its place in the service.

        ``configured``: whom releases shall run as; None if that is not known.
        """
        service, runtime = self._service, self._service.folders.runtime
        self._configured = configured
        before = list(doors(runtime))
        answers = await asyncio.gather(*(self._call(number, path) for number, path in before))
        self.adopted = [one for one in answers if one is not None]
        for number, _ in before:
            service.number_after(number)
        if self.adopted:
            places.give(service, self.adopted)
        elif before:  # their masters have died, but perhaps not their workers; or they are on their way out
            for path, kept in self._bereaved:
                if kept.role is not Role.CANDIDATE:
                    self._refusals.bereave(path, kept)
            self.dismiss_unled()
            service.listeners.patient_until = time.monotonic() + ORPHAN_S + service.settings.timeouts.drain
        refused = self._refusals.doors()
        living = {one.generation.number for one in self.adopted}
        record.sweep(runtime, living | {number for number, path in before if path in refused})

    def dismiss_unled(self) -> None:
        """Have workers whom nobody commands finish what they have, and leave: others serve, or are about to."""
        for worker in self._unled:
            system.send_signal(worker, signal.SIGTERM)
            os.close(worker)
        self._unled.clear()

    async def _call(self, number: int, path: Path) -> Adopted | None:
        """Take over the generation behind a door; None if there is none, or none that can be taken over.

        A master that does not answer is woken first, in case it was only stopped. If that does not
        help it is ended, since two supervisors' generations must not serve beside each other.
        """
        for urge in (signal.SIGCONT, signal.SIGKILL):
            try:
                link = inventory.knock(path)
            except BlockingIOError:
                if not self.urge(number, path, urge):
                    break
                continue
            except OSError:
                with suppress(OSError):
                    paths.remove(path)
                break
            try:
                return await inventory.take(number, path, link, self._configured)
            except TimeoutError:
                closing.close_socket(link.socket)
                if not self.urge(number, path, urge):
                    break
            except Refused as error:
                self._refusals.send_away(path, link, error)
                return None
            except (AdoptionError, KeepsakeError, LinkError, OSError) as error:
                log.error("cannot adopt generation %d: %s; leaving it alone", number, error)
                closing.close_socket(link.socket)
                return None
        with suppress(AdoptionError, KeepsakeError):
            if (kept := recorded(path)) is not None:
                self._bereaved.append((path, kept))
        return None

    def urge(self, number: int, path: Path, sent: signal.Signals) -> bool:
        """Signal the master behind a door; False if it cannot be found out who that is, if it is not one of ours, or
        has a supervisor.
        """
        other = holders.listening(str(path.parent / SOCKET_NAME))
        if other is not None:  # a master takes no other one while its own lives
            log.error(
                "cannot adopt generation %d: its supervisor (pid %d) is still running; leaving it alone", number, other
            )
            return False
        found = silent.master_behind(path, self._configured)
        if found is None:
            log.error(
                "cannot adopt generation %d: no answer for %g s, and its process was not found; leaving it alone",
                number,
                CALL_S,
            )
            return False
        pid, master = found
        try:
            log.error(
                "no answer from the master of generation %d (pid %d) for %g s: %s", number, pid, CALL_S, sent.name
            )
            if sent is signal.SIGKILL:
                self._unled += silent.workers_of(pid)
            system.send_signal(master, sent)
            if sent is signal.SIGKILL:
                self.unheard.append(number)
                with suppress(OSError):
                    paths.remove(path)
        finally:
            os.close(master)
        return True
