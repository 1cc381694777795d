"""The upkeep of the runtime directory: what somebody has removed from it (a clean-up, the last logout) is noticed, and
made again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from releve.instance import cards, instances
from releve.instance.cards import Card
from releve.supervisor.channels.door import Door, open_door
from releve.supervisor.generation.generation import Generation
from releve.supervisor.keepsake import record
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.service.lock import LockError, RuntimeLock
from releve.supervisor.verbs.control_server import ControlServer
from releve.supervisor.verbs.dispatcher import Dispatcher


class Upkeep:
    """Looks at the directory of one supervisor, for as long as it lives."""

    def __init__(
        self, dispatcher: Dispatcher, runtime: Path, lock: RuntimeLock, card: Card, control: ControlServer
    ) -> None:
        self._dispatcher = dispatcher
        self._service = dispatcher.service
        self._runtime = runtime
        self._lock = lock
        self._card = card
        self._control = control
        self._trouble = ""
        # numbers of generations that cannot be given another door, and that was said of
        self._unknowing: set[int] = set()
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def end(self) -> None:
        """Leave the directory to those who tidy it up."""
        self._ended = True

    def look(self) -> None:
        """Make again what has gone; call it from time to time, and before something is put there. Never raises.

        Where another supervisor has taken the directory meanwhile, nothing is touched.
        """
        if self._ended or self._dispatcher.stopping is not None:
            return
        try:
            made = ["the lock"] if self._lock.renew() else []
            generations = self._service.generations()
            made += self._doors(generations) + _records(generations)
            if cards.read_card(self._runtime) != self._card:
                cards.write_card(self._runtime, self._card)
                made.append("the card")
            if self._service.continuity.guard_file.renew():
                made.append("the guard file")
            if self._control.missing:
                made.append("the control socket")
                self._task = self._task if self._task and not self._task.done() else asyncio.create_task(self._bind())
            if made:
                log.warning("recreated missing files in %s: %s", self._runtime, ", ".join(made))
                self._service.tell_roles()
        except (LockError, instances.InstanceError, record.RecordError, OSError) as error:
            self._say(str(error))
            return
        self._trouble = ""

    def _doors(self, generations: list[Generation]) -> list[str]:
        made = []
        for generation in generations:
            if generation.door is None or generation.orphaned or not generation.door.missing:
                continue
            if generation.takes_door:
                self._rehang(generation, generation.door)
                made.append(f"the door of generation {generation.number}")
            elif generation.number not in self._unknowing:
                self._unknowing.add(generation.number)
                log.warning(
                    "its door was deleted and it cannot take another; a new supervisor will not find it",
                    extra=generation.tag,
                )
        return made

    def _rehang(self, generation: Generation, before: Door) -> None:
        recorded = record.read(record.beside(before.path))  # which goes when a door is opened
        door = open_door(self._runtime, generation.number)
        try:
            generation.rehang(door)
            if recorded is not None:
                door.note(recorded)
        except StepFailed as error:
            door.shut()
            log.warning("%s", error.reason, extra=generation.tag)

    async def _bind(self) -> None:
        try:
            await self._control.renew()
        except OSError as error:
            self._say(f"cannot recreate the control socket: {error.strerror}")

    def _say(self, trouble: str) -> None:
        """Once, for as long as it lasts."""
        if trouble != self._trouble:
            log.error("cannot restore the runtime directory: %s; ctl may not find this service", trouble)
            self._trouble = trouble


def _records(generations: list[Generation]) -> list[str]:
    """What has gone, which is written again with everything that the next supervisor must know."""
    doors = [(one.number, one.door) for one in generations if one.door is not None]
    return [f"the record of generation {number}" for number, door in doors if door.record_missing]
