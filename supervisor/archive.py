"""The archive: what a service writes down of its generations, for a supervisor that follows one that was killed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from releve.supervisor import evidence, keepsake, system
from releve.supervisor.generation import Generation
from releve.supervisor.keepsake import Held, Keepsake
from releve.supervisor.log import log
from releve.supervisor.mark import mark


class Archive:
    """The records in a runtime directory; one per service."""

    def __init__(self, runtime: Path | None) -> None:
        self._runtime = runtime
        self._told_of_disk = False

    def write(self, generation: Generation, kept: Keepsake) -> None:
        """Write down what that supervisor shall believe, instead of its master. What cannot be written is only said."""
        if generation.door is None:
            return
        try:
            generation.door.note(keepsake.record(dataclasses.replace(kept, held=_held(generation, kept))))
        except OSError as error:
            log.error(
                "cannot write the record of generation %d: %s; it ends if this supervisor is killed",
                generation.number,
                error,
                extra=generation.tag,
            )
            return
        if not self._told_of_disk and self._runtime is not None and not system.in_memory(str(self._runtime)):
            log.warning(
                "%s is on a disk, and the environments of releases are in it, readable for this user alone; "
                "a runtime_directory below /run keeps them in memory",
                self._runtime,
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
