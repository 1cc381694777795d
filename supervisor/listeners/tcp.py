"""Listeners at a host and a port."""

from __future__ import annotations

import errno
import socket

from releve.config.settings.address import Address
from releve.supervisor.listeners.listener import ADVICE, Listener, ListenError, refusal

_ADVICE_PORT = (
    "ports below 1024 need root, AmbientCapabilities=CAP_NET_BIND_SERVICE or a socket unit (fd:NAME); or "
    "choose a higher port"
)


def open_tcp(address: Address, backlog: int) -> Listener:
    """Bind and listen, on IPv6 alone where the host is one of it. Raises ListenError; then nothing stays open."""
    family, where = _resolve(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        advice = (
            _ADVICE_PORT
            if error.errno in (errno.EACCES, errno.EPERM)
            else ADVICE.get(error.errno or 0, "change listen")
        )
        raise refusal(address, error, advice) from error
    return Listener(str(address), address, sock, inherited=False, inode=None)


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Family and numeric address. A host with both gets IPv4: one address is one socket."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ListenError(
            f"cannot listen on {address}: {reason.lower()}; write a numeric address, as in 127.0.0.1:8000 or [::]:80"
        ) from error
    choice = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return choice[0], choice[4]  # type: ignore[return-value]  # an IPv6 one has four parts
