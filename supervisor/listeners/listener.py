"""A listener: a socket that the service is reached on, opened once and kept over all generations.

Generations share the open file description of each (no ``SO_REUSEPORT``, no ``shutdown``), so nothing that waits in an
accept queue is lost between them. How one is opened is in ``opening.py``; what a change of addresses does to those that
are held, in ``plan.py``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from releve.config.frozen import dataclass
from releve.config.settings.address import Address
from releve.instance import paths

# What the user can change, by what the kernel says of an address.
ADVICE = {
    errno.EADDRINUSE: "another process listens there (ss -ltnp shows it): stop it, or change listen",
    errno.EADDRNOTAVAIL: "this host has no such address: change listen",
    errno.EAFNOSUPPORT: "this host has no IPv6: change listen",
}


class ListenError(Exception):
    """An address cannot be listened on; whatever was opened on the way is closed again."""


@dataclass(slots=True, eq=False)
class Listener:
    """One listening socket: non-blocking, close-on-exec. ``name`` is its address as written.

    Compared by identity: an address that was dropped and bound anew is another listener.
    """

    name: str
    address: Address
    socket: socket.socket
    inherited: bool  # from systemd: its path and backlog are not ours
    inode: tuple[int, int] | None  # device and inode of the Unix socket file that we bound
    aside: str | None = None  # where that file is while nobody shall connect


def reached_at(listener: Listener) -> str:
    """Where clients reach it: ``http://127.0.0.1:8000``, ``unix:/run/shop.sock``; the port that the kernel chose for 0.

    For an inherited socket, with the name that it was passed on by: it may be of any family. Never raises.
    """
    if listener.address.kind == "unix":
        return str(listener.address)  # the kernel has the name that it was bound by, beside that path
    try:
        where = listener.socket.getsockname()
    except OSError:
        return listener.name
    match listener.socket.family, where:
        case (socket.AF_INET | socket.AF_INET6, (host, port, *_)):
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        case socket.AF_UNIX, str() | bytes():  # bytes, with a zero in front: an abstract address (unix(7))
            url = f"unix:{os.fsdecode(where).replace(chr(0), '@')}"
        case family, _:  # (2, 8000) of AF_VSOCK: what has no URL
            url = f"{getattr(family, 'name', family)} {where}"
    return f"{url} ({listener.name})" if listener.address.kind == "fd" else url


def close_listener(listener: Listener, *, unlink: bool = True) -> None:
    """Close our descriptor, and remove the Unix socket file if it is still the one we bound. Never raises."""
    if unlink:
        remove_file(listener)
    listener.socket.close()


def remove_file(listener: Listener) -> None:
    """Remove the file of a Unix socket if it is still the one that was bound. Never raises."""
    if listener.inode is not None:
        with contextlib.suppress(OSError), paths.parent(listener.aside or listener.address.path) as (folder, name):
            if folder.holds(name, listener.inode):
                folder.remove(name)


def refusal(address: Address, error: OSError, advice: str) -> ListenError:
    """That an address cannot be listened on, for the kernel's reason, and what the user can change."""
    return ListenError(f"cannot listen on {address}: {(error.strerror or str(error)).lower()}; {advice}")
