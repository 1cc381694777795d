"""A rolling switch, for tight memory: worker by worker, never more than one extra (``upgrade.mode: rolling``).

The new generation boots with one worker. Then, in turn, one old worker gives its
connections to its siblings and leaves, and one new worker is started beside the
others, until one old worker is left: the one that the switch pauses, and that
stands by. Meanwhile both releases serve.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from releve.server.shared.states import WorkerState
from releve.supervisor.channels.master import ORDER_S
from releve.supervisor.generation.generation import Generation
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.switch import check as checking
from releve.supervisor.switch import soundness

SETTLED_S = 5.0  # a worker that was told to leave says so at once, but for one that is stuck


async def roll(operation: Operation, old: Generation, new: Generation, workers: int) -> None:
    """From all old workers and one new one, proved, to one old worker and ``workers`` new ones.

    Raises StepFailed, half-way.
    """
    await new.orders.resume()
    left, come = len(old.workers), 1
    while left > 1 or come < workers:
        if left > 1:
            left -= 1
            try:
                await old.orders.give("scale", workers=left)
            except StepFailed:
                if not old.trouble:
                    raise
                # it has lost its master, who could have sent workers away one by one: they pause together, at the
                # switch
                left = 1
            else:
                await settled(old, left)
        if come < workers:
            come += 1
            await new.orders.give("scale", workers=come, timeout_s=new.settings.timeouts.boot + ORDER_S)
            await _prove_youngest(new)
        operation.say(f"{come} of {workers} new workers serve, and {left} old")
        soundness.demand(new, "switch", old=old)


async def settled(generation: Generation, workers: int) -> None:
    """Until no more workers than that are in a generation, those that finish their last requests left out; not for
    ever.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_S):
            await generation.until(
                lambda: sum(worker.state != WorkerState.LEAVING for worker in generation.workers.values()) <= workers
            )


async def _prove_youngest(new: Generation) -> None:
    check = new.settings.upgrade.check
    if check is not None and new.workers:
        try:
            await checking.ask_worker(new, new.workers[max(new.workers)], check)
        except checking.CheckFailed as error:
            raise StepFailed("check", str(error)) from error
