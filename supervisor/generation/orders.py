"""The orders of a generation: by way of its master; straight to its workers where that has gone.

A master that does not answer is killed, and costs nothing: its workers serve on and are commanded from here.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from releve.server.shared.link import Message
from releve.server.shared.states import AT_WORK
from releve.supervisor.channels.master import ORDER_S, SILENT, Master
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log

if TYPE_CHECKING:
    from releve.supervisor.generation.generation import Generation

MASTER_S = 10.0  # the same for resume and pause; it waits for its workers for up to 6 s
# orders that a master may miss: nothing hangs on them but a log file, or a question
_PATIENT = frozenset({"reopen", "stacks"})
_ENDING_S = 2.0  # how long one that is killed may take to end


class Orders:
    """Those of one generation. Lives in the supervisor's loop."""

    def __init__(self, generation: Generation, master: Master) -> None:
        self._generation = generation
        self._master = master

    async def give(self, kind: str, fds: Sequence[int] = (), timeout_s: float = ORDER_S, **keys: object) -> Message:
        """Give the master an order and wait for its answer.

        Raises StepFailed when the master refuses, dies or takes too long; then it is ended, and another one follows.
        """
        try:
            return await self._master.order(kind, fds, timeout_s, **keys)
        except StepFailed as error:
            if error.step == SILENT and kind not in _PATIENT and not self._generation.orphaned:
                log.error("%s; killing the master", error.reason, extra=self._generation.tag)
                await self.end_master()
            raise

    async def bring(
        self, verb: str, state: str, fds: Sequence[int], timeout_s: float = ORDER_S, **keys: object
    ) -> None:
        """Bring all workers to a state, by way of the master or without it. Raises StepFailed."""
        if not self._generation.orphaned:
            try:
                await self.give(verb, fds, min(timeout_s, MASTER_S), **keys)
                return
            except StepFailed:
                if not self._generation.orphaned:
                    raise
                log.warning("its workers are commanded from here", extra=self._generation.tag)
        await self._command(verb, state, fds, timeout_s, **keys)

    async def _command(self, verb: str, state: str, fds: Sequence[int], timeout_s: float, **keys: object) -> None:
        generation, roster = self._generation, self._generation.roster
        roster.tell(verb, fds, **keys)
        if not await generation.wait(lambda: roster.all_in(state), timeout_s):
            raise StepFailed(
                verb, f"cannot {verb} generation {generation.number}: a worker did not answer for {timeout_s:g}s"
            )
        if state in AT_WORK and not roster.workers:
            raise StepFailed(verb, f"cannot {verb} generation {generation.number}: it has no worker left")

    async def end_master(self) -> None:
        """End a master that hangs: its workers serve on, orphaned."""
        self._master.signal(signal.SIGKILL)
        await self._generation.wait(
            lambda: self._generation.orphaned or self._generation.state is GenerationState.GONE, _ENDING_S
        )
