"""The archive: what a service has others keep of its generations, for the supervisor that follows one that was killed.

Each master keeps a keepsake. One that may do less than the supervisor is not believed: its keepsake says no more than
its role, and everything else is in a record beside its door.
"""

from __future__ import annotations

import dataclasses
import os

from releve.config.frozen import dataclass
from releve.config.settings.settings import Settings
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import capabilities, evidence, system
from releve.supervisor.host.mark import mark
from releve.supervisor.keepsake import keepsake, revival
from releve.supervisor.keepsake.keepsake import Held, Keepsake, Role
from releve.supervisor.keepsake.revival import Folders
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.reporting.log import log


@dataclass(frozen=True, slots=True)
class Standing:
    """How a service stands, as far as whoever follows its supervisor must know."""

    roles: tuple[tuple[Generation, Role], ...]  # of those that are more than retiring; the one that serves first
    opening: tuple[Listener, ...]  # by an operation that is not committed
    standby_until: float | None  # CLOCK_MONOTONIC
    scaled: int | None  # workers, as told by `ctl scale`
    last_number: int  # of the newest generation there ever was
    drained_ns: int  # CLOCK_MONOTONIC of `ctl drain`; 0: the host is not drained


class Archive:
    """The keepsakes and records of one service."""

    def __init__(self, folders: Folders) -> None:
        self.revival = revival.command(folders)  # how another supervisor is started, should this one be killed
        self._folders = folders
        self._told_of_disk = False

    def keepsake(self, generation: Generation, role: Role, standing: Standing, coming: Settings | None = None) -> int:
        """A memory file for a generation's master to keep; owned by the caller.

        Where the master may do less than we: and a record. ``coming``: the settings of a reload that is about to be
        switched to.
        """
        opening = [one for one in standing.opening if one not in generation.listeners]
        kept = Keepsake(
            role=role,
            revision=generation.revision,
            pin=generation.pin,
            settings=generation.settings,
            listeners=(*generation.listeners, *opening),
            standby_until=standing.standby_until if role is Role.STANDBY else None,
            scaled=standing.scaled,
            last_number=standing.last_number,
            hello=generation.hello,
            started=generation.started,
            coming=coming,
            drained_ns=standing.drained_ns,
        )
        if not capabilities.exceeds(generation.pin.identity):
            return keepsake.write(kept, self.revival)
        self._record(generation, kept)
        return keepsake.role_only(role)

    def keep(self, generation: Generation, role: Role, standing: Standing, coming: Settings | None = None) -> None:
        """Have a generation's master keep what it now is to the service. Waits for nothing."""
        if generation.state is not GenerationState.GONE:
            fd = self.keepsake(generation, role, standing, coming)
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
                "cannot write the record of generation %d: %s; that generation exits if this supervisor is killed",
                generation.number,
                error,
                extra=generation.tag,
            )
            return
        runtime = self._folders.runtime
        if not self._told_of_disk and not system.in_memory(str(runtime)):
            log.warning(
                "%s is on a disk, so the environments of releases are written to that disk, readable "
                "only by this user; "
                "set runtime_directory to a folder below /run to keep them in memory",
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
