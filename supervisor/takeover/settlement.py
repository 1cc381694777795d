"""The settlement of an adoption: every generation that was taken over comes to do what its place in the service asks.

What was interrupted ends: before the switch was complete it goes back, after it the new generation is judged on.
"""

from __future__ import annotations

from releve.config.grammar import counted
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.keepsake.keepsake import Role
from releve.supervisor.listeners.listener import remove_file
from releve.supervisor.operations import scale
from releve.supervisor.operations.target import Target
from releve.supervisor.operations.upgrade import judge_on
from releve.supervisor.release.release import release_of
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service
from releve.supervisor.switch import switch
from releve.supervisor.takeover.adoption import Adoption
from releve.supervisor.takeover.inventory import Adopted


async def settle(service: Service, operation: Operation, adoption: Adoption) -> str:
    """Bring every generation into the posture of its place; go on with an upgrade that was switched.

    Raises StepFailed.
    """
    adopted, active, serving = adoption.adopted, service.active, service.serving
    assert active is not None and serving is not None
    try:
        with operation.step("settle"):
            await _bring_about(service, operation, adoption, active, serving)
    except BaseException:
        for one in adopted:  # a stop must find them all: one that is overlooked would have the service started again
            if one.generation not in service.generations():
                service.retire(one.generation)
        raise
    if service.on_trial:
        operation.record(target=release_of(serving.pin))
        plan = service.listeners.planned(serving.listeners, serving.settings.limits.backlog)
        target = Target(serving.pin, serving.settings, plan)
        await judge_on(service, operation, active, serving, target)
        return f"adopted; generation {serving.number} was on probation and is committed"
    workers = sum(len(one.generation.workers) for one in adopted)
    return (
        f"adopted {counted(len(adopted), 'generation')} with {counted(workers, 'worker')}; "
        f"generation {active.number} serves {active.pin.resolved}"
    )


async def _bring_about(
    service: Service, operation: Operation, adoption: Adoption, active: Generation, serving: Generation
) -> None:
    """The posture of each. Raises StepFailed."""
    adopted = adoption.adopted
    if serving.state is not GenerationState.SERVING:
        serving.exchange.end_relay()
        await serving.orders.resume()
    await switch.end_diversion(serving)
    for one in adopted:
        generation = one.generation
        if generation not in (active, service.standby, serving):
            operation.note(f"generation {generation.number} did not serve yet: back to generation {active.number}")
            service.listeners.close_after(generation, service.listeners.beyond(generation.listeners))
            await switch.leave(service, active, generation)
    for paused in (service.standby, active if service.on_trial else None):
        if paused is not None and paused.state is GenerationState.SERVING:
            try:
                await paused.orders.pause(serving)
            except StepFailed as error:  # one that is stuck holds nobody else up
                operation.note(f"{error.reason}; connections of that worker stay with generation {paused.number}")
    if service.standby is not None and service.standby.orphaned:
        service.retire_standby()
    _remove_files(adopted)
    adoption.dismiss_unled()
    _tell_of_the_ended(service, operation, adoption)
    service.tell_roles()
    # What was under way when the other supervisor was killed may have left it with more workers, or fewer.
    await scale.restore(serving, service.scaled or serving.settings.workers)


def _remove_files(adopted: list[Adopted]) -> None:
    """Those of Unix sockets that an operation had opened, or was to close, and that nobody has any more."""
    held = {listener.inode for one in adopted for listener in one.generation.listeners}
    for one in adopted:
        for listener in one.kept.listeners:
            if listener.inode is not None and listener.inode not in held:
                remove_file(listener)


def _tell_of_the_ended(service: Service, operation: Operation, adoption: Adoption) -> None:
    """Masters that had to be ended: if one of them led what was in service, an older release serves now."""
    adopted = adoption.adopted
    for number in adoption.unheard:
        operation.note(
            f"the master of generation {number} did not answer and was killed; its workers finish their requests"
        )
        roles = [one.kept.role for one in adopted if one.generation is service.serving]
        if roles not in ([Role.ACTIVE], [Role.TRIAL]) and service.serving is not None:
            service.condition.degraded["adopt"] = (
                f"the master of generation {number} hung and was killed; generation {service.serving.number} serves"
            )
    serves = next((one for one in adopted if one.generation is service.serving), None)
    if serves is not None and serves.kept.role is Role.STANDBY and "adopt" not in service.condition.degraded:
        which = (
            f"generation {serves.generation.number} ({serves.generation.pin.resolved}) was on standby and is serving"
        )
        service.condition.degraded["adopt"] = (
            f"{which}: the one in service lost its master when the supervisor was killed; see ctl history"
        )
