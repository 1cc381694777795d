"""Opening a listener, of whatever kind its address is."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from releve.config.settings.address import Address
from releve.instance import paths
from releve.supervisor.listeners import stored
from releve.supervisor.listeners.inherited import open_inherited
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.listeners.tcp import open_tcp
from releve.supervisor.listeners.unix import open_unix


def open_listener(address: Address, backlog: int, inherited: Mapping[str, socket.socket]) -> Listener:
    """Listen on an address. Raises ListenError with what the user can change; then nothing stays open."""
    if address.kind == "fd":
        return open_inherited(address, inherited)
    if (listener := _open_stored(address, inherited)) is not None:
        return listener
    return open_unix(address, backlog) if address.kind == "unix" else open_tcp(address, backlog)


def _open_stored(address: Address, inherited: Mapping[str, socket.socket]) -> Listener | None:
    """What systemd has kept for us over a restart, if it still is what clients of the address reach."""
    found = stored.find(str(address), inherited)
    if found is None or (address.kind == "unix" and found[1] != paths.inode(address.path)):
        return None
    if not found[0].getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return None
    sock = found[0].dup()
    sock.setblocking(False)
    return Listener(str(address), address, sock, inherited=False, inode=found[1])
