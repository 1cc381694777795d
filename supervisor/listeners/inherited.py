"""Sockets that whoever started us has passed on (sd_listen_fds_with_names(3)), and the addresses ``fd:NAME``."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable, Mapping

from releve.config.settings.address import Address
from releve.supervisor.listeners import stored
from releve.supervisor.listeners.listener import Listener, ListenError

FIRST_INHERITED_FD = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)


def inherited_sockets(environ: Mapping[str, str], pid: int) -> dict[str, socket.socket]:
    """The sockets that were passed on, by name.

    The second socket of a name is called ``NAME:2``, and so on. Empty when the
    variables are addressed to another process. Raises ListenError for nonsense.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return {}
    count = environ.get("LISTEN_FDS", "")
    if not count.isdigit():
        raise ListenError(
            f"cannot take over sockets: LISTEN_FDS is {count!r}, not a number; start the service by its socket unit"
        )
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, socket.socket] = {}
    for index in range(int(count)):
        fd = FIRST_INHERITED_FD + index
        name = names[index] if index < len(names) and names[index] else "unknown"
        try:
            os.set_inheritable(fd, False)
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
        except OSError as error:
            raise ListenError(
                f"cannot take over sockets: descriptor {fd} ({name}) is not open; start the service by its socket unit"
            ) from error
        number = 1 + sum(1 for other in found if other.partition(":")[0] == name)
        found[name if number == 1 else f"{name}:{number}"] = socket.socket(fileno=fd)
    return found


def expand(wanted: Iterable[Address], inherited: Mapping[str, socket.socket]) -> list[Address]:
    """``fd:NAME`` stands for all inherited sockets of that name (a socket unit may have several)."""
    addresses: list[Address] = []
    for address in wanted:
        addresses.append(address)
        if address.kind == "fd" and ":" not in address.name:
            addresses += [Address("fd", name=name) for name in inherited if name.startswith(address.name + ":")]
    return addresses


def unclaimed(wanted: Iterable[Address], inherited: Mapping[str, socket.socket]) -> list[str]:
    """Names of inherited sockets that no address uses: their clients would wait for ever."""
    claimed = {address.name for address in expand(wanted, inherited) if address.kind == "fd"}
    return [name for name in inherited if name not in claimed and not stored.is_ours(name)]


def open_inherited(address: Address, inherited: Mapping[str, socket.socket]) -> Listener:
    """A duplicate of an inherited socket, so that an address that is dropped can come back later."""
    given = inherited.get(address.name)
    if given is None:
        names = ", ".join(name for name in inherited if not stored.is_ours(name)) or "none"
        raise ListenError(
            f"cannot listen on {address}: no such socket was passed (passed: {names}); "
            "start the service by a socket unit with FileDescriptorName=, or change listen"
        )
    stream = given.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
    if not stream or not given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ListenError(
            f"cannot listen on {address}: it is not a listening stream socket; use ListenStream= and "
            "Accept=no in its unit"
        )
    sock = given.dup()
    sock.setblocking(False)
    return Listener(str(address), address, sock, inherited=True, inode=None)
