"""Adoption: a supervisor that starts where another one was killed takes over its generations.

Each master that has served goes on without a supervisor, and hands over what it has
to whoever comes to its door (``inventory.py``). What was interrupted is settled: before
the switch was complete it goes back, after it the new generation is judged on. What
cannot be believed is not taken over, but sent away (``refusal.py``).
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from releve.config.frozen import dataclass
from releve.config.settings import diff
from releve.instance import holders, paths
from releve.server.shared import closing
from releve.server.shared.link import ORPHAN_S, LinkError
from releve.server.shared.runtime import SOCKET_NAME
from releve.supervisor.channels.door import doors
from releve.supervisor.generation.crash import Crash
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import system
from releve.supervisor.host.identity import Identity
from releve.supervisor.keepsake import record
from releve.supervisor.keepsake.keepsake import Keepsake, KeepsakeError, Role
from releve.supervisor.listeners.listener import Listener, remove_file
from releve.supervisor.operations import scale
from releve.supervisor.operations.target import Target
from releve.supervisor.operations.upgrade import judge_on
from releve.supervisor.release import release
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.release.release import release_of
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log, own
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service
from releve.supervisor.switch import switch
from releve.supervisor.takeover import inventory, refusal
from releve.supervisor.takeover.inventory import CALL_S, Adopted, AdoptionError, Refused


@dataclass(slots=True)
class Unheard:
    """Masters that did not answer and were ended: their generations, and pidfds of their workers, whom nobody commands.

    Owned.
    """

    numbers: list[int]
    workers: list[int]

    def dismiss(self) -> None:
        """Have the workers finish what they have, and leave: others serve, or are about to."""
        for worker in self.workers:
            system.send_signal(worker, signal.SIGTERM)
            os.close(worker)
        self.workers.clear()


_unheard = Unheard([], [])  # by this process, which adopts once


async def adopt(service: Service, configured: Identity | None = None) -> list[Adopted]:
    """Take over every generation that can be found, oldest first, and give each its place in the service; empty if
    there is none.

    ``configured``: whom releases shall run as; None if that is not known.
    """
    runtime = service.folders.runtime
    before = list(doors(runtime))
    bereaved: list[tuple[Path, Keepsake]] = []
    answers = await asyncio.gather(*(_call(service, number, path, configured, bereaved) for number, path in before))
    found = [one for one in answers if one is not None]
    for number, _ in before:
        service.number_after(number)
    if found:
        _place(service, found)
    elif before:  # their masters have died, but perhaps not their workers; or they are on their way out
        for path, kept in bereaved:
            if kept.role is not Role.CANDIDATE:
                refusal.bereave(service, path, kept)
        _unheard.dismiss()
        service.listeners.patient_until = time.monotonic() + ORPHAN_S + service.settings.timeouts.drain
    living = {one.generation.number for one in found} | {number for number, path in before if path in refusal.refused()}
    record.sweep(runtime, living)
    return found


async def _call(
    service: Service, number: int, path: Path, configured: Identity | None, bereaved: list[tuple[Path, Keepsake]]
) -> Adopted | None:
    """Take over the generation behind a door; None if there is none, or none that can be taken over.

    One whose master has died and of which there is a record is added to the ``bereaved``.

    A master that does not answer is woken first, in case it was only stopped. If that does not
    help it is ended, since two supervisors' generations must not serve beside each other.
    """
    for urge in (signal.SIGCONT, signal.SIGKILL):
        try:
            link = inventory.knock(path)
        except BlockingIOError:
            if not _urge(number, path, urge, configured):
                break
            continue
        except OSError:
            with suppress(OSError):
                paths.remove(path)
            break
        try:
            return await inventory.take(number, path, link, configured)
        except TimeoutError:
            closing.close_socket(link.socket)
            if not _urge(number, path, urge, configured):
                break
        except Refused as error:
            refusal.send_away(service, path, link, error)
            return None
        except (AdoptionError, KeepsakeError, LinkError, OSError) as error:
            log.error("cannot adopt generation %d: %s; it is left alone", number, error)
            closing.close_socket(link.socket)
            return None
    with suppress(AdoptionError, KeepsakeError):
        if (kept := inventory.recorded(path)) is not None:
            bereaved.append((path, kept))
    return None


def _urge(number: int, path: Path, urge: signal.Signals, configured: Identity | None) -> bool:
    """Signal the master behind a door; False if it cannot be found out who that is, if it is not one of ours, or has a
    supervisor.
    """
    other = holders.listening(str(path.parent / SOCKET_NAME))
    if other is not None:  # a master takes no other one while its own lives
        log.error(
            "cannot adopt generation %d: its supervisor (pid %d) is still running; leaving it alone", number, other
        )
        return False
    found = inventory.master_behind(path, configured)
    if found is None:
        log.error(
            "cannot adopt generation %d: it does not answer for %g s, and is not to be found; it is left alone",
            number,
            CALL_S,
        )
        return False
    pid, master = found
    try:
        log.error("the master of generation %d (pid %d) does not answer for %g s: %s", number, pid, CALL_S, urge.name)
        if urge is signal.SIGKILL:
            _unheard.workers += inventory.workers_of(pid)
        system.send_signal(master, urge)
        if urge is signal.SIGKILL:
            _unheard.numbers.append(number)
            with suppress(OSError):
                paths.remove(path)
    finally:
        os.close(master)
    return True


async def settle(service: Service, operation: Operation, adopted: list[Adopted]) -> str:
    """Bring every generation into the posture of its place; go on with an upgrade that was switched.

    Raises StepFailed.
    """
    active, serving = service.active, service.serving
    assert active is not None and serving is not None
    try:
        with operation.step("settle"):
            if serving.state is not GenerationState.SERVING:
                serving.exchange.end_relay()
                await serving.orders.resume()
            await switch.end_diversion(serving)
            for one in adopted:
                generation = one.generation
                if generation not in (active, service.standby, serving):
                    operation.note(
                        f"generation {generation.number} was not switched to yet: back to generation {active.number}"
                    )
                    service.listeners.close_after(generation, service.listeners.beyond(generation.listeners))
                    await switch.leave(service, active, generation)
            for paused in (service.standby, active if service.on_trial else None):
                if paused is not None and paused.state is GenerationState.SERVING:
                    try:
                        await paused.orders.pause(serving)
                    except StepFailed as error:  # one that is stuck holds nobody else up
                        operation.note(f"{error.reason}; connections it holds stay with generation {paused.number}")
            if service.standby is not None and service.standby.orphaned:
                service.retire_standby()
            _remove_files(adopted)
            _unheard.dismiss()
            _tell_of_the_ended(service, operation, adopted)
            service.tell_roles()
            # What was under way when the other supervisor was killed may have left it with more workers, or fewer.
            await scale.restore(serving, service.scaled or serving.settings.workers)
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
        return f"adopted; generation {serving.number} was on trial and is committed"
    workers = sum(len(one.generation.workers) for one in adopted)
    return (
        f"adopted {len(adopted)} generations with {workers} workers; generation {active.number} serves "
        f"{active.pin.resolved}"
    )


def _remove_files(adopted: list[Adopted]) -> None:
    """Those of Unix sockets that an operation had opened, or was to close, and that nobody has any more."""
    held = {listener.inode for one in adopted for listener in one.generation.listeners}
    for one in adopted:
        for listener in one.kept.listeners:
            if listener.inode is not None and listener.inode not in held:
                remove_file(listener)


def _tell_of_the_ended(service: Service, operation: Operation, adopted: list[Adopted]) -> None:
    """Masters that had to be ended: if one of them led what was in service, an older release serves now."""
    for number in _unheard.numbers:
        operation.note(
            f"the master of generation {number} did not answer and was ended; its workers finish what they have"
        )
        roles = [one.kept.role for one in adopted if one.generation is service.serving]
        if roles not in ([Role.ACTIVE], [Role.TRIAL]) and service.serving is not None:
            service.condition.degraded["adopt"] = (
                f"the master of generation {number} hung and was ended: generation {service.serving.number} serves"
            )
    _unheard.numbers.clear()
    serves = next((one for one in adopted if one.generation is service.serving), None)
    if serves is not None and serves.kept.role is Role.STANDBY and "adopt" not in service.condition.degraded:
        which = (
            f"generation {serves.generation.number} ({serves.generation.pin.resolved}), which was on "
            "standby, is serving"
        )
        service.condition.degraded["adopt"] = (
            f"{which}: the one in service had lost its master when the supervisor was killed; see ctl history"
        )


def _place(service: Service, adopted: list[Adopted]) -> None:
    """Which one is in service, on trial, standing by: by their roles, the newest first; whatever is left over
    leaves.
    """
    _share_listeners(adopted)
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
    standby = waits[0] if waits and trial is None else None
    last = max(max(one.kept.last_number, one.generation.number) for one in adopted)
    service.scaled = active.kept.scaled
    service.restore(
        active.generation,
        None if standby is None else standby.generation,
        None if trial is None else trial.generation,
        list(active.generation.listeners),
        last,
        serving.kept.drained_ns,
    )
    if standby is not None:
        default_s = active.generation.settings.upgrade.standby or 0.0
        until = standby.kept.standby_until
        rest_s = default_s if until is None else max(0.0, until - time.monotonic())
        service.restore_standby(standby.generation, rest_s, service.listeners.beyond(standby.generation.listeners))
    for listener in service.listeners.in_service:
        if listener.inherited:
            service.listeners.inherited.setdefault(listener.address.name, listener.socket.dup())
    written, runs = service.configured, service.settings  # those of a trial come with its commit
    changed = diff.changed(runs, dataclasses.replace(written, workers=runs.workers))
    with suppress(ReleaseError):  # an upgrade says so
        if "env_file" not in changed and release.changed_variables(active.generation.pin, runs):
            changed.append("the variables of env_file")
    if changed:
        log.warning("what is configured now differs from what runs (%s): ctl upgrade applies it", ", ".join(changed))
    own.change(service.settings.log)
    for one in adopted:
        for picture in service.history.crashes(one.generation.number):
            with suppress(ValueError, KeyError, TypeError):
                one.generation.crashes.recent.append(Crash.pictured(picture))
        log.info(
            "adopted generation %d (%d workers)",
            one.generation.number,
            len(one.generation.workers),
            extra=one.generation.tag,
        )


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
