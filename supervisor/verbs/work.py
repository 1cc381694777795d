"""What an operation does, by verb: each gives a coroutine that works for an operation and returns its success
in words.
"""

from __future__ import annotations

from releve import __version__
from releve.supervisor.generation.generation import Generation
from releve.supervisor.operations.hooks import Hooks
from releve.supervisor.operations.reload import reload
from releve.supervisor.operations.rollback import rollback
from releve.supervisor.operations.scale import scale
from releve.supervisor.operations.target import from_cold, from_configuration, from_generation, from_history
from releve.supervisor.operations.upgrade import rehearse, upgrade
from releve.supervisor.reporting.operation import Operation, Work
from releve.supervisor.service.configuration import Configuration
from releve.supervisor.service.service import Service
from releve.supervisor.switch import canary
from releve.supervisor.takeover import adoption
from releve.supervisor.takeover.inventory import Adopted
from releve.supervisor.takeover.reexec import Outgoing, reexec


def starting(service: Service) -> Work:
    """The first generation."""

    async def work(operation: Operation) -> str:
        new = await upgrade(service, operation, from_cold(service, operation), standby=False)
        if service.passed_over:
            service.degraded["start"] = service.passed_over
        return f"generation {new.number} serves {new.pin.resolved}"

    return work


def adopting(service: Service, adopted: list[Adopted]) -> Work:
    """The generations of a supervisor that has gone."""

    async def work(operation: Operation) -> str:
        return await adoption.settle(service, operation, adopted)

    return work


def upgrading(
    service: Service,
    configuration: Configuration,
    *,
    standby: bool = True,
    settle: bool = True,
    patient: bool = True,
) -> Work:
    """What the configuration says now, for what serves."""

    async def work(operation: Operation) -> str:
        choose = from_configuration(service, configuration, patient=patient)
        new = await upgrade(service, operation, choose, standby=standby, settle=settle, judged=standby)
        had_canary = canary.words(operation.figures)
        return f"generation {new.number} serves {new.pin.resolved}" + (f" (canary: {had_canary})" if had_canary else "")

    return work


def rehearsal(service: Service, configuration: Configuration) -> Work:
    """The same up to its check, and back."""

    async def work(operation: Operation) -> str:
        new = await rehearse(service, operation, from_configuration(service, configuration))
        return (
            f"would serve {new.pin.resolved} with {new.pin.python} (Python {new.pin.python_version}); "
            "nothing was touched"
        )

    return work


def reloading(service: Service) -> Work:
    """New settings, and new workers that have them."""

    async def work(operation: Operation) -> str:
        generation = await reload(service, operation, service.configuration)
        fresh = sum(worker.revision == generation.revision for worker in generation.workers.values())
        return f"reloaded: generation {generation.number} has {fresh} new workers"

    return work


def rolling_back(service: Service) -> Work:
    """The generation that stands by, or else the release before."""

    async def work(operation: Operation) -> str:
        rejected = service.active
        if service.standby is not None:
            generation = await rollback(service, operation)
        else:
            generation = await upgrade(service, operation, from_history(service))
        if rejected is not None:
            await Hooks(operation, generation, service.runtime).rolled_back(rejected)
        return f"rolled back: generation {generation.number} serves {generation.pin.resolved}"

    return work


def scaling(service: Service, number: int, reset: bool) -> Work:
    """Another number of workers."""

    async def work(operation: Operation) -> str:
        await scale(service, operation, number, reset)
        return f"{number} workers" + ("" if reset else ", until a reload or ctl scale --reset")

    return work


def replacing(outgoing: Outgoing) -> Work:
    """Another program in this process."""

    async def work(operation: Operation) -> str:
        return await reexec(outgoing, operation)

    return work


def following(service: Service, before: str) -> Work:
    """The end of the same, in the new program: everything is held again."""

    async def work(operation: Operation) -> str:
        with operation.step("takeover"):
            service.tell_roles()
        return f"releve {__version__} follows releve {before} as the supervisor; {service.serving_words()}"

    return work


def recovering(service: Service, lost: Generation) -> Work:
    """A successor of the same pin for a generation that lost its master."""

    async def work(operation: Operation) -> str:
        new = await upgrade(service, operation, from_generation(service, lost), standby=False, judged=False)
        return f"generation {new.number} follows generation {lost.number}, from the same release"

    return work
