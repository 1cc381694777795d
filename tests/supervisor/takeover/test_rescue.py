"""Listeners that are taken out of a process that has them."""

from __future__ import annotations

import dataclasses
import os
import socket

from harness.keepsakes import HELD, kept
from releve.config.settings.address import Address
from releve.supervisor.host.mark import mark
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.takeover import rescue


def test_a_listener_is_found_in_a_process_that_has_it() -> None:
    """By its mark, and no other one."""
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server(("127.0.0.1", 0)) as theirs:
        address = Address("tcp", host="127.0.0.1", port=ours.getsockname()[1])
        listener = Listener(str(address), address, ours, inherited=False, inode=None)
        held = dataclasses.replace(HELD, sockets=(mark(ours.fileno()),))
        mine = os.pidfd_open(os.getpid())
        (found,) = rescue.listeners(kept(listeners=(listener,), held=held), [mine])
        assert found.socket.fileno() != ours.fileno() and mark(found.socket.fileno()) == mark(ours.fileno())
        found.socket.close()
        # another socket, whatever its number
        held = dataclasses.replace(HELD, sockets=((*mark(theirs.fileno())[:2], 1 << 60),))
        assert rescue.listeners(kept(listeners=(listener,), held=held), [mine]) == ()
        os.close(mine)
