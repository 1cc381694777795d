"""The target of an upgrade: what it is to run, with which settings, on which listeners; and the ways to choose it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from releve.config.frozen import dataclass
from releve.config.settings import diff
from releve.config.settings.address import Address
from releve.config.settings.settings import Settings
from releve.instance.instances import InstanceError
from releve.supervisor.generation.generation import Generation
from releve.supervisor.host import identity
from releve.supervisor.listeners.listener import ListenError
from releve.supervisor.listeners.plan import Plan
from releve.supervisor.operations import coldstart
from releve.supervisor.release import release
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.release.release import Pin, release_of
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.configuration import Configuration
from releve.supervisor.service.service import Service


@dataclass(frozen=True, slots=True)
class Target:
    """What to upgrade to."""

    pin: Pin
    settings: Settings
    listeners: Plan
    late: Late | None = None


@dataclass(frozen=True, slots=True)
class Late:
    """What the configuration says otherwise by now, and only another supervisor applies."""

    settings: Settings  # as configured
    keys: tuple[str, ...]

    def notes(self) -> Iterator[str]:
        """What is said of it to the user who changed it; also if the next start would fail of it, and with it clients
        be refused.
        """
        for key in self.keys:
            told = f"{key} changed: it takes effect when the supervisor restarts"
            try:
                if key == "control_group" and self.settings.control_group is not None:
                    identity.lent_group(self.settings.control_group)
            except InstanceError as error:
                told += f", and that start would fail: {error}"
            yield told


_AGAIN_S = 0.05  # what nobody listens on refuses clients meanwhile
# what the first start waits for, by what is missing; the last is no errno
_LATE = {
    errno.EADDRINUSE: "the other process to close it",
    errno.EADDRNOTAVAIL: "the address to appear",  # DHCP, a VPN, keepalived, IPv6's duplicate address detection
    socket.EAI_AGAIN: "its name to resolve",
}
_HELD = "waiting for the workers of the previous generation to close it"

Choose = Callable[[], Awaitable[Target]]


def from_configuration(service: Service, configuration: Configuration, *, patient: bool = True) -> Choose:
    """Choose what the configuration says now.

    ``patient``: addresses that are not free yet are waited for, where there is reason to (``_plan_patiently``).
    """

    async def choose() -> Target:
        configured = settings = configuration.read().settings
        late = None
        if service.active is not None:
            settings = diff.apply_upgrade(service.active.settings, configured)
            late = late_in(service.active.settings, configured)
        try:
            pin = await release.pin(settings, service.base_environment, configuration.bounds)
        except ReleaseError as error:
            raise StepFailed(error.step, str(error)) from error
        if patient:
            return Target(pin, settings, await _plan_patiently(service, settings), late)
        return Target(pin, settings, plan(service, settings.listen, settings), late)

    return choose


def late_in(serving: Settings, configured: Settings) -> Late:
    """What has changed since a start, and waits for the next one."""
    return Late(configured, tuple(diff.needs_restart(diff.changed(serving, configured))))


def plan(service: Service, addresses: Sequence[Address], settings: Settings) -> Plan:
    """The listeners on some addresses. Raises StepFailed."""
    try:
        return service.listeners.plan(addresses, settings.limits.backlog)
    except ListenError as error:
        raise StepFailed("listen", str(error)) from error


async def _plan_patiently(service: Service, settings: Settings) -> Plan:
    """The listeners, after some patience: at the first start by ``timeouts.bind``, and where a dead generation's
    workers may hold one.

    Raises StepFailed.
    """
    first = service.active is None and not service.listeners.in_service
    until = time.monotonic() + (settings.timeouts.bind or 0.0) if first else 0.0
    told = ""
    while True:
        try:
            return plan(service, settings.listen, settings)
        except StepFailed as error:
            cause = error.__cause__ and error.__cause__.__cause__
            number = (cause.errno if isinstance(cause, OSError) else None) or 0
            late = time.monotonic() < until and number in _LATE
            held = time.monotonic() < service.listeners.patient_until and number == errno.EADDRINUSE
            if not late and not held:
                raise
            if told != (told := error.reason):
                log.warning(
                    "%s; %s",
                    error.reason,
                    f"waiting {settings.timeouts.bind:g} s for {_LATE[number]} (timeouts.bind)" if late else _HELD,
                )
            await asyncio.sleep(_AGAIN_S)


def from_generation(service: Service, generation: Generation) -> Choose:
    """Choose the very pin of a generation that lost its master, with the settings that it had last."""

    async def choose() -> Target:
        listeners = plan(service, [one.address for one in service.listeners.in_service], generation.settings)
        return Target(generation.pin, generation.settings, listeners)

    return choose


def from_history(service: Service) -> Choose:
    """Choose the release that served before the present one, with today's settings: its directory and its
    interpreter.
    """

    async def choose() -> Target:
        assert service.active is not None
        before = coldstart.previous(service.history.entries(), release_of(service.active.pin))
        if before.release is None:
            raise StepFailed(
                "standby", f"cannot roll back: no generation is on standby (see upgrade.standby), and {before.reason}"
            )
        return await from_configuration(service, _changed(service, before.release))()

    return choose


def from_cold(service: Service, operation: Operation) -> Choose:
    """Choose what the configuration says now, unless the history says that exactly this went wrong."""

    async def choose() -> Target:
        target = await from_configuration(service, service.configuration)()
        decision = coldstart.choose(service.history.entries(), release_of(target.pin), _exists)
        if decision.reason:
            operation.note(decision.reason)
        if decision.release is None:
            return target
        service.passed_over = decision.reason
        target.listeners.abandon()
        return await from_configuration(service, _changed(service, decision.release))()

    return choose


def _changed(service: Service, release: coldstart.Release) -> Configuration:
    return service.configuration.changed(directory=str(release["directory"]), python=str(release["python"]))


def _exists(release: coldstart.Release) -> bool:
    return os.path.isdir(str(release["directory"])) and os.access(str(release["python"]), os.X_OK)
