"""A request for which no thread is left goes to a sibling, with its connection; or stays as it was."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from releve.config.settings.timeouts import Timeouts
from releve.server.handover import exchange
from releve.server.handover.sharing import share
from releve.server.loop.connection import REST_MAX_BYTES, Connection, prepare
from releve.server.loop.connections import Connections
from releve.server.scoreboard import scoreboard

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def connections() -> Iterator[Connections]:
    board = scoreboard.make()
    with select.epoll() as epoll:
        yield Connections(epoll, Timeouts(), scoreboard.Scoreboard(board).tally(0))
    os.close(board)


@pytest.fixture
def connection(connections: Connections) -> Iterator[Connection]:
    ours, client = socket.socketpair()
    prepare(ours)
    connection = Connection(ours, "127.0.0.1:8000", "192.0.2.1:4711")
    connections.adopt(connection)
    connections.register(connection)
    with ours, client:
        yield connection


def test_a_sibling_gets_it_with_all_that_was_read(
    connections: Connections, connection: Connection, ends: tuple[socket.socket, socket.socket]
) -> None:
    receive_end, send_end = ends
    connection.buffer += REQUEST[:9]
    assert share(connections, connection, REQUEST[9:], send_end.fileno())
    assert not connections.table
    taken = exchange.take(receive_end.fileno())
    assert taken is not None
    parcel, client = taken
    client.close()
    assert (parcel.rest, parcel.peer, parcel.hops) == (REQUEST, "192.0.2.1:4711", 1)


def test_where_nobody_takes_it_it_is_as_it_was(
    connections: Connections, connection: Connection, ends: tuple[socket.socket, socket.socket]
) -> None:
    receive_end, send_end = ends
    receive_end.close()
    connection.buffer += REQUEST[:9]
    assert not share(connections, connection, REQUEST[9:], send_end.fileno())
    assert connection.buffer == REQUEST[:9]
    assert connection.registered
    assert list(connections.table.values()) == [connection]


@pytest.mark.parametrize("why", ["hops", "private", "polite", "large"])
def test_some_are_served_where_they_are(
    connections: Connections, connection: Connection, ends: tuple[socket.socket, socket.socket], why: str
) -> None:
    if why == "large":
        connection.buffer += bytes(REST_MAX_BYTES)
    else:
        setattr(connection, why, 1)
    assert not share(connections, connection, REQUEST, ends[1].fileno())
    assert connection.registered
