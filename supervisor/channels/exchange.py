"""The exchange of one generation, as the supervisor holds it: both ends, so that no connection in it is ever without an
owner.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from releve.server.shared import closing
from releve.supervisor.channels.relay import Held, Relay


class Exchange:
    """A ``SOCK_SEQPACKET`` pair through which connections come to a generation. Owns both ends.

    ``receive`` goes to the generation's own workers, ``send`` to whoever pauses
    in its favour (``docs/protocol.md``). Nobody ever shuts either down: that would
    shut it down for all.
    """

    def __init__(self, ends: tuple[socket.socket, socket.socket] | None = None) -> None:
        """``ends``: receive and send end of one that was made before us."""
        self.receive, self.send = ends or socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.receive.setblocking(False)
        self.send.setblocking(False)
        self.closed = False
        self.heir: Callable[[], Exchange | None] | None = None  # gets what is in it when its generation ends unasked
        self.relay: Relay | None = None

    def relay_to(self, successor: Callable[[], Exchange | None], held: Held | None = None) -> None:
        """Pass on what still comes in; ends with the last sender, or at ``end_relay``."""

        def target() -> socket.socket | None:
            exchange = successor()
            return None if exchange is None or exchange is self or exchange.closed else exchange.send

        if self.relay is None and not self.closed:
            self.relay = Relay(self.receive, target, held)

    def end_relay(self) -> None:
        """The generation is about to receive for itself again."""
        if self.relay is not None:
            self.relay.close()
            self.relay = None

    def close(self) -> None:
        """Let go of both ends; a relay, and with an heir there is one, lives on until the last sender has gone."""
        if self.heir is not None:
            self.relay_to(self.heir)
        self.closed = True
        closing.close_socket(self.receive)
        closing.close_socket(self.send)
