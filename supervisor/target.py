"""The target of an upgrade: what it is to run, with which settings, on which listeners; and the ways to choose it."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from releve.config import diff
from releve.config.load import Loaded
from releve.config.settings import Settings
from releve.supervisor import listeners as listening
from releve.supervisor import release
from releve.supervisor.configuration import Configuration
from releve.supervisor.failure import StepFailed
from releve.supervisor.generation import Generation
from releve.supervisor.listeners import ListenError, Plan
from releve.supervisor.log import log
from releve.supervisor.release import Pin, ReleaseError
from releve.supervisor.service import Service


@dataclass(frozen=True, slots=True)
class Target:
    """What to upgrade to."""

    loaded: Loaded
    pin: Pin
    listeners: Plan


_AGAIN_S = 1.0

Choose = Callable[[], Awaitable[Target]]


def from_configuration(service: Service, configuration: Configuration) -> Choose:
    """Choose what the configuration says now."""

    async def choose() -> Target:
        loaded = configuration.read()
        settings = loaded.settings if service.active is None else diff.apply_upgrade(service.loaded.settings, loaded.settings)
        try:
            pin = await release.pin(settings, service.base_environment)
            plan = await _plan(service, settings)
        except ReleaseError as error:
            raise StepFailed(error.step, str(error)) from error
        except ListenError as error:
            raise StepFailed("listen", str(error)) from error
        return Target(replace(loaded, settings=settings), pin, plan)

    return choose


async def _plan(service: Service, settings: Settings) -> Plan:
    """The listeners, after some patience where the workers of a dead generation may still hold an address. Raises ListenError."""
    while True:
        try:
            return listening.plan(service.listeners, settings.listen, settings.limits.backlog, service.inherited)
        except ListenError as error:
            cause = error.__cause__
            taken = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
            if not taken or time.monotonic() >= service.patient_until:
                raise
            log.warning("%s; the workers of the generation before may hold it for a while: waiting for them to leave", error)
            await asyncio.sleep(_AGAIN_S)


def from_generation(service: Service, generation: Generation) -> Choose:
    """Choose the very pin of a generation that lost its master."""

    async def choose() -> Target:
        addresses = [one.address for one in service.listeners]
        plan = listening.plan(service.listeners, addresses, generation.settings.limits.backlog, service.inherited)
        return Target(service.loaded, generation.pin, plan)

    return choose


def from_history(service: Service) -> Choose:
    """Choose the release that served before the present one, with today's settings: its directory and its interpreter."""

    async def choose() -> Target:
        raise StepFailed(
            "standby",
            "cannot roll back: no generation stands by (the old one has retired, see upgrade.standby); "
            "point the release back and ctl upgrade",
        )

    return choose
