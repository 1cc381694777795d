"""The orders of a generation: by way of its master; straight to its workers where that has gone.

A master that does not answer is killed, and costs nothing: its workers serve on and are commanded from here.

Those that move traffic change the state of the generation (``states.py``). It may end, or be dismissed, while they are
under way: then it stays what it is.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from releve.config.grammar import counted
from releve.server.shared.link import Message
from releve.server.shared.states import AT_WORK, WorkerState
from releve.supervisor.channels.exchange import Exchange
from releve.supervisor.channels.master import ORDER_S, SILENT, Master
from releve.supervisor.generation.life import Life
from releve.supervisor.generation.roster import Roster
from releve.supervisor.generation.states import GenerationEvent
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log

MASTER_S = 10.0  # the same for resume and pause; it waits for its workers for up to 6 s
# orders that a master may miss: nothing hangs on them but a log file, or a question
_PATIENT = frozenset({"reopen", "replace", "stacks"})
_ENDING_S = 2.0  # how long one that is killed may take to end


class Receiver(Protocol):
    """Who takes connections over: another generation."""

    life: Life
    exchange: Exchange


class Orders:
    """Those of one generation. Lives in the supervisor's loop."""

    def __init__(self, life: Life, master: Master, roster: Roster) -> None:
        self.diverts = False  # its workers pass a share of their new connections on
        self._life = life
        self._master = master
        self._roster = roster

    # ---------------------------------------------------------------- traffic

    async def resume(self) -> None:
        """Have the workers accept. Raises StepFailed when none does, IllegalEvent in a wrong state.

        From the moment the order is out they may hold requests, so a caller that is
        interrupted here leaves a generation that is serving.
        """
        await self._go_to_work("resume", GenerationEvent.RESUMED, WorkerState.SERVING)

    async def attend(self) -> None:
        """Have the workers serve what comes by their exchange, and accept nothing.

        Raises as ``resume``, also when one does not.
        """
        await self._go_to_work("attend", GenerationEvent.ATTENDED, WorkerState.ATTENDING)

    async def _go_to_work(self, verb: str, event: GenerationEvent, state: WorkerState) -> None:
        life = self._life
        before, after = life.state, life.after(event)
        life.state = after
        try:
            await self.bring(verb, state, (), ORDER_S)
        except StepFailed:
            if life.state is after:
                life.state = before
            raise
        if life.state is not after:  # it has ended, or was dismissed, while it was answered
            raise StepFailed(
                verb, f"cannot {verb} generation {life.number}: {life.trouble or f'it is {life.state.value}'}"
            )

    async def divert(self, share: float, to: Receiver) -> None:
        """Have the workers, and those to come, pass a share (0 to 1) of their new connections on. Raises StepFailed."""
        self.diverts = True  # also if we are interrupted here: some may have heard it
        with self._way_to("divert", to) as send:
            await self.bring("divert", WorkerState.SERVING, (send,), ORDER_S, to=to.life.number, share=share)

    async def end_diversion(self) -> None:
        """Have the workers serve all of their new connections again. Raises StepFailed when some do not say so."""
        if self.diverts:
            await self.bring("divert", WorkerState.SERVING, (), ORDER_S, to=None)
            self.diverts = False

    async def pause(self, to: Receiver, timeout_s: float = ORDER_S) -> None:
        """Have the workers stop accepting and give their idle connections to another generation.

        Raises StepFailed when some did not say so in time: they may hold connections yet. One that
        ends meanwhile accepts no more either.
        """
        life = self._life
        before, after = life.state, life.after(GenerationEvent.PAUSED)
        with self._way_to("pause", to) as send:
            try:
                done = await self.bring("pause", WorkerState.PAUSED, (send,), timeout_s, to=to.life.number)
                self._tell_moved(done.get("given", 0), done.get("kept", 0), to.life.number)
            except StepFailed:
                if not life.gone:
                    raise
            finally:
                if life.state is before:  # else it has ended, or was dismissed, meanwhile
                    life.state = after  # even when a worker is stuck: it was told, and accepts no more once it can hear
                self.diverts = False

    def _tell_moved(self, given: int, kept: int, to: int) -> None:
        """Log how many idle connections a pause has moved, and how many stay for their next response."""
        if given or kept:
            stay = f"; {kept} stay for their next response" if kept else ""
            moved = counted(given, "idle connection")
            log.info("handed %s over to generation %d%s", moved, to, stay, extra=self._master.tag)

    @contextmanager
    def _way_to(self, verb: str, to: Receiver) -> Iterator[int]:
        """The send end of another generation's exchange, which stays open until the order is carried out.

        Raises StepFailed.
        """
        if to.life.gone:
            raise StepFailed(verb, f"cannot {verb} generation {self._life.number}: {to.life.trouble}")
        send = os.dup(to.exchange.send.fileno())
        try:
            yield send
        finally:
            os.close(send)

    # ---------------------------------------------------------------- their way

    async def give(self, kind: str, fds: Sequence[int] = (), timeout_s: float = ORDER_S, **keys: object) -> Message:
        """Give the master an order and wait for its answer.

        Raises StepFailed when the master refuses, dies or takes too long; then it is ended, and another one follows.
        """
        try:
            return await self._master.order(kind, fds, timeout_s, **keys)
        except StepFailed as error:
            if error.step == SILENT and kind not in _PATIENT and not self._life.orphaned:
                log.error("%s; killing the master", error.reason, extra=self._master.tag)
                await self.end_master()
            raise

    async def bring(
        self, verb: str, state: WorkerState, fds: Sequence[int], timeout_s: float = ORDER_S, **keys: object
    ) -> Message:
        """Bring all workers to a state, by way of the master or without it; returns the master's answer, empty without
        one.

        Raises StepFailed.
        """
        if not self._life.orphaned:
            try:
                return await self.give(verb, fds, min(timeout_s, MASTER_S), **keys)
            except StepFailed:
                if not self._life.orphaned:
                    raise
                log.warning("the supervisor commands its workers directly", extra=self._master.tag)
        await self._command(verb, state, fds, timeout_s, **keys)
        return {}

    async def _command(
        self, verb: str, state: WorkerState, fds: Sequence[int], timeout_s: float, **keys: object
    ) -> None:
        life, roster = self._life, self._roster
        roster.tell(verb, fds, **keys)
        if not await life.wait(lambda: roster.all_in(state), timeout_s):
            raise StepFailed(
                verb, f"cannot {verb} generation {life.number}: a worker did not answer within {timeout_s:g} s"
            )
        if state in AT_WORK and not roster.workers:
            raise StepFailed(verb, f"cannot {verb} generation {life.number}: it has no worker left")

    async def end_master(self) -> None:
        """End a master that hangs: its workers serve on, orphaned."""
        self._master.signal(signal.SIGKILL)
        await self._life.wait(lambda: self._life.orphaned or self._life.gone, _ENDING_S)
