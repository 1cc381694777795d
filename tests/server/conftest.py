"""Two generations on one listener, as at an upgrade; the ends of an exchange; the workers of a master, unforked."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from harness.crew import Crew
from harness.workers import Generation, listening

NAME = "127.0.0.1:8000"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening() as sock:
        yield sock


@pytest.fixture
def old(listener: socket.socket) -> Iterator[Generation]:
    made = Generation(7, [(NAME, listener)])
    yield made
    made.close()


@pytest.fixture
def new(listener: socket.socket) -> Iterator[Generation]:
    made = Generation(8, [(NAME, listener)])
    yield made
    made.close()


@pytest.fixture
def generation(new: Generation) -> Generation:
    """The only one, for a test that is about no other."""
    return new


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    receive_end, send_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with receive_end, send_end:
        receive_end.setblocking(False)
        send_end.setblocking(False)
        yield receive_end, send_end


@pytest.fixture
def crew() -> Iterator[Crew]:
    exchange = os.open(os.devnull, os.O_RDONLY)
    crew = Crew(exchange)
    yield crew
    crew.close()
    os.close(exchange)
