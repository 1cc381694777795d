"""The connections of a worker: in the table and in epoll exactly while they are open, each with its deadline."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from releve.config.settings.timeouts import Timeouts
from releve.server.loop.connection import Connection, State, prepare
from releve.server.loop.connections import Connections
from releve.server.loop.gathering import Gathering
from releve.server.scoreboard import scoreboard


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as epoll:
        yield epoll


@pytest.fixture
def connections(epoll: select.epoll) -> Iterator[Connections]:
    board = scoreboard.make()
    yield Connections(epoll, Timeouts(header=5.0, keepalive=60.0), scoreboard.Scoreboard(board).tally(0))
    os.close(board)


@pytest.fixture
def connection(connections: Connections) -> Iterator[Connection]:
    ours, theirs = socket.socketpair()
    with theirs:
        prepare(ours)
        connection = Connection(ours, "", "")
        connections.adopt(connection)
        yield connection
    ours.close()


def test_a_new_one_has_the_time_of_a_head(connections: Connections, connection: Connection) -> None:
    assert list(connections.table.values()) == [connection]
    assert 0.0 < connection.deadline - connections.now() <= 5.0


def test_it_is_in_epoll_for_what_it_waits_for(
    connections: Connections, connection: Connection, epoll: select.epoll
) -> None:
    connections.register(connection, select.EPOLLOUT)
    assert epoll.poll(0) == [(connection.fd, select.EPOLLOUT)]
    connections.register(connection)
    assert epoll.poll(0) == []
    connections.unregister(connection)
    connections.unregister(connection)  # nothing happens
    assert not connection.registered


def test_what_it_has_brought_waits_for_its_turn_once(connections: Connections, connection: Connection) -> None:
    connection.buffer += b"GET"
    connections.welcome(connection)
    connections.welcome(connection)
    assert list(connections.more) == [connection]
    assert not connection.registered


def test_one_that_is_closed_is_nowhere(connections: Connections, connection: Connection) -> None:
    dropped: list[Connection] = []
    connections.dropped = dropped.append
    connections.register(connection)
    connections.close(connection)
    assert connection.state is State.CLOSED
    assert connection.socket.fileno() == -1
    assert not connections.table
    assert connection.tick == -1
    assert not dropped


def test_whoever_keeps_its_body_hears_of_the_end(connections: Connections, connection: Connection) -> None:
    dropped: list[Connection] = []
    connections.dropped = dropped.append
    connection.gathering = Gathering(0.0)
    connections.close(connection)
    assert dropped == [connection]


def test_who_is_idle_gets_less_time_when_it_is_short(connections: Connections, connection: Connection) -> None:
    connections.shorten_idle(1.0)
    assert connection.deadline - connections.now() <= 1.0
    assert (connections.idle_s, connections.fresh_s) == (1.0, 1.0)
