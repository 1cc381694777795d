"""The jobs: for each operation what it does, to its success in words, and what can be done about its failure."""

from __future__ import annotations

from collections.abc import Sequence

from releve import __version__
from releve.config.grammar import counted
from releve.supervisor.generation.generation import Generation
from releve.supervisor.operations.hooks import Hooks
from releve.supervisor.operations.reload import reload, tell_of_variables
from releve.supervisor.operations.restart import restart
from releve.supervisor.operations.rollback import rollback
from releve.supervisor.operations.scale import scale
from releve.supervisor.operations.target import Choose, from_cold, from_configuration, from_generation, from_history
from releve.supervisor.operations.upgrade import Manner, rehearse, upgrade
from releve.supervisor.reporting.operation import Job, Operation
from releve.supervisor.service.configuration import Configuration
from releve.supervisor.service.service import Service
from releve.supervisor.switch import canary
from releve.supervisor.takeover.adoption import Adoption
from releve.supervisor.takeover.reexec import Outgoing, reexec
from releve.supervisor.takeover.settlement import settle as settle_adoption

_UPGRADE_AGAIN = "remove the cause, then ctl upgrade again; ctl history {attempt} shows this again"
_REEXEC_AGAIN = "fix the installation of releve, then ctl reexec again"


def starting(service: Service) -> Job:
    """The first generation."""

    async def work(operation: Operation) -> str:
        new = await upgrade(service, operation, from_cold(service, operation), Manner(standby=False))
        if service.passed_over:
            service.condition.degraded["start"] = service.passed_over
        return f"generation {new.number} serves {new.pin.resolved}"

    return Job("start", work, "remove the cause, then start again")


def adopting(service: Service, adoption: Adoption) -> Job:
    """The generations of a supervisor that has gone."""

    async def work(operation: Operation) -> str:
        return await settle_adoption(service, operation, adoption)

    return Job("adopt", work, "ctl status shows what serves")


def upgrading(service: Service, configuration: Configuration) -> Job:
    """What the configuration says now, for what serves."""
    return _upgrading(service, from_configuration(service, configuration), Manner())


def upgrading_by_watch(service: Service, mode: str) -> Job:
    """The same because files have changed: for ``watch: code``, while somebody writes them, as quickly as can be."""
    manner = Manner(standby=False, settle=False, canary=False, probation=False) if mode == "code" else Manner()
    return _upgrading(service, from_configuration(service, service.configuration, patient=False), manner)


def _upgrading(service: Service, choose: Choose, manner: Manner) -> Job:
    async def work(operation: Operation) -> str:
        new = await upgrade(service, operation, choose, manner)
        had_canary = canary.words(operation.figures)
        return f"generation {new.number} serves {new.pin.resolved}" + (f" (canary: {had_canary})" if had_canary else "")

    return Job("upgrade", work, _UPGRADE_AGAIN)


def rehearsal(service: Service, configuration: Configuration) -> Job:
    """The same up to its check, and back."""

    async def work(operation: Operation) -> str:
        new = await rehearse(service, operation, from_configuration(service, configuration))
        return (
            f"would serve {new.pin.resolved} with {new.pin.python} (Python {new.pin.python_version}); "
            "nothing was changed"
        )

    return Job("upgrade", work, _UPGRADE_AGAIN, dry=True)


def reloading(service: Service) -> Job:
    """New settings, and new workers that have them."""

    async def work(operation: Operation) -> str:
        generation = await reload(service, operation, service.configuration)
        fresh = sum(worker.revision == generation.revision for worker in generation.workers.values())
        return f"reloaded: generation {generation.number} has {counted(fresh, 'new worker')}"

    return Job("reload", work, "remove the cause, then ctl reload again")


def rolling_back(service: Service) -> Job:
    """The generation that stands by, or else the release before."""

    async def work(operation: Operation) -> str:
        rejected = service.active
        if service.standby is not None:
            generation = await rollback(service, operation)
        else:
            # to a release that is not warm any more: somebody is in a hurry
            generation = await upgrade(service, operation, from_history(service), Manner(canary=False))
        if rejected is not None:
            await Hooks(operation, generation, service.folders.runtime).rolled_back(rejected)
        return f"rolled back: generation {generation.number} serves {generation.pin.resolved}"

    return Job("rollback", work)


def scaling(service: Service, number: int, reset: bool) -> Job:
    """Another number of workers."""

    async def work(operation: Operation) -> str:
        await scale(service, operation, number, reset)
        return counted(number, "worker") + ("" if reset else " until a reload or ctl scale --reset")

    return Job("scale", work)


def restarting(service: Service, numbers: Sequence[int]) -> Job:
    """Other workers in the place of some, from the same release."""

    async def work(operation: Operation) -> str:
        assert service.active is not None, "its workers were chosen"
        tell_of_variables(operation, service.active)  # a secret was rotated, perhaps, and a restart does not read it
        return await restart(operation, service.active, numbers)

    again = "--all" if len(numbers) > 1 else "again"
    return Job("restart", work, f"remove the cause, then ctl restart {again}; ctl upgrade starts the release on disk")


def replacing(outgoing: Outgoing) -> Job:
    """Another program in this process."""

    async def work(operation: Operation) -> str:
        return await reexec(outgoing, operation)

    return Job("reexec", work, _REEXEC_AGAIN)


def following(service: Service, before: str) -> Job:
    """The end of the same, in the new program: everything is held again."""

    async def work(operation: Operation) -> str:
        with operation.step("takeover"):
            service.tell_roles()
        return f"releve {__version__} replaced releve {before} as the supervisor; {service.serving_words()}"

    return Job("reexec", work, _REEXEC_AGAIN)


def recovering(service: Service, lost: Generation) -> Job:
    """A successor of the same pin for a generation that lost its master."""
    # for the same release what stands by is as good as before; and it is a second guard meanwhile
    manner = Manner(standby=False, canary=False, probation=False, alone=False)

    async def work(operation: Operation) -> str:
        new = await upgrade(service, operation, from_generation(service, lost), manner)
        return f"generation {new.number} replaced generation {lost.number}, from the same release"

    return Job("recover", work, "the supervisor tries again until ctl upgrade to another release")
