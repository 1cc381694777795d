"""An upgrade: one coroutine that reads top to bottom, with one cleanup path.

The same coroutine starts the first generation (there is no old one) and finds a
successor for a generation that lost its master (the pin is given instead of
read). Until `commit` everything can be undone, and is: the old workers were never
told to leave, so going back is one `resume`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from releve.config import diff
from releve.config.load import Loaded
from releve.config.settings import Check, Settings
from releve.supervisor import check as checking
from releve.supervisor import listeners as listening
from releve.supervisor import release
from releve.supervisor.configuration import Configuration
from releve.supervisor.failure import StepFailed, UnsafePreload
from releve.supervisor.generation import Generation
from releve.supervisor.listeners import ListenError, Plan
from releve.supervisor.operation import Operation
from releve.supervisor.release import Pin, ReleaseError
from releve.supervisor.service import Service
from releve.supervisor.states import GenerationState
from releve.supervisor.worker import Worker

SETTLE_S = 0.3  # a worker that dies right after it was ready does so within this time
_UNDO_S = 10.0  # how long the end of a failed generation is waited for


@dataclass(frozen=True, slots=True)
class Target:
    """What to upgrade to."""

    loaded: Loaded
    pin: Pin
    listeners: Plan


Choose = Callable[[], Awaitable[Target]]


async def upgrade(service: Service, operation: Operation, choose: Choose, *, standby: bool = True, settle: bool = True) -> Generation:
    """Replace the generation in service by a new one; returns it once it is committed.

    Raises StepFailed, ConfigError or CancelledError, after everything was undone:
    the old generation serves as before and nothing of the new one is left.
    """
    old = service.active
    new: Generation | None = None
    target: Target | None = None
    try:
        with operation.step("preflight"):
            target = await choose()
        new = await _start(service, operation, target)
        with operation.step("check"):
            await prove(operation, new, new.revision, new.settings.upgrade.check, settle=settle)
            new.proved()
        service.retire_standby()  # two generations at most; the new one may stand now
        with operation.step("switch"):
            await _switch(operation, old, new)
        with operation.step("commit"):
            operation.committed = True
            service.loaded = target.loaded
            standby_s = target.loaded.settings.upgrade.standby if standby else None
            service.commit(new, target.listeners.all, standby_s=standby_s)
            for trouble in target.listeners.commit():
                operation.note(trouble)
        return new
    except BaseException:
        await _undo(service, old, new, target)
        raise


def from_configuration(service: Service, configuration: Configuration) -> Choose:
    """Choose what the configuration says now."""

    async def choose() -> Target:
        loaded = configuration.read()
        settings = loaded.settings if service.active is None else diff.apply_upgrade(service.loaded.settings, loaded.settings)
        try:
            pin = await release.pin(settings, service.base_environment)
            plan = listening.plan(service.listeners, settings.listen, settings.limits.backlog, service.inherited)
        except ReleaseError as error:
            raise StepFailed(error.step, str(error)) from error
        except ListenError as error:
            raise StepFailed("listen", str(error)) from error
        return Target(replace(loaded, settings=settings), pin, plan)

    return choose


def from_generation(service: Service, generation: Generation) -> Choose:
    """Choose the very pin of a generation that lost its master."""

    async def choose() -> Target:
        addresses = [one.address for one in service.listeners]
        plan = listening.plan(service.listeners, addresses, generation.settings.limits.backlog, service.inherited)
        return Target(service.loaded, generation.pin, plan)

    return choose


async def _start(service: Service, operation: Operation, target: Target) -> Generation:
    """Spawn and boot; once more without preload if the import turns out unfit for a fork."""
    pin = target.pin
    while True:
        new = service.new_generation(pin, target.listeners.all)
        try:
            with operation.step("spawn"):
                new.spawn()
            with operation.step("boot"):
                await new.boot(service.wanted_workers, operation.say)
                operation.say(f"{len(new.workers)} workers are ready")
        except UnsafePreload as unsafe:
            await _end(new)
            operation.note(f"not preloaded: the import left {', '.join(unsafe.found)}; each worker imports for itself")
            pin = release.without_preload(pin)
            continue
        except BaseException:
            await _end(new)
            raise
        used = diff.changed(Settings(), target.loaded.settings)
        unknown = sorted(set(used) - set(new.hello.get("settings", [])))
        if unknown:
            operation.note(f"the release's releve {new.hello.get('releve')} does not know {', '.join(unknown)}: ignored")
        return new


async def prove(operation: Operation, generation: Generation, revision: int, check: Check | None, *, settle: bool = True) -> None:
    """Ask the check of every worker of a revision, on a private connection; then see that none dies. Raises StepFailed."""
    workers = [worker for worker in generation.workers.values() if worker.revision == revision]
    if check is not None:
        for worker in workers:
            await _ask(worker, check, generation)
        operation.say(f"{len(workers)} workers passed {check.path}")
    if settle:
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await generation.until(lambda: bool(generation.roster.losses(revision)))
    for loss in generation.roster.losses(revision):
        raise StepFailed("check", f"cannot trust generation {generation.number}: {loss} right after it was ready", generation.crash_stack())


async def _ask(worker: Worker, check: Check, generation: Generation) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        told = worker.tell("serve", (theirs.fileno(),), listener="private")
    try:
        if not told:
            raise StepFailed("check", f"cannot check worker {worker.number} of generation {generation.number}: it is gone")
        await checking.ask(ours, check)
    except checking.CheckFailed as error:
        raise StepFailed("check", str(error)) from error
    finally:
        ours.close()


async def _switch(operation: Operation, old: Generation | None, new: Generation) -> None:
    """The change of the guard: first the new one accepts, then the old one stops and hands its connections over."""
    await new.resume()
    if old is not None and old.state is GenerationState.SERVING:
        try:
            await old.pause(new)
        except StepFailed as error:
            # A stuck worker of the old generation is a reason to get rid of it, not to keep it.
            operation.note(f"{error.reason}; connections it holds stay with generation {old.number}")
    for loss in new.roster.losses(new.revision):
        raise StepFailed("switch", f"cannot trust generation {new.number}: {loss}", new.crash_stack())


async def _undo(service: Service, old: Generation | None, new: Generation | None, target: Target | None) -> None:
    """Back to where the upgrade began, whatever step it had reached."""
    if new is not None and new is service.active:
        return  # committed
    if new is not None and new.state is GenerationState.SERVING and old is not None and old.state is not GenerationState.GONE:
        with suppress(StepFailed):
            if old.state is GenerationState.STANDBY:
                await old.resume()
            await new.pause(old)
        new.exchange.relay_to(service.serving_exchange)
        service.retire(new)  # it may hold requests: let it answer them
    elif new is not None:
        await _end(new)
    if target is not None:
        target.listeners.abandon()


async def _end(generation: Generation) -> None:
    generation.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(_UNDO_S):
            await generation.ended.wait()
