"""The stop: the end of a service, from the first request for it to the end of its last process.

Everything is served as before while an operation is interrupted, for ``timeouts.pre_stop``, and until systemd has said
whether it starts the service again. Then the generations finish what they have and leave. Each request may make the
stop quicker: ``PACES`` says when.
"""

from __future__ import annotations

import asyncio
import enum
import os
from contextlib import suppress

from releve.instance.protocol import Status, result
from releve.supervisor.generation.generation import Generation
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service
from releve.supervisor.systemd import systemctl
from releve.supervisor.verbs.dispatcher import Dispatcher

_BARRIER_S = 1.0  # systemd answers within milliseconds


class Request(enum.Enum):
    """How somebody asks for a stop."""

    PLAIN = "plain"  # `ctl stop`, or SIGTERM to the guard
    HURRY = "hurry"  # SIGTERM: a second one ends the wait of timeouts.pre_stop
    NOW = "now"  # `ctl stop --now`, or SIGINT


class Pace(enum.Enum):
    """What a stop waits for."""

    PRE_STOP = "timeouts.pre_stop, then timeouts.drain"
    DRAIN = "timeouts.drain"
    AT_ONCE = "nothing"


_P, _R = Pace, Request

PACES: dict[tuple[Pace | None, Request], Pace] = {
    (None, _R.PLAIN): _P.PRE_STOP,
    (None, _R.HURRY): _P.PRE_STOP,
    (None, _R.NOW): _P.AT_ONCE,
    (_P.PRE_STOP, _R.PLAIN): _P.PRE_STOP,
    (_P.PRE_STOP, _R.HURRY): _P.DRAIN,
    (_P.PRE_STOP, _R.NOW): _P.AT_ONCE,
    (_P.DRAIN, _R.PLAIN): _P.DRAIN,
    (_P.DRAIN, _R.HURRY): _P.DRAIN,
    (_P.DRAIN, _R.NOW): _P.AT_ONCE,
    (_P.AT_ONCE, _R.PLAIN): _P.AT_ONCE,
    (_P.AT_ONCE, _R.HURRY): _P.AT_ONCE,
    (_P.AT_ONCE, _R.NOW): _P.AT_ONCE,
}


class Stop:
    """The stop of one supervisor's service; idle until somebody asks for it. Lives in the supervisor's loop."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.ended = asyncio.Event()
        self._dispatcher = dispatcher
        self._pace: Pace | None = None
        self._quicker = asyncio.Event()  # than timeouts.pre_stop
        self._final = False  # no restart follows: ctl asked for it, or systemd says so
        self._draining = False
        self._serve_on = False  # while draining: systemd keeps the accept queues

    def ask(self, by: str, request: Request, *, final: bool) -> Operation:
        """Begin to end the service, or join the stop under way. ``final``: it is not the first half of a restart."""
        self._pace = PACES[self._pace, request]
        self._final |= final
        under_way = self._dispatcher.stopping
        if under_way is None:
            operation = Operation("stop", by, self._dispatcher.service.history.reserve())
            log.info("stop %d started by %s", operation.number, by)
            self._dispatcher.stopping = operation
            operation.task = asyncio.get_running_loop().create_task(self._run(operation))
            return operation
        if self._pace is not Pace.PRE_STOP:
            self._quicker.set()
        given_up = final and self._draining and self._serve_on
        if given_up:  # it was the first half of a restart until now
            self._dispatcher.service.listeners.store.drop()
            self._serve_on = False
        if given_up or request is Request.NOW:
            self._dismiss()
        return under_way

    async def _run(self, operation: Operation) -> None:
        dispatcher, service = self._dispatcher, self._dispatcher.service
        service.notifier.main_pid(os.getpid())
        service.notifier.stopping()
        service.drain.stop()
        await dispatcher.holding.wait()  # what is being adopted is to be stopped too
        entry = {"verb": "stop", "by": operation.by, "from": service.describe(service.active)}
        service.history.begin(entry, rescue=True, number=operation.number)
        current = dispatcher.operation
        if current is not None:
            current.interrupt("the service is stopping", final=True)
            await current.finished.wait()
        pre_stop_s = service.settings.timeouts.pre_stop
        if self._pace is Pace.PRE_STOP and pre_stop_s is not None and service.active is not None:
            log.info(
                "serving for another %g s (timeouts.pre_stop); another SIGTERM ends this wait, ctl stop --now stops "
                "at once",
                pre_stop_s,
            )
            with operation.step("pre-stop"), suppress(TimeoutError):
                async with asyncio.timeout(pre_stop_s):
                    await self._quicker.wait()
        self._serve_on = await self._queue_outlives_us()
        operation.phase, self._draining = "drain", True
        await end_all(service, self._dismiss())
        service.history.finish(operation.number, "done")
        log.info("stopped")
        operation.finish(
            result(Status.DONE, "stopped", verb="stop", operation=operation.number, seconds=operation.seconds)
        )
        self.ended.set()

    async def _queue_outlives_us(self) -> bool:
        """Whether systemd keeps listening sockets beyond our end, for what it starts next: then clients are served to
        the last.

        Where it starts nothing, it is told to keep none, so that clients are refused.
        """
        service = self._dispatcher.service
        if not service.notifier.active:
            return False
        if service.listeners.store.keeps_any:
            if not self._final and await systemctl.stops_for_good():
                self._final = True
            if self._final:  # or since ctl was asked meanwhile
                service.listeners.store.drop()
                await service.notifier.barrier(_BARRIER_S)
        return service.listeners.store.keeps_any or any(one.inherited for one in service.listeners.in_service)

    def _dismiss(self) -> list[Generation]:
        if self._pace is Pace.AT_ONCE:
            return dismiss_all(self._dispatcher.service)
        timeouts = self._dispatcher.service.settings.timeouts
        return dismiss_all(self._dispatcher.service, timeouts.drain, timeouts.linger, serve_on=self._serve_on)


def dismiss_all(
    service: Service, drain_s: float = 0.0, linger_s: float | None = None, *, serve_on: bool = False
) -> list[Generation]:
    """Have every generation finish within ``drain_s`` and leave; returns them.

    ``serve_on``: the one in service accepts meanwhile.
    """
    generations = service.generations()
    for generation in generations:
        generation.dismiss(drain_s, linger_s, serve_on=serve_on and generation is service.serving)
    return generations


async def end_all(service: Service, dismissed: list[Generation]) -> None:
    """Close the listeners, and wait for those that were dismissed."""
    service.listeners.close()  # each worker accepts what is queued before it closes its own
    # of one that is gone, something may be left to end
    for generation in dict.fromkeys([*dismissed, *service.retiring]):
        await generation.ended.wait()
