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
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from releve.config import diff
from releve.config.settings import Address
from releve.server.link import ORPHAN_S, Link, LinkError, Message
from releve.supervisor import keepsake, switch, system
from releve.supervisor.door import Door, doors
from releve.supervisor.failure import StepFailed
from releve.supervisor.found import Found
from releve.supervisor.generation import Generation
from releve.supervisor.keepsake import Keepsake, KeepsakeError, Role
from releve.supervisor.listeners import Listener
from releve.supervisor.log import log
from releve.supervisor.master import Reached
from releve.supervisor.operation import Operation
from releve.supervisor.service import Service
from releve.supervisor.states import GenerationState
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


async def adopt(service: Service) -> list[Adopted]:
    """Take over every generation that can be found, oldest first, and give each its place in the service; empty if there is none."""
    assert service.runtime is not None
    found, stale = [], 0
    for number, path in doors(service.runtime):
        try:
            link = _knock(path)
        except OSError:
            with suppress(OSError):
                path.unlink()
            stale += 1
            continue
        try:
            found.append(await _take(number, path, link))
        except (AdoptionError, KeepsakeError, LinkError, StepFailed, TimeoutError, OSError) as error:
            log.error("cannot adopt generation %d: %s; it is left alone", number, error or "it does not answer")
            link.close()
    if found:
        _place(service, found)
    elif stale:  # their masters have died, but perhaps not their workers
        service.patient_until = time.monotonic() + ORPHAN_S + service.loaded.settings.timeouts.drain
    return found


async def settle(service: Service, operation: Operation, adopted: list[Adopted]) -> str:
    """Bring every generation into the posture of its place; go on with an upgrade that was switched. Raises StepFailed."""
    active, standby = service.active, service.standby
    assert active is not None
    serving = service.serving
    with operation.step("settle"):
        if serving is not None and serving.state is not GenerationState.SERVING:
            serving.exchange.end_relay()
            await serving.resume()
        if serving is not None:
            await switch.end_diversion(serving)
        for one in adopted:
            generation = one.generation
            if generation not in (active, standby, serving):
                operation.note(f"generation {generation.number} was not switched to yet: back to generation {active.number}")
                service.close_after(generation, [listener for listener in generation.listeners if listener not in service.listeners])
                await switch.leave(service, active, generation)
        for paused in (standby, active if service.on_trial else None):
            if paused is not None and paused.state is GenerationState.SERVING and serving is not None:
                await paused.pause(serving)
        service.tell_roles()
    if service.on_trial:
        new = service.candidate
        assert new is not None
        await judge_on(service, operation, active, new)
        return f"adopted; generation {new.number} was on trial and is committed"
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
    generation = Generation(number, kept.pin, listeners, found)
    generation.started = kept.started
    await generation.counted(CALL_S)
    return Adopted(generation, kept)


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
    if record is None or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or not _is(sock, record.address):
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
    service.scaled = serving.kept.scaled
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
    written, runs = service.loaded.settings, serving.generation.settings
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
