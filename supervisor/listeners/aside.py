"""Listeners put aside: nobody shall connect, and they may be wanted again.

Closing would not do: a generation that stands by holds them too, and clients would wait in its queue for ever.
"""

from __future__ import annotations

import contextlib
import os
import socket

from releve.instance import paths
from releve.supervisor.listeners.listener import ADVICE, Listener, refusal
from releve.supervisor.listeners.unix import free_name, refuse_live


def put_aside(listener: Listener) -> None:
    """Refuse new clients on a listener. Never raises.

    At a port it stops listening but stays bound, at a path its file is renamed; an inherited one is left to whoever
    passed it on.
    """
    with contextlib.suppress(OSError):
        if listener.inherited or listener.aside is not None:
            return
        if listener.inode is None:
            # Once only: on a socket that does not listen it would stick, and shut what is accepted later.
            if listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listener.socket.shutdown(socket.SHUT_RD)
        else:
            with paths.parent(listener.address.path) as (folder, name):
                if folder.holds(name, listener.inode):
                    aside = free_name(folder, name)
                    folder.rename(name, aside)
                    listener.aside = os.path.join(os.path.dirname(listener.address.path), aside)


def bring_back(listener: Listener, backlog: int) -> None:
    """Accept clients again on a listener that was put aside. Raises ListenError if its place was taken meanwhile."""
    if listener.inherited:
        return
    try:
        if listener.aside is not None:
            refuse_live(listener.address)
            with paths.parent(listener.address.path) as (folder, name):
                folder.rename(os.path.basename(listener.aside), name)
            listener.aside = None
        listener.socket.listen(backlog)
    except OSError as error:
        raise refusal(listener.address, error, ADVICE.get(error.errno or 0, "ctl upgrade binds it again")) from error
