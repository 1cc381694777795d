"""The places of generations that were taken over: which one serves, which is on trial, which stands by."""

from __future__ import annotations

import dataclasses
import os
import time
from contextlib import suppress

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.config.settings import diff
from releve.supervisor.generation.crash import Crash
from releve.supervisor.keepsake.keepsake import Role
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.release import release
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.reporting.log import log, own
from releve.supervisor.service.service import Service
from releve.supervisor.takeover.inventory import Adopted


@dataclass(frozen=True, slots=True)
class Places:
    """Who has which place; whoever has none leaves."""

    active: Adopted  # committed
    standby: Adopted | None
    trial: Adopted | None  # switched to, and not committed

    @property
    def serving(self) -> Adopted:
        """The one that clients are served by."""
        return self.active if self.trial is None else self.trial


def places(adopted: list[Adopted]) -> Places:
    """The places of generations, at least one, by their recorded roles, the newest first."""
    by_age = sorted(adopted, key=lambda one: -one.generation.number)
    serving = next((one for role in (Role.TRIAL, Role.ACTIVE) for one in by_age if one.kept.role is role), None)
    actives = [one for one in by_age if one.kept.role is Role.ACTIVE]
    if (
        actives
        and serving is not None
        and serving.kept.role is Role.TRIAL
        and actives[0].generation.number > serving.generation.number
    ):
        serving = actives[0]  # it was committed, and the older one's word is out of date
    if serving is None:
        serving = next((one for one in by_age if one.kept.role is Role.STANDBY), by_age[0])
    trial = serving if serving.kept.role is Role.TRIAL and any(one is not serving for one in actives) else None
    active = next(one for one in actives if one is not serving) if trial is not None else serving
    waits = [one for one in by_age if one not in (active, trial) and one.kept.role in (Role.STANDBY, Role.ACTIVE)]
    return Places(active, waits[0] if waits and trial is None else None, trial)


def give(service: Service, adopted: list[Adopted]) -> None:
    """Have a service hold generations, at least one, each in its place."""
    _share_listeners(adopted)
    found = places(adopted)
    active, standby, trial = found.active, found.standby, found.trial
    service.scaled = active.kept.scaled
    service.restore(
        active.generation,
        None if standby is None else standby.generation,
        None if trial is None else trial.generation,
        list(active.generation.listeners),
        max(max(one.kept.last_number, one.generation.number) for one in adopted),
        found.serving.kept.drained_ns,
    )
    if standby is not None:
        default_s = active.generation.settings.upgrade.standby or 0.0
        until = standby.kept.standby_until
        rest_s = default_s if until is None else max(0.0, until - time.monotonic())
        service.restore_standby(standby.generation, rest_s, service.listeners.beyond(standby.generation.listeners))
    for listener in service.listeners.in_service:
        if listener.inherited:
            service.listeners.inherited.setdefault(listener.address.name, listener.socket.dup())
    _tell_of_changes(service, active)
    own.change(service.settings.log)
    for one in adopted:
        for picture in service.history.crashes(one.generation.number):
            with suppress(ValueError, KeyError, TypeError):
                one.generation.crashes.recent.append(Crash.pictured(picture))
        log.info(
            "adopted generation %d (%s)",
            one.generation.number,
            counted(len(one.generation.workers), "worker"),
            extra=one.generation.tag,
        )


def _tell_of_changes(service: Service, active: Adopted) -> None:
    """Say what is configured otherwise than what runs; of a trial, whose settings come with its commit, nothing."""
    written, runs = service.configured, service.settings
    changed = diff.changed(runs, dataclasses.replace(written, workers=runs.workers))
    with suppress(ReleaseError):  # an upgrade says so
        if "env_file" not in changed and release.changed_variables(active.generation.pin, runs):
            changed.append("the variables of env_file")
    if changed:
        log.warning("the configuration differs from what runs (%s): ctl upgrade applies it", ", ".join(changed))


def _share_listeners(adopted: list[Adopted]) -> None:
    """One object for each listener: generations bring duplicates of the same sockets."""
    known: dict[tuple[str, int], Listener] = {}
    for one in adopted:
        shared = []
        for listener in one.generation.listeners:
            key = (listener.name, os.fstat(listener.socket.fileno()).st_ino)
            mine = known.setdefault(key, listener)
            if mine is not listener:
                listener.socket.close()
            shared.append(mine)
        one.generation.listeners = shared
