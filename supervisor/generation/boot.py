"""The boot of one generation: what its master is told, what it says on the way, and that it is over."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from releve.config.settings.settings import Settings
from releve.config.settings.wire import to_wire
from releve.server.shared.link import LINK_VERSION, Message
from releve.server.shared.states import WorkerState
from releve.supervisor.channels.master import Master
from releve.supervisor.generation.life import Life
from releve.supervisor.generation.roster import Roster
from releve.supervisor.host import scheduling
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.release.release import Pin
from releve.supervisor.reporting.failure import StepFailed, UnsafePreload

Phase = Callable[[str], None]

LOW_S = 10.0  # how long a boot gives way to what serves, and
LOW_SHARE = 1 / 3  # of the time that it has: on a host without a free processor it shall come to its end

_STACK_S = 2.0  # how long a hung process may take to write its stack


def order(
    pin: Pin, settings: Settings, number: int, revision: int, workers: int, listeners: list[Listener], service: str = ""
) -> Message:
    """The message that a master boots by; ``docs/protocol.md``. ``service``: the name of it."""
    return {
        "type": "boot",
        "link": LINK_VERSION,
        "service": service,
        "generation": number,
        "revision": revision,
        "app": settings.app,
        "directory": pin.resolved,
        "preload": pin.preload,
        "settings": {**to_wire(settings), "workers": workers},
        "listeners": [one.name for one in listeners],
    }


async def abort_hung(life: Life, master: Master, roster: Roster) -> None:
    """Have what hangs in a boot write its stack to the crash file, by SIGABRT: the workers that boot, or the master.

    Waits until they have ended, not for ever.
    """
    hung = [worker for worker in roster.workers.values() if worker.state == WorkerState.BOOTING]
    for worker in hung:
        worker.kill(signal.SIGABRT)
    if hung or not master.running:
        await life.wait(lambda: not any(w.state == WorkerState.BOOTING for w in roster.workers.values()), _STACK_S)
    else:
        master.signal(signal.SIGABRT)
        await life.wait(lambda: master.has_ended or life.orphaned or life.gone, _STACK_S)


class Boot:
    """From the start of a master until all its workers are ready, or it has failed. Lives in the supervisor's loop."""

    def __init__(self, app: str) -> None:
        loop = asyncio.get_running_loop()
        self.on_phase: Phase = lambda text: None
        self.service = ""  # its name, for the titles of processes
        self.hello: Message = {}  # what the master said of itself
        self._app = app
        self._phase = ""
        self._greeted: asyncio.Future[Message] = loop.create_future()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._low: tuple[int, asyncio.TimerHandle] | None = None  # the pid of what gives way, and until when

    @property
    def doing(self) -> str:
        """What the master is doing, in words."""
        return {"": "starting", "import": f"importing {self._app}", "workers": "starting its workers"}.get(
            self._phase, self._phase
        )

    async def greeted(self) -> Message:
        """What the master said of itself. Raises StepFailed."""
        return await self._greeted

    async def ready(self) -> None:
        """Until all workers are ready.

        Raises StepFailed, or UnsafePreload when it must be started anew without preload.
        """
        await self._ready

    # Whom it gives way to

    def give_way(self, pid: int, limit_s: float) -> None:
        """Have a master that has just been started, and all that it starts, give way to what serves; ``limit_s``: how
        long it may take to be ready.
        """
        if scheduling.lower(pid):
            timer = asyncio.get_running_loop().call_later(min(LOW_S, limit_s * LOW_SHARE), self.run_as_usual)
            self._low = pid, timer

    def run_as_usual(self) -> None:
        """It gives way no more: it is about to serve, has failed, or has done so for long enough."""
        if self._low is not None:
            (pid, timer), self._low = self._low, None
            timer.cancel()
            scheduling.restore(pid)

    # What the master says

    def greet(self, hello: Message) -> None:
        """``hello``."""
        if not self._greeted.done():
            self.hello = hello
            self._greeted.set_result(hello)

    def enter(self, phase: str) -> None:
        """``phase``."""
        self._phase = phase
        self.on_phase(self.doing)

    def complete(self) -> None:
        """``ready``."""
        if not self._ready.done():
            self._ready.set_result(None)

    def unsafe(self, found: list[str]) -> None:
        """``unsafe``: the import left what a fork would break."""
        if not self._ready.done():
            self._ready.set_exception(UnsafePreload(found))

    def fail(self, failure: StepFailed) -> None:
        """``failed``, or the end of its process. Nobody may be waiting for it."""
        waiting: list[asyncio.Future[Any]] = [self._greeted, self._ready]
        for future in waiting:
            if not future.done():
                future.set_exception(failure)
                future.exception()
