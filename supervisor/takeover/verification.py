"""What of a master is believed that somebody else started: by what is recorded of it, and by what the kernel says.

A master runs the application's code, which may have been broken into. If it may do as much as we, there is nothing to
gain by a lie, and its keepsake says what it is. If it may do less, only descriptors are taken from it, each of which
must be the one that the supervisor before us has recorded (``record.py``, ``mark.py``), and the process that hands them
over must be the one that it had started. Everything else is in the record: whatever such a master says about itself
changes nothing but its own generation's state.
"""

from __future__ import annotations

import dataclasses
import os
import socket
from pathlib import Path

from releve.config.frozen import dataclass
from releve.config.settings.address import Address
from releve.supervisor.host import capabilities, evidence, system
from releve.supervisor.host.identity import Identity
from releve.supervisor.host.mark import mark
from releve.supervisor.keepsake import keepsake, record
from releve.supervisor.keepsake.keepsake import Held, Keepsake, Role
from releve.supervisor.keepsake.record import RecordError
from releve.supervisor.listeners.listener import Listener


class AdoptionError(Exception):
    """What came to us at a door is no generation that can be taken over."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has answered at a door, by the kernel's word (SCM_CREDENTIALS of unix(7))."""

    pid: int
    uid: int

    @property
    def is_lesser(self) -> bool:
        """Whether it may do less than we."""
        return capabilities.exceeds(Identity(user=self.uid))


def recorded(path: Path) -> Keepsake | None:
    """What the supervisor before us has written down. Raises AdoptionError, KeepsakeError."""
    try:
        written = record.read(record.beside(path))
    except RecordError as error:
        raise AdoptionError(str(error)) from error
    return None if written is None else keepsake.understand(written)


def believed(kept: Keepsake | None, caller: Caller, fd: int) -> Keepsake:
    """What we go by, given what is recorded. Raises AdoptionError, KeepsakeError."""
    if kept is not None:
        if kept.held is None:
            raise AdoptionError("its record does not list what it holds")
        return kept
    if caller.is_lesser:
        raise AdoptionError(f"it has no record, and processes of {system.user_name(caller.uid)} need one to be trusted")
    return keepsake.read(fd)


def verify(caller: Caller, kept: Keepsake, held: Held, given: tuple[int, int, int, int]) -> None:
    """It is the master that was started, and has what it was given. Raises AdoptionError, OSError."""
    if caller.pid != held.pid:
        who = f"process {caller.pid} of {system.user_name(caller.uid)}"
        raise AdoptionError(f"{who} answers for its master (pid {held.pid})")
    user = kept.pin.identity.uid
    if caller.uid != user:
        raise AdoptionError(
            f"its master runs as {system.user_name(caller.uid)}, but was started as {system.user_name(user)}"
        )
    marks = (held.receive, held.send, held.board, held.crash)
    for name, fd, expected in zip(("exchange", "exchange", "scoreboard", "crash file"), given, marks, strict=True):
        if mark(fd) != expected:
            raise AdoptionError(f"its {name} is not the one it was given")


def open_master(caller: Caller, held: Held | None) -> int:
    """A pidfd of the master, which is that very process. Raises AdoptionError, OSError."""
    pidfd = system.open_pidfd(caller.pid)
    process = evidence.process(pidfd)
    if process is None or (held is not None and (process.pid, process.started) != (held.pid, held.born)):
        os.close(pidfd)
        raise AdoptionError(f"process {caller.pid} is not the master that the supervisor started")
    return pidfd


def with_identity(kept: Keepsake, configured: Identity | None) -> Keepsake:
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


def known(name: str, fd: int, kept: Keepsake) -> Listener:
    """What is recorded of a listener that was handed over, verified. Raises AdoptionError, OSError."""
    among = kept.listeners
    if kept.held is not None:  # several may have the same name, one of them bound anew
        given = mark(fd)
        among = tuple(one for one, its in zip(kept.listeners, kept.held.sockets, strict=True) if its == given)
    found = next((one for one in among if one.name == name), None)
    if found is None or not _is(fd, found.address, may_be_aside=kept.role is Role.STANDBY):
        raise AdoptionError(f"its descriptor for {name} is not that listener")
    return found


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
