"""In the worker: a request that finds every thread out goes to a sibling, connection and all, by the generation's own
exchange.

A client that is kept by a worker whose calls all last would wait for one of them, while siblings have nothing to do. At
most once per request: whoever takes it in serves it, so no connection is passed round. The sibling takes it when it has
a thread; if none has, it waits for the first one anywhere, and not for this worker.
"""

from __future__ import annotations

from releve.server.handover import exchange
from releve.server.handover.handover import parcel_of
from releve.server.loop.connection import REST_MAX_BYTES, Connection
from releve.server.loop.connections import Connections


def share(connections: Connections, connection: Connection, data: bytes, send_end: int) -> bool:
    """Give a connection of the loop whose buffer, and ``data`` behind it, begin with a good request.

    Called where no thread is left for it. False: it is served here.

    What is no good request is refused by whoever reads it, which takes no thread.
    """
    if (
        connection.hops
        or connection.private
        or connection.polite
        or len(connection.buffer) + len(data) > REST_MAX_BYTES
    ):
        return False
    connection.buffer += data
    connections.unregister(connection)
    try:
        exchange.give(send_end, parcel_of(connection), connection.fd)
    except (OSError, exchange.ExchangeError):  # full, or broken: nothing is lost by staying
        del connection.buffer[len(connection.buffer) - len(data) :]
        connections.register(connection)
        return False
    connections.tally.add("given", 1)
    connections.close(connection)
    return True
