"""A rollback: the generation that stands by serves again. No import, no wait for a disk."""

from __future__ import annotations

from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.listeners.listener import ListenError
from releve.supervisor.operations.scale import restore
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service
from releve.supervisor.switch import switch


async def rollback(service: Service, operation: Operation) -> Generation:
    """Switch back to the generation that stands by; the one in service retires. Raises StepFailed."""
    back, rejected = service.standby, service.active
    assert back is not None and rejected is not None, "the caller has looked"
    with operation.step("switch"):
        operation.committed = True  # a matter of milliseconds: nothing is gained by going back from going back
        service.call_back()
        try:
            await _switch(service, operation, back, rejected)
        except BaseException:
            service.send_back()
            raise
    with operation.step("commit"):
        service.commit_rollback()
    wanted = service.wanted_workers if service.scaled is not None else back.settings.workers
    if wanted != len(back.workers):  # scaled meanwhile, or left with one by a rolling upgrade
        await restore(back, wanted)
    return back


async def _switch(service: Service, operation: Operation, back: Generation, rejected: Generation) -> None:
    """Raises StepFailed; then the one in service serves as before, if it lives."""
    try:
        service.listeners.bring_back(back, service.settings.limits.backlog)
    except ListenError as error:
        raise StepFailed("listen", str(error)) from error
    await switch.resume(service, back)
    await switch.pause(operation, rejected, back)
    if back.state is GenerationState.GONE:
        if rejected.state is GenerationState.STANDBY:
            await rejected.orders.resume()
        raise StepFailed("switch", f"cannot roll back: {back.trouble}", back.crash_stack())
