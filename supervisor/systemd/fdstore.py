"""The store: systemd keeps a duplicate of each listener (``FDSTORE=1`` of sd_notify(3)), so that a restart refuses
nobody.

A descriptor is stored under a name that says what it is: the address, and for a
Unix socket also its file (device and inode), since a path that was bound anew by
somebody else is another socket. After a restart it comes back among the inherited
sockets (sd_listen_fds(3)).
"""

from __future__ import annotations

from collections.abc import Iterable

from releve.supervisor.listeners.listener import Listener
from releve.supervisor.listeners.stored import is_ours, name_of
from releve.supervisor.systemd.notify import Notifier


class Store:
    """What systemd keeps of ours."""

    def __init__(self, notifier: Notifier, inherited: Iterable[str]) -> None:
        """``inherited``: the names of the sockets that came from systemd, kept ones among them."""
        self._notifier = notifier
        self._names = {name for name in inherited if is_ours(name)}

    def keep(self, listeners: Iterable[Listener]) -> None:
        """Have it keep exactly those that are not its own, so that its restart refuses nobody."""
        if not self._notifier.active:
            return
        wanted = {
            name: one for one in listeners if not one.inherited and (name := name_of(one.name, one.inode)) is not None
        }
        for name in self._names - set(wanted):
            self._notifier.forget(name)
        self._names = set(wanted)
        for name, listener in wanted.items():
            self._notifier.store(name, listener.socket.fileno())

    def drop(self) -> None:
        """Have it keep nothing any more."""
        for name in self._names:
            self._notifier.forget(name)
        self._names = set()

    @property
    def keeps_any(self) -> bool:
        """Whether it keeps something."""
        return bool(self._names)

    def keeps(self, listener: Listener) -> bool:
        """Whether it keeps this one: then its file stays too."""
        return name_of(listener.name, listener.inode) in self._names
