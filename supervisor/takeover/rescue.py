"""The rescue: listeners of a generation that is not taken over, found where the kernel shows them, so that no client is
refused.

Its master may have died, or lie; some process of it has them open all the same. They are taken out of it without its
consent, by the marks that the supervisor before us has recorded, and stay what they were for everybody else. Needs the
right to trace such a process (ptrace(2)), which root has; without it nothing is found, and the addresses are taken
until the generation has left.
"""

from __future__ import annotations

import dataclasses
import os
import socket
from contextlib import suppress

from releve.supervisor.host import evidence, system
from releve.supervisor.host.mark import Mark, mark
from releve.supervisor.keepsake.keepsake import Keepsake
from releve.supervisor.listeners.listener import Listener


def processes(kept: Keepsake) -> list[int]:
    """Pidfds of the living processes of a recorded generation, owned by the caller: its user's, in its master's
    session.
    """
    return [] if kept.held is None else list(evidence.members(kept.held.pid, kept.held.pid, kept.pin.identity.uid))


def listeners(kept: Keepsake, among: list[int]) -> tuple[Listener, ...]:
    """Its listeners that listen, as far as one of these processes (pidfds) has them open.

    Owned by the caller; never raises.
    """
    if kept.held is None:
        return ()
    missing = {
        its: one
        for one, its in zip(kept.listeners, kept.held.sockets, strict=False)
        if its is not None and one.aside is None
    }
    found: list[Listener] = []
    for pidfd in among:
        with suppress(OSError):
            found += _taken(pidfd, missing)
        if not missing:
            break
    return tuple(found)


def _taken(pidfd: int, missing: dict[Mark, Listener]) -> list[Listener]:
    """Those that one process has, which are then missing no more. Raises OSError if it cannot be looked at."""
    found = []
    names = {f"socket:[{inode}]" for _, inode, *_ in missing}
    folder = f"/proc/{evidence.pid_of(pidfd)}/fd"
    for number in os.listdir(folder):
        with suppress(OSError):
            if os.readlink(f"{folder}/{number}") not in names:
                continue
            fd = system.take_descriptor(pidfd, int(number))
            one = missing.pop(mark(fd), None)
            sock = socket.socket(fileno=fd)
            if one is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sock.setblocking(False)
                found.append(dataclasses.replace(one, socket=sock))
            else:
                sock.close()
    return found
