"""The archive: what a service has others keep of its generations, for the supervisor that follows one that was killed.

Each master keeps a keepsake. One that may do less than the supervisor is not believed: its keepsake says no more than
its role, and everything else is in a record beside its door.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from releve.config.settings.settings import Settings
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import capabilities, evidence, system
from releve.supervisor.host.mark import mark
from releve.supervisor.keepsake import keepsake, revival
from releve.supervisor.keepsake.keepsake import Held, Keepsake, Role
from releve.supervisor.reporting.log import log

if TYPE_CHECKING:
    from releve.supervisor.service.service import Service


class Archive:
    """The keepsakes and records of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._told_of_disk = False

    def revival(self) -> dict[str, Any]:
        """How another supervisor is started, should this one be killed."""
        service = self._service
        return revival.command(service.runtime, service.history.path, service.control_group)

    def keepsake(self, generation: Generation, role: Role, coming: Settings | None = None) -> int:
        """A memory file for a generation's master to keep; owned by the caller.

        Where the master may do less than we: and a record.
        """
        service = self._service
        opening = [one for one in service.listeners.opening if one not in generation.listeners]
        kept = Keepsake(
            role=role,
            revision=generation.revision,
            pin=generation.pin,
            settings=generation.settings,
            listeners=(*generation.listeners, *opening),
            standby_until=service.standby_until if role is Role.STANDBY else None,
            scaled=service.scaled,
            last_number=service.last_number,
            hello=generation.hello,
            started=generation.started,
            coming=coming,
            drained_ns=service.drain.since_ns,
        )
        if not capabilities.exceeds(generation.pin.identity):
            return keepsake.write(kept, self.revival())
        self._record(generation, kept)
        return keepsake.role_only(role)

    def keep(self, generation: Generation, role: Role, coming: Settings | None = None) -> None:
        """Have a generation's master keep what it now is to the service. Waits for nothing."""
        if generation.state is not GenerationState.GONE:
            fd = self.keepsake(generation, role, coming)
            generation.keep(fd)
            os.close(fd)

    def _record(self, generation: Generation, kept: Keepsake) -> None:
        """What cannot be written is only said."""
        if generation.door is None:
            return
        try:
            generation.door.note(keepsake.record(dataclasses.replace(kept, held=_held(generation, kept))))
        except OSError as error:
            log.error(
                "cannot write the record of generation %d: %s; if this supervisor is killed, that generation ends",
                generation.number,
                error,
                extra=generation.tag,
            )
            return
        runtime = self._service.runtime
        if not self._told_of_disk and runtime is not None and not system.in_memory(str(runtime)):
            log.warning(
                "%s is on a disk, so the environments of releases are written to that disk, readable "
                "only by this user; "
                "a runtime_directory below /run keeps them in memory",
                runtime,
            )
        self._told_of_disk = True


def _held(generation: Generation, kept: Keepsake) -> Held:
    given, process = generation.descriptors(), evidence.look(generation.pid)
    return Held(
        pid=generation.pid,
        born=0 if process is None else process.started,
        receive=mark(given.receive),
        send=mark(given.send),
        board=mark(given.board),
        crash=mark(given.crash),
        sockets=keepsake.marks_of(kept.listeners),
    )
