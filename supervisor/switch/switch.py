"""The switch: how the traffic moves, forward to the new generation and back to the old one.

Both ways the one that takes over accepts before the other one stops, so that at no
moment nobody accepts; and both are a matter of milliseconds, since the other one is
warm. What reaches an exchange too late is passed on to whoever is in service.
"""

from __future__ import annotations

import signal
import time

from releve.server.shared.faults import fault
from releve.server.shared.states import WorkerState
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import AT_WORK, GenerationState
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service
from releve.supervisor.switch import soundness

COME_S = 5.0  # how long a worker may take from being ready to serving
BACK_S = 1.0  # how long the workers of a generation that is switched back from may take to say that they have paused


async def forward(service: Service, operation: Operation, old: Generation | None, new: Generation) -> None:
    """First the new generation accepts, then the old one stops and hands its connections over. Raises StepFailed."""
    if new.state is not GenerationState.SERVING:  # a rolling switch has begun with that
        await new.orders.resume()
    fault("after_resume")
    await all_serve(new)
    if old is not None:
        await pause(operation, old, new)
    if old is not None and old.state is GenerationState.GONE:
        operation.note(f"{old.trouble}; its requests are lost, and generation {new.number} serves alone")
    soundness.demand(new, "switch", old=old)
    fault("after_pause")
    operation.switched = True
    operation.record(switched=True)
    service.begin_trial(new)


async def resume(service: Service, generation: Generation) -> None:
    """One that is paused serves again, and passes nothing on any more.

    Raises StepFailed; then it is paused as before, and passes on what comes late.
    """
    generation.exchange.end_relay()
    try:
        await generation.orders.resume()
    except StepFailed:
        generation.exchange.relay_to(service.serving_exchange)
        raise


async def pause(operation: Operation, generation: Generation, to: Generation) -> None:
    """One that serves stops accepting, and hands its idle connections over; what a stuck worker holds stays there."""
    if generation.state is GenerationState.SERVING:
        try:
            await generation.orders.pause(to)
        except StepFailed as error:
            # A stuck worker is a reason to get rid of its generation, not to keep it.
            operation.note(f"{error.reason}; connections of that worker stay with generation {generation.number}")


async def all_serve(new: Generation) -> None:
    """See that it has its master, and that its workers have come to serve. Raises StepFailed.

    One that has just been started in the place of another is told so when it says that it is ready: no order waits for
    it.
    """
    coming = _to_come(new)
    if coming:
        await new.wait(lambda: bool(new.trouble) or not coming & _to_come(new), COME_S)
    soundness.demand_master(new, "switch")
    if coming and (late := coming & _to_come(new)):
        worker = min(late, key=lambda one: one.number)
        raise StepFailed(
            "switch",
            f"cannot trust generation {new.number}: worker {worker.number} (pid {worker.pid}) did not begin to serve",
        )


def _to_come(generation: Generation) -> set[Worker]:
    """Workers that are up, and do not serve yet."""
    waiting = (WorkerState.READY, WorkerState.ATTENDING)
    return {worker for worker in generation.workers.values() if worker.state in waiting}


async def back(service: Service, old: Generation, new: Generation) -> None:
    """From wherever ``forward`` (or a canary) has come to: the old generation serves as before, the new one finishes
    and leaves.

    Raises StepFailed if the old one cannot serve any more; then the new one goes on.
    """
    if old.state is GenerationState.STANDBY:
        await resume(service, old)
    await end_diversion(old)
    if old.state is GenerationState.GONE:
        raise StepFailed("switch", old.trouble)
    service.end_trial()
    await leave(service, old, new)


async def end_diversion(old: Generation) -> None:
    """No new connection goes to a canary any more. What comes too late, by a worker that is stuck, is passed on."""
    if old.state is GenerationState.GONE:
        return
    try:
        await old.orders.end_diversion()
    except StepFailed as error:
        log.warning("%s", error.reason, extra=old.tag)


async def leave(service: Service, old: Generation, new: Generation) -> None:
    """A generation that serves beside the old one (or attends to a part) hands its idle connections over to that,
    finishes, and leaves.
    """
    asked_ns = time.monotonic_ns()
    try:
        if new.state in AT_WORK:
            await new.orders.pause(old, BACK_S)
    except StepFailed as error:
        log.warning("%s", error.reason, extra=new.tag)
        _end_wedged(new, asked_ns)
    if new.state is not GenerationState.GONE:
        new.exchange.relay_to(service.serving_exchange)
    service.retire(new)  # it may hold requests: let it answer them


def _end_wedged(generation: Generation, since_ns: int) -> None:
    """End the workers whose loop has not turned since: nothing that they hold will ever be answered."""
    for worker in generation.workers.values():
        record = worker.record(generation.board)
        if worker.state != WorkerState.PAUSED and record is not None and record.heartbeat_ns < since_ns:
            log.error(
                "killing worker %d (pid %d): its event loop is stuck", worker.number, worker.pid, extra=generation.tag
            )
            worker.kill(signal.SIGABRT)  # faulthandler writes where it hangs
