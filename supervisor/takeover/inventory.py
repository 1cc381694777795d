"""The inventory: what a master hands over at its door, taken over whole or not at all.

What of it is believed, ``verification.py`` says.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import stat
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.server.shared import closing, form
from releve.server.shared.form import Unfit
from releve.server.shared.link import Link, LinkError, Message, clip
from releve.supervisor.channels import reports
from releve.supervisor.channels.door import Door
from releve.supervisor.channels.master import Reached
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.handed_over import HandedOver
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import evidence, system
from releve.supervisor.host.identity import Identity
from releve.supervisor.host.readable import readable
from releve.supervisor.keepsake.keepsake import Keepsake, KeepsakeError
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.takeover import verification
from releve.supervisor.takeover.verification import AdoptionError, Caller

FINISH_S = 2.0  # for workers that end with their master; new clients wait meanwhile
CALL_S = 5.0  # how long a master may take to hand over
REVISION_MAX = 2**31
# posture of a master -> state of its generation; any other one stands by
_STATES = {
    "attending": GenerationState.ATTENDING,
    "resuming": GenerationState.SERVING,
    "resumed": GenerationState.SERVING,
}
_FIXED = 5  # descriptors after the listeners: exchange receive end, send end, scoreboard, crash file, keepsake


class Refused(AdoptionError):
    """It lives, and must not be taken over. ``kept``: what is recorded of it, if anything is."""

    def __init__(self, reason: str, caller: Caller, kept: Keepsake | None) -> None:
        super().__init__(reason)
        self.caller = caller
        self.kept = kept


@dataclass(frozen=True, slots=True)
class Adopted:
    """One generation that was taken over."""

    generation: Generation
    kept: Keepsake


def knock(path: Path) -> Link:
    """Connect to a door.

    Raises BlockingIOError if whoever is behind it does not look after it, OSError if nobody is behind it any more.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        link = Link(sock)
        link.discard = closing.close
        link.vouch()  # before anything is sent to us
        sock.connect(str(path))  # at once or not at all: unix(7)
    except OSError:
        sock.close()
        raise
    return link


@dataclass(frozen=True, slots=True)
class _Given:
    """What a master has handed over, believed. Its descriptors are owned."""

    said: Message  # inventory
    kept: Keepsake
    listeners: list[Listener]
    receive: int  # of its exchange
    send: int
    board: int
    crash: int
    pidfd: int


async def take(number: int, path: Path, link: Link, configured: Identity | None) -> Adopted:
    """Take over what the master behind a door has. Raises AdoptionError and others; then nothing of it is held.

    Raises TimeoutError if it does not say anything.
    """
    async with asyncio.timeout(CALL_S):
        hello, caller = await _greeted(link)
    given = await _given(number, path, link, caller, configured)
    kept, said = given.kept, given.said
    found = HandedOver(
        master=Reached(caller.pid, given.pidfd, link),
        hello=kept.hello if kept.held is not None else hello,
        revision=_revision(said.get("revision", kept.revision), kept),
        state=_STATES.get(said["posture"], GenerationState.STANDBY),
        diverts="diverting" in said,
        preloaded=said.get("preloaded", False),
        receive=_seqpacket(given.receive),
        send=_seqpacket(given.send),
        board=given.board,
        crash=given.crash,
        door=Door(path, None),
    )
    if kept.coming is not None and found.revision > kept.revision:  # the reload was switched, and nobody has noted it
        kept = dataclasses.replace(kept, scaled=None, settings=kept.coming)
    generation = Generation(number, kept.pin, kept.settings, given.listeners, found)
    generation.started = kept.started
    generation.roster.losses.take_over(_past(said.get("crashed", ())), _past(said.get("unbooted", ())))
    await _count(generation)
    return Adopted(generation, kept)


async def _given(number: int, path: Path, link: Link, caller: Caller, configured: Identity | None) -> _Given:
    """What the caller hands over. Raises as ``take``; Refused where it may do less than we, and is not believed."""
    fds: list[int] = []
    kept: Keepsake | None = None
    try:
        kept = verification.recorded(path)
        async with asyncio.timeout(CALL_S):
            said, fds = await _next(link, "inventory", caller)
        names = said["listeners"]
        if said["generation"] != number or len(fds) != len(names) + _FIXED:
            raise AdoptionError(f"it reports generation {said['generation']} with {counted(len(fds), 'descriptor')}")
        receive, send, board, crash, kept_fd = fds[len(names) :]
        kept = verification.believed(kept, caller, kept_fd)
        if kept.held is not None:
            verification.verify(caller, kept, kept.held, (receive, send, board, crash))
        if not stat.S_ISREG(os.fstat(crash).st_mode):
            raise AdoptionError("its crash file is not a regular file")
        known = [verification.known(name, fd, kept) for name, fd in zip(names, fds, strict=False)]
        kept = verification.with_identity(kept, configured)
        pidfd = verification.open_master(caller, kept.held)
    except BaseException as error:
        closing.close(fds)
        doubtful = isinstance(error, AdoptionError | KeepsakeError | LinkError | OSError)
        if doubtful and not isinstance(error, TimeoutError) and caller.is_lesser:
            raise Refused(str(error), caller, kept) from error
        raise
    closing.close([kept_fd])  # whatever it is: where there is a record, nobody has looked at it
    listeners = [_listener(one, fd) for one, fd in zip(known, fds, strict=False)]
    return _Given(said, kept, listeners, receive, send, board, crash, pidfd)


async def _count(generation: Generation) -> None:
    """Until its master has told of all its workers. One that does not is ended: another generation follows it."""
    try:
        await generation.counted(CALL_S)
    # it has died; or it hangs, or says that it has failed
    except (TimeoutError, StepFailed) as error:
        if not generation.orphaned:
            why = error.reason if isinstance(error, StepFailed) else f"it stopped answering for {CALL_S:g} s"
            log.error("cannot take over all workers of its master: %s; killing the master", why, extra=generation.tag)
            if not generation.workers:
                await _let_finish(generation)
            await generation.orders.end_master()


async def _let_finish(generation: Generation) -> None:
    """Give the workers of which a master has told nothing time for what they have begun: they end with it, and nobody
    commands them.
    """
    found = list(evidence.members(generation.pid, generation.pid, generation.pin.identity.uid))
    workers = [pidfd for pidfd in found if evidence.pid_of(pidfd) != generation.pid]
    try:
        for pidfd in workers:
            system.send_signal(pidfd, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                for pidfd in workers:
                    await readable(pidfd)
    finally:
        for pidfd in found:
            os.close(pidfd)


def _past(times: Iterable[float]) -> list[float]:
    """Moments of CLOCK_MONOTONIC in their order, none of them still to come."""
    now = time.monotonic()
    return sorted(min(now, one) for one in times)


def _revision(said: int, kept: Keepsake) -> int:
    """The one that its workers run with: as recorded, or one of a reload since."""
    return said if kept.revision <= said < REVISION_MAX else kept.revision


def _listener(recorded: Listener, fd: int) -> Listener:
    """The listener again. Takes the descriptor."""
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return dataclasses.replace(recorded, socket=sock)


def _seqpacket(fd: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd)
    sock.setblocking(False)
    return sock


async def _greeted(link: Link) -> tuple[Message, Caller]:
    """``hello``, and who has said it. Raises AdoptionError, LinkError, OSError."""
    while True:
        try:
            _, ancillary, _, _ = link.socket.recvmsg(1, socket.CMSG_SPACE(12), socket.MSG_PEEK | socket.MSG_DONTWAIT)
            break
        except BlockingIOError:
            await readable(link.fileno())
    told = [data for level, kind, data in ancillary if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS]
    hello, fds = await _next(link, "hello")
    closing.close(fds)
    if not told:
        raise AdoptionError("the kernel does not tell its process")
    pid, uid, _ = struct.unpack("3i", told[0])
    return hello, Caller(pid, uid)


async def _next(link: Link, kind: str, caller: Caller | None = None) -> tuple[Message, list[int]]:
    """The next message, which must be of that kind, and of the same caller as the one before.

    Raises AdoptionError, LinkError.
    """
    while True:
        try:
            received = link.receive()
        except BlockingIOError:
            await readable(link.fileno())
            continue
        if received is None:
            raise AdoptionError(f"it sent no {kind}")
        message, fds = received
        try:
            if caller is not None and link.sender != caller.pid:
                raise AdoptionError(f"process {link.sender} continued the message of process {caller.pid}")
            said = form.read(reports.DOOR, message, fds)
            if said is None or said["type"] != kind:
                raise AdoptionError(f"it sent {clip(repr(message.get('type')), 40)} instead of {kind}")
        except (AdoptionError, Unfit) as error:
            closing.close(fds)
            raise AdoptionError(str(error)) from error
        return said, fds
