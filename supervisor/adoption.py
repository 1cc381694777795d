"""Adoption: a supervisor that starts where another one was killed takes over its generations.

Each master that has served goes on without a supervisor, and hands over what it has
to whoever comes to its door: listeners, exchange, scoreboard, the control pairs of its
workers, and the keepsake that says what the generation is to the service. What was
interrupted is settled: before the switch was complete it goes back, after it the new
generation is judged on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from releve.config import diff
from releve.config.settings import Address
from releve.server.link import ORPHAN_S, Link, LinkError, Message
from releve.supervisor import keepsake, paths, scale, switch, system
from releve.supervisor import listeners as listening
from releve.supervisor.door import Door, doors
from releve.supervisor.failure import StepFailed
from releve.supervisor.found import Found
from releve.supervisor.generation import Generation
from releve.supervisor.keepsake import Keepsake, KeepsakeError, Role
from releve.supervisor.listeners import Listener, Plan
from releve.supervisor.log import log
from releve.supervisor.master import Reached
from releve.supervisor.operation import Operation
from releve.supervisor.service import Service
from releve.supervisor.states import GenerationState
from releve.supervisor.target import Target
from releve.supervisor.upgrade import judge_on

CALL_S = 5.0  # how long a master may take to hand over
# posture of a master -> state of its generation; any other one stands by
_STATES = {"attending": GenerationState.ATTENDING, "resuming": GenerationState.SERVING, "resumed": GenerationState.SERVING}
_FIXED = 5  # descriptors after the listeners: exchange receive end, send end, scoreboard, crash file, keepsake


class AdoptionError(Exception):
    """What came to us at a door is no generation that can be taken over."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """One generation that was taken over."""

    generation: Generation
    kept: Keepsake


@dataclass(slots=True)
class Unheard:
    """Masters that did not answer and were ended: their generations, and pidfds of their workers, whom nobody commands. Owned."""

    numbers: list[int]
    workers: list[int]

    def dismiss(self) -> None:
        """Have the workers finish what they have, and leave: others serve, or are about to."""
        for worker in self.workers:
            system.send_signal(worker, signal.SIGTERM)
            os.close(worker)
        self.workers.clear()


_unheard = Unheard([], [])  # by this process, which adopts once


async def adopt(service: Service) -> list[Adopted]:
    """Take over every generation that can be found, oldest first, and give each its place in the service; empty if there is none."""
    assert service.runtime is not None
    before = list(doors(service.runtime))
    answers = await asyncio.gather(*(_call(number, path) for number, path in before))
    found = [one for one in answers if one is not None]
    if found:
        _place(service, found)
    elif before:  # their masters have died, but perhaps not their workers
        _unheard.dismiss()
        service.patient_until = time.monotonic() + ORPHAN_S + service.loaded.settings.timeouts.drain
    return found


async def _call(number: int, path: Path) -> Adopted | None:
    """Take over the generation behind a door; None if there is none, or none that can be taken over.

    A master that does not answer is woken first, in case it was only stopped. If that does not
    help it is ended, since two supervisors' generations must not serve beside each other.
    """
    for urge in (signal.SIGCONT, signal.SIGKILL):
        try:
            link = _knock(path)
        except OSError:
            with suppress(OSError):
                paths.remove(path)
            return None
        try:
            return await _take(number, path, link)
        except TimeoutError:
            link.close()
            if not _urge(number, path, urge):
                return None
        except (AdoptionError, KeepsakeError, LinkError, StepFailed, OSError) as error:
            log.error("cannot adopt generation %d: %s; it is left alone", number, error)
            link.close()
            return None
    return None


def _urge(number: int, path: Path, urge: signal.Signals) -> bool:
    """Signal the master behind a door; False if it cannot be found out who that is."""
    pid = system.holder_of(str(path))
    if pid is None:
        log.error("cannot adopt generation %d: it does not answer for %g s, and is not to be found; it is left alone", number, CALL_S)
        return False
    with suppress(OSError):
        master = system.open_pidfd(pid)
        try:
            if system.holder_of(str(path)) == pid:
                log.error("the master of generation %d (pid %d) does not answer for %g s: %s", number, pid, CALL_S, urge.name)
                if urge is signal.SIGKILL:
                    _unheard.workers += system.open_children(pid)
                system.send_signal(master, urge)
                if urge is signal.SIGKILL:
                    _unheard.numbers.append(number)
                    paths.remove(path)
        finally:
            os.close(master)
    return True


async def settle(service: Service, operation: Operation, adopted: list[Adopted]) -> str:
    """Bring every generation into the posture of its place; go on with an upgrade that was switched. Raises StepFailed."""
    active, serving = service.active, service.serving
    assert active is not None and serving is not None
    try:
        with operation.step("settle"):
            if serving.state is not GenerationState.SERVING:
                serving.exchange.end_relay()
                await serving.resume()
            await switch.end_diversion(serving)
            for one in adopted:
                generation = one.generation
                if generation not in (active, service.standby, serving):
                    operation.note(f"generation {generation.number} was not switched to yet: back to generation {active.number}")
                    service.close_after(generation, [listener for listener in generation.listeners if listener not in service.listeners])
                    await switch.leave(service, active, generation)
            for paused in (service.standby, active if service.on_trial else None):
                if paused is not None and paused.state is GenerationState.SERVING:
                    await paused.pause(serving)
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
        plan = Plan(
            keep=[one for one in serving.listeners if one in service.listeners],
            added=[one for one in serving.listeners if one not in service.listeners],
            dropped=[one for one in service.listeners if one not in serving.listeners],
            all=serving.listeners,
            wanted=[one.address for one in serving.listeners],
            backlog=serving.settings.limits.backlog,
        )
        target = Target(dataclasses.replace(service.loaded, settings=serving.settings), serving.pin, plan)
        await judge_on(service, operation, active, serving, target)
        return f"adopted; generation {serving.number} was on trial and is committed"
    workers = sum(len(one.generation.workers) for one in adopted)
    return f"adopted {len(adopted)} generations with {workers} workers; generation {active.number} serves {active.pin.resolved}"


def _knock(path: Path) -> Link:
    """Connect to a door. Raises OSError: nobody is behind it any more."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        raise
    return Link(sock)


async def _take(number: int, path: Path, link: Link) -> Adopted:
    """Take over what the master behind a door has. Raises AdoptionError and others; then nothing of it is held."""
    async with asyncio.timeout(CALL_S):
        hello, _ = await _next(link, "hello")
        inventory, fds = await _next(link, "inventory")
    try:
        names = [str(name) for name in inventory.get("listeners", [])]
        if inventory.get("generation") != number or len(fds) != len(names) + _FIXED:
            raise AdoptionError(f"it says that it is generation {inventory.get('generation')}, with {len(fds)} descriptors")
        receive, send, board, crash, kept_fd = fds[len(names) :]
        kept = keepsake.read(kept_fd)
        listeners = [_listener(name, fd, kept) for name, fd in zip(names, fds, strict=False)]
        pid = int(hello["pid"])
        pidfd = system.open_pidfd(pid)
    except BaseException:
        for fd in fds:
            with suppress(OSError):
                os.close(fd)
        raise
    os.close(kept_fd)
    found = Found(
        master=Reached(pid, pidfd, link),
        hello=hello,
        revision=int(inventory.get("revision", kept.revision)),
        state=_STATES.get(str(inventory.get("posture")), GenerationState.STANDBY),
        diverts=inventory.get("diverting") is not None,
        preloaded=bool(inventory.get("preloaded")),
        receive=_seqpacket(receive),
        send=_seqpacket(send),
        board=board,
        crash=crash,
        door=Door(path, None),
    )
    if kept.coming is not None and found.revision > kept.revision:  # the reload was switched, and nobody has noted it
        kept = dataclasses.replace(kept, scaled=None, pin=dataclasses.replace(kept.pin, settings=kept.coming))
    generation = Generation(number, kept.pin, listeners, found)
    generation.started = kept.started
    try:
        await generation.counted(CALL_S)
    except TimeoutError:
        await generation.end_master()
    except StepFailed:
        if not generation.orphaned:
            raise
    return Adopted(generation, kept)


def _remove_files(adopted: list[Adopted]) -> None:
    """Those of Unix sockets that an operation had opened, or was to close, and that nobody has any more."""
    held = {listener.inode for one in adopted for listener in one.generation.listeners}
    for one in adopted:
        for listener in one.kept.listeners:
            if listener.inode is not None and listener.inode not in held:
                listening.remove_file(listener)


def _tell_of_the_ended(service: Service, operation: Operation, adopted: list[Adopted]) -> None:
    """Masters that had to be ended: if one of them led what was in service, an older release serves now."""
    for number in _unheard.numbers:
        operation.note(f"the master of generation {number} did not answer and was ended; its workers finish what they have")
        roles = [one.kept.role for one in adopted if one.generation is service.serving]
        if roles not in ([Role.ACTIVE], [Role.TRIAL]) and service.serving is not None:
            service.degraded["adopt"] = f"the master of generation {number} hung and was ended: generation {service.serving.number} serves"
    _unheard.numbers.clear()


async def _next(link: Link, kind: str) -> tuple[Message, list[int]]:
    """The next message, which must be of that kind. Raises AdoptionError, LinkError."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            received = link.receive()
        except BlockingIOError:
            readable = asyncio.Event()
            loop.add_reader(link.fileno(), readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(link.fileno())
            continue
        if received is None or received[0].get("type") != kind:
            raise AdoptionError(f"it said {'nothing' if received is None else received[0].get('type')} instead of {kind}")
        return received


def _listener(name: str, fd: int, kept: Keepsake) -> Listener:
    """A listener that was handed over, verified. Raises AdoptionError, OSError."""
    record = next((one for one in kept.listeners if one.name == name), None)
    sock = socket.socket(fileno=os.dup(fd))
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or kept.role is Role.STANDBY  # which may have it set aside
    if record is None or not listens or not _is(sock, record.address):
        sock.close()
        raise AdoptionError(f"what it has for {name} is not that listener")
    os.close(fd)
    sock.setblocking(False)
    return dataclasses.replace(record, socket=sock)


def _is(sock: socket.socket, address: Address) -> bool:
    """Whether a socket can be the listener of an address, as far as the kernel tells."""
    if address.kind == "unix":
        return sock.family == socket.AF_UNIX
    if address.kind == "tcp":
        return sock.family in (socket.AF_INET, socket.AF_INET6) and address.port in (0, sock.getsockname()[1])
    return True


def _seqpacket(fd: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd)
    sock.setblocking(False)
    return sock


def _place(service: Service, adopted: list[Adopted]) -> None:
    """Which one is in service, on trial, standing by: by their roles, the newest first; whatever is left over leaves."""
    _share_listeners(adopted)
    by_age = sorted(adopted, key=lambda one: -one.generation.number)
    serving = next((one for role in (Role.TRIAL, Role.ACTIVE) for one in by_age if one.kept.role is role), None)
    actives = [one for one in by_age if one.kept.role is Role.ACTIVE]
    if actives and serving is not None and serving.kept.role is Role.TRIAL and actives[0].generation.number > serving.generation.number:
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
    )
    if standby is not None:
        default_s = active.generation.settings.upgrade.standby or 0.0
        until = standby.kept.standby_until
        rest_s = default_s if until is None else max(0.0, until - time.monotonic())
        aside = [one for one in standby.generation.listeners if one not in service.listeners]
        service.restore_standby(standby.generation, rest_s, aside)
    for listener in service.listeners:
        if listener.inherited:
            service.inherited.setdefault(listener.address.name, listener.socket.dup())
    written, runs = service.loaded.settings, active.generation.settings  # those of a trial come with its commit
    changed = diff.changed(runs, dataclasses.replace(written, workers=runs.workers))
    if changed:
        log.warning("what is configured now differs from what runs (%s): ctl upgrade applies it", ", ".join(changed))
    service.loaded = dataclasses.replace(service.loaded, settings=runs)
    service.follow_log()
    for one in adopted:
        log.info("adopted generation %d (%d workers)", one.generation.number, len(one.generation.workers), extra=one.generation.tag)


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
