"""The inventory: what a master hands over at its door, and what of it is believed.

A master runs the application's code, which may have been broken into. If it may do as much as we, there is nothing to
gain by a lie, and its keepsake says what it is. If it may do less, only descriptors are taken from it, each of which
must be the one that the supervisor before us has recorded (``record.py``, ``mark.py``), and the process that hands them
over must be the one that it had started. Everything else is in the record: whatever such a master says about itself
changes nothing but its own generation's state.
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
from releve.config.settings.address import Address
from releve.instance import holders
from releve.server.shared import closing, form
from releve.server.shared.form import Unfit
from releve.server.shared.link import Link, LinkError, Message, clip
from releve.supervisor.channels import reports
from releve.supervisor.channels.door import Door
from releve.supervisor.channels.master import Reached
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.handed_over import HandedOver
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import capabilities, evidence, proc, system
from releve.supervisor.host.identity import Identity
from releve.supervisor.host.mark import mark
from releve.supervisor.host.readable import readable
from releve.supervisor.keepsake import keepsake, record
from releve.supervisor.keepsake.keepsake import Held, Keepsake, KeepsakeError, Role
from releve.supervisor.keepsake.record import RecordError
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log

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


class AdoptionError(Exception):
    """What came to us at a door is no generation that can be taken over."""


class Refused(AdoptionError):
    """It lives, and must not be taken over. ``kept``: what is recorded of it, if anything is."""

    def __init__(self, reason: str, caller: Caller, kept: Keepsake | None) -> None:
        super().__init__(reason)
        self.caller = caller
        self.kept = kept


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has answered at a door, by the kernel's word (SCM_CREDENTIALS of unix(7))."""

    pid: int
    uid: int

    @property
    def is_lesser(self) -> bool:
        """Whether it may do less than we."""
        return capabilities.exceeds(Identity(user=self.uid))


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


async def take(number: int, path: Path, link: Link, configured: Identity | None) -> Adopted:
    """Take over what the master behind a door has. Raises AdoptionError and others; then nothing of it is held.

    Raises TimeoutError if it does not say anything.
    """
    async with asyncio.timeout(CALL_S):
        hello, caller = await _greeted(link)
    fds: list[int] = []
    kept: Keepsake | None = None
    try:
        kept = recorded(path)
        async with asyncio.timeout(CALL_S):
            inventory, fds = await _next(link, "inventory", caller)
        names = inventory["listeners"]
        if inventory["generation"] != number or len(fds) != len(names) + _FIXED:
            raise AdoptionError(f"it says that it is generation {inventory['generation']}, with {len(fds)} descriptors")
        receive, send, board, crash, kept_fd = fds[len(names) :]
        kept = _believed(kept, caller, kept_fd)
        if kept.held is not None:
            _verify(caller, kept, kept.held, (receive, send, board, crash))
        if not stat.S_ISREG(os.fstat(crash).st_mode):
            raise AdoptionError("its crash file is not a regular file")
        known = [_known(name, fd, kept) for name, fd in zip(names, fds, strict=False)]
        kept = _with_identity(kept, configured)
        pidfd = _open(caller, kept.held)
    except BaseException as error:
        closing.close(fds)
        doubtful = isinstance(error, AdoptionError | KeepsakeError | LinkError | OSError)
        if doubtful and not isinstance(error, TimeoutError) and caller.is_lesser:
            raise Refused(str(error), caller, kept) from error
        raise
    closing.close([kept_fd])  # whatever it is: where there is a record, nobody has looked at it
    listeners = [_listener(one, fd) for one, fd in zip(known, fds, strict=False)]
    found = HandedOver(
        master=Reached(caller.pid, pidfd, link),
        hello=kept.hello if kept.held is not None else hello,
        revision=_revision(inventory.get("revision", kept.revision), kept),
        state=_STATES.get(inventory["posture"], GenerationState.STANDBY),
        diverts="diverting" in inventory,
        preloaded=inventory.get("preloaded", False),
        receive=_seqpacket(receive),
        send=_seqpacket(send),
        board=board,
        crash=crash,
        door=Door(path, None),
    )
    if kept.coming is not None and found.revision > kept.revision:  # the reload was switched, and nobody has noted it
        kept = dataclasses.replace(kept, scaled=None, settings=kept.coming)
    generation = Generation(number, kept.pin, kept.settings, listeners, found)
    generation.started = kept.started
    generation.roster.toll.take_over(*(_past(inventory.get(name, ())) for name in ("crashed", "unbooted")))
    try:
        await generation.counted(CALL_S)
    # it has died; or it hangs, or says that it has failed, and another one follows it
    except (TimeoutError, StepFailed) as error:
        if not generation.orphaned:
            why = error.reason if isinstance(error, StepFailed) else f"it says no more for {CALL_S:g} s"
            log.error("cannot take over all workers of its master: %s; killing it", why, extra=generation.tag)
            if not generation.workers:
                await _let_finish(generation)
            await generation.orders.end_master()
    return Adopted(generation, kept)


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


def master_behind(path: Path, configured: Identity | None) -> tuple[int, int] | None:
    """Pid and pidfd (owned by the caller) of the master that holds a door, where it is certain enough to signal it."""
    with suppress(AdoptionError, KeepsakeError, OSError):
        kept = recorded(path)
        if kept is not None and kept.held is not None:
            return kept.held.pid, _open(Caller(kept.held.pid, -1), kept.held)
        pid = holders.listening(str(path), of_anybody=True)
        if pid is not None:
            pidfd = system.open_pidfd(pid)
            process = evidence.process(pidfd)
            # Its listening socket may have been given to anybody: only one that we would run ourselves is its master.
            uids = {os.geteuid()} if configured is None else {os.geteuid(), configured.uid}
            if (
                process is not None
                and any(process.runs_as(uid) for uid in uids)
                and holders.listening(str(path), of_anybody=True) == pid
            ):
                return pid, pidfd
            os.close(pidfd)
    return None


def workers_of(pid: int) -> list[int]:
    """Pidfds of the children of a master that run as its user, owned by the caller."""
    master, found = evidence.look(pid), []
    for child in proc.open_children(pid):
        process = evidence.process(child)
        if master is not None and process is not None and set(process.uids) <= set(master.uids):
            found.append(child)
        else:
            os.close(child)
    return found


def recorded(path: Path) -> Keepsake | None:
    """What the supervisor before us has written down. Raises AdoptionError, KeepsakeError."""
    try:
        written = record.read(record.beside(path))
    except RecordError as error:
        raise AdoptionError(str(error)) from error
    return None if written is None else keepsake.understand(written)


def _believed(kept: Keepsake | None, caller: Caller, fd: int) -> Keepsake:
    """What we go by, given what is recorded. Raises AdoptionError, KeepsakeError."""
    if kept is not None:
        if kept.held is None:
            raise AdoptionError("its record does not say what it holds")
        return kept
    if caller.is_lesser:
        raise AdoptionError(
            f"there is no record of it, and processes of {system.user_name(caller.uid)} are not trusted without one"
        )
    return keepsake.read(fd)


def _verify(caller: Caller, kept: Keepsake, held: Held, given: tuple[int, int, int, int]) -> None:
    """It is the master that was started, and has what it was given. Raises AdoptionError, OSError."""
    if caller.pid != held.pid:
        who = f"process {caller.pid} of {system.user_name(caller.uid)}"
        raise AdoptionError(f"{who} answers at its door instead of its master (pid {held.pid})")
    user = kept.pin.identity.uid
    if caller.uid != user:
        raise AdoptionError(
            f"its master runs as {system.user_name(caller.uid)}, but was started as {system.user_name(user)}"
        )
    marks = (held.receive, held.send, held.board, held.crash)
    for name, fd, expected in zip(("exchange", "exchange", "scoreboard", "crash file"), given, marks, strict=True):
        if mark(fd) != expected:
            raise AdoptionError(f"its {name} is not the one that it was given")


def _open(caller: Caller, held: Held | None) -> int:
    """A pidfd of the master, which is that very process. Raises AdoptionError, OSError."""
    pidfd = system.open_pidfd(caller.pid)
    process = evidence.process(pidfd)
    if process is None or (held is not None and (process.pid, process.started) != (held.pid, held.born)):
        os.close(pidfd)
        raise AdoptionError(f"process {caller.pid} is not the master that was started")
    return pidfd


def _with_identity(kept: Keepsake, configured: Identity | None) -> Keepsake:
    """Whom it runs as is for the configuration to say. Raises AdoptionError."""
    if configured is None or not capabilities.exceeds(kept.pin.identity):
        return kept
    runs = kept.pin.identity
    if (runs.uid, runs.gid) != (configured.uid, configured.gid):
        raise AdoptionError(
            f"it runs as {_words(runs)} (user and group), but the configuration says {_words(configured)}"
        )
    identity = dataclasses.replace(configured, umask=runs.umask)
    return dataclasses.replace(kept, pin=dataclasses.replace(kept.pin, identity=identity))


def _words(identity: Identity) -> str:
    return f"{system.user_name(identity.uid)}:{system.group_name(identity.gid)}"


def _revision(said: int, kept: Keepsake) -> int:
    """The one that its workers run with: as recorded, or one of a reload since."""
    return said if kept.revision <= said < REVISION_MAX else kept.revision


def _known(name: str, fd: int, kept: Keepsake) -> Listener:
    """What is recorded of a listener that was handed over, verified. Raises AdoptionError, OSError."""
    known = kept.listeners
    if kept.held is not None:  # several may have the same name, one of them bound anew
        given = mark(fd)
        known = tuple(one for one, its in zip(kept.listeners, kept.held.sockets, strict=True) if its == given)
    recorded = next((one for one in known if one.name == name), None)
    if recorded is None or not _is(fd, recorded.address, may_be_aside=kept.role is Role.STANDBY):
        raise AdoptionError(f"its descriptor for {name} is not that listener")
    return recorded


def _listener(recorded: Listener, fd: int) -> Listener:
    """The listener again. Takes the descriptor."""
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return dataclasses.replace(recorded, socket=sock)


def _is(fd: int, address: Address, *, may_be_aside: bool) -> bool:
    """Whether a descriptor can be the listener of an address, as far as the kernel tells.

    Raises OSError for what is no socket.
    """
    sock = socket.socket(fileno=fd)
    try:
        return (may_be_aside or bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))) and _is_of(
            sock, address
        )
    finally:
        sock.detach()


def _is_of(sock: socket.socket, address: Address) -> bool:
    if address.kind == "unix":
        return sock.family == socket.AF_UNIX
    if address.kind == "tcp":
        return sock.family in (socket.AF_INET, socket.AF_INET6) and address.port in (0, sock.getsockname()[1])
    return True


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
        raise AdoptionError("the kernel does not say who it is")
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
            raise AdoptionError(f"it sent nothing instead of {kind}")
        message, fds = received
        try:
            if caller is not None and link.sender != caller.pid:
                raise AdoptionError(f"process {link.sender} continued what process {caller.pid} began")
            said = form.read(reports.DOOR, message, fds)
            if said is None or said["type"] != kind:
                raise AdoptionError(f"it sent {clip(repr(message.get('type')), 40)} instead of {kind}")
        except (AdoptionError, Unfit) as error:
            closing.close(fds)
            raise AdoptionError(str(error)) from error
        return said, fds
