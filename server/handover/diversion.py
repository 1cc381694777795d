"""In the worker: the diversion of a canary: a share of the new connections goes to the exchange of another generation.

Which ones is counted and not left to chance: whoever is woken first would decide else. Each worker counts for itself,
and those of a generation begin at different places, so that even a few connections are spread as they should be.
"""

from __future__ import annotations

import logging

from releve.server.handover import exchange
from releve.server.handover.handover import parcel_of
from releve.server.loop.connection import Connection
from releve.server.loop.connections import Connections
from releve.server.shared.native import os

PARTS = 10_000  # of the whole: shares are counted in hundredths of a percent, so that no error adds up
_GOLDEN = 0.6180339887498949  # its multiples, modulo 1, divide the circle evenly, however many there are

log = logging.getLogger("releve.worker")


class Portion:
    """Says of one after the other whether it belongs to a share.

    Of the first n, those that do are never off by a whole one.
    """

    def __init__(self, share: float, number: int) -> None:
        """``share``: between 0 and 1, both excluded.

        ``number`` (of the worker) says where to begin. Raises ValueError.
        """
        self._part = round(share * PARTS)
        if not 0 < self._part < PARTS:
            raise ValueError(f"a share of {share} cannot be counted")
        self._sum = int(number * _GOLDEN % 1.0 * PARTS)

    def next(self) -> bool:
        """Whether the next one belongs to it."""
        self._sum += self._part
        if self._sum < PARTS:
            return False
        self._sum -= PARTS
        return True


class Diversion:
    """Passes on the share. Owns the send end of the exchange."""

    def __init__(self, connections: Connections, send_end: int, portion: Portion) -> None:
        self._connections = connections
        self._send_end = send_end
        self._portion = portion
        self._complained = False

    def take(self, connection: Connection) -> bool:
        """Pass on a connection that has just come in by a listener, if it is its turn. False: it is served here.

        It is also served here when the exchange is full or broken: nobody waits for a canary. That is counted, and not
        made up for.
        """
        if not self._portion.next():
            return False
        try:
            exchange.give(self._send_end, parcel_of(connection), connection.fd)
        except (OSError, exchange.ExchangeError) as error:
            self._connections.tally.add("undiverted", 1)
            if not self._complained:
                self._complained = True
                log.warning(
                    "cannot pass a new connection to the canary: %s; this worker serves it (logged once)",
                    error,
                )
            return False
        self._connections.tally.add("given", 1)
        self._connections.tally.add("diverted", 1)
        self._connections.close(connection)
        return True

    def close(self) -> None:
        """Let go of the exchange; also in a child that the application forked."""
        os.close(self._send_end)
