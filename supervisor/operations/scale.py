"""Scaling: more workers, or fewer, of the generation in service. Sticks until a reload or ``--reset``."""

from __future__ import annotations

import asyncio
import time

from releve.config.grammar import counted
from releve.config.settings.settings import WORKERS_MAX
from releve.supervisor.channels.master import ORDER_S
from releve.supervisor.generation.generation import Generation
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service

_AGAIN_S = 0.1


def wanted(service: Service, workers: object, reset: bool) -> int:
    """The number asked for: a count, or a difference as in ``+1``. Raises StepFailed for what is neither."""
    if reset:
        return service.settings.workers
    text = str(workers)
    digits = text[1:] if text[:1] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise StepFailed("usage", f"cannot scale to {text!r}: give a number of workers, or a difference as in +1")
    number = service.wanted_workers + int(text) if text[0] in "+-" else int(text)
    if not 1 <= number <= WORKERS_MAX:
        raise StepFailed("usage", f"cannot scale to {counted(number, 'worker')}: the limits are 1 and {WORKERS_MAX}")
    return number


async def scale(service: Service, operation: Operation, number: int, reset: bool) -> int:
    """Bring the generation in service to a number of workers, and keep it over upgrades. Raises StepFailed."""
    generation = service.active
    if generation is None or generation.orphaned:
        raise StepFailed(
            "preflight", "cannot scale: the master of the generation in service exited; ctl upgrade starts another"
        )
    before, service.scaled = service.scaled, None if reset else number
    # first: the master goes on with it when this supervisor is killed, and the next one shall know
    service.tell_roles()
    try:
        with operation.step("scale"):
            await generation.orders.give("scale", workers=number, timeout_s=generation.settings.timeouts.boot + ORDER_S)
    except BaseException:
        service.scaled = before
        service.tell_roles()
        await restore(generation, service.wanted_workers)
        raise
    return number


async def restore(generation: Generation, workers: int) -> None:
    """Have a generation come back to a number of workers, whatever its master was told meanwhile.

    Never raises StepFailed.

    While the master is in the middle of something it refuses; then it is asked again, each time with all the time that
    an order has: one that does not answer in time is ended.
    """
    limit_s = generation.settings.timeouts.boot + ORDER_S
    until = time.monotonic() + limit_s
    while not generation.orphaned:
        try:
            await generation.orders.give("scale", workers=workers, timeout_s=limit_s)
            return
        except StepFailed as error:
            if error.step != "order" or time.monotonic() >= until:
                log.error(
                    "cannot scale generation %d to %s: %s", generation.number, counted(workers, "worker"), error.reason
                )
                return
        await asyncio.sleep(_AGAIN_S)
