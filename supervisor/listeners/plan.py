"""A plan: what changes from the listeners that are held to the addresses that a configuration wants.

New ones are bound before the switch, dropped ones are closed after the commit.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from releve.config import kernel
from releve.config.frozen import dataclass
from releve.config.settings.address import Address
from releve.instance import paths
from releve.server.shared.link import has_ended
from releve.supervisor.listeners.inherited import expand
from releve.supervisor.listeners.listener import Listener, ListenError, close_listener
from releve.supervisor.listeners.opening import open_listener
from releve.supervisor.listeners.unix import apply_mode


def plan_listeners(
    held: Sequence[Listener], wanted: Sequence[Address], backlog: int, inherited: Mapping[str, socket.socket]
) -> Plan:
    """Open what is wanted and not held; what is held stays untouched.

    A held Unix listener whose file was removed or replaced, or that a process which shares it has shut down for ever,
    counts as not held: it is bound anew. Raises ListenError if any address cannot be opened; what this call had opened
    is then closed.
    """
    addresses = expand(wanted, inherited)
    if len(addresses) > kernel.LISTENERS_MAX:
        raise ListenError(
            f"cannot listen on {len(addresses)} sockets: the kernel passes at most {kernel.LISTENERS_MAX} at once; use "
            "fewer"
        )
    usable = {listener.name: listener for listener in held if _reachable(listener)}
    keep: list[Listener] = []
    added: list[Listener] = []
    every: list[Listener] = []
    try:
        for address in addresses:
            listener = usable.get(str(address))
            if listener is None:
                listener = open_listener(address, backlog, inherited)
                added.append(listener)
            else:
                keep.append(listener)
            every.append(listener)
    except ListenError:
        for listener in added:
            close_listener(listener)
        raise
    dropped = [listener for listener in held if listener not in keep]
    return Plan(keep, added, dropped, every, addresses, backlog)


def _reachable(listener: Listener) -> bool:
    """Whether clients come to it. A TCP listener that was shut down does again once it listens (`Plan.commit`)."""
    return listener.inode is None or (
        paths.inode(listener.address.path) == listener.inode and not has_ended(listener.socket)
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What changes from the listeners held to the addresses wanted. Nothing held is touched before ``commit``."""

    keep: list[Listener]
    added: list[Listener]
    dropped: list[Listener]
    all: list[Listener]  # kept and added, in the order wanted
    wanted: list[Address]  # of ``all``, in the same order
    backlog: int

    def abandon(self) -> None:
        """Close what was opened for this plan; the held listeners are as they were."""
        for listener in self.added:
            close_listener(listener)

    def commit(self) -> list[str]:
        """Give the kept listeners their new mode, owner and backlog; what could not be done, as texts.

        Closing the dropped ones is left to the caller: only after no generation accepts from them.
        """
        problems = []
        for listener, address in zip(self.all, self.wanted, strict=True):
            if listener in self.added or listener.inherited:
                continue
            try:
                listener.socket.listen(self.backlog)
                if address != listener.address:
                    apply_mode(listener, address)
            except (OSError, ListenError) as error:
                problems.append(str(error))
        return problems
