"""For the tests of listeners."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from releve.supervisor.listeners.listener import Listener, close_listener


@pytest.fixture
def opened() -> Iterator[list[Listener]]:
    """Listeners put in here are closed at the end."""
    some: list[Listener] = []
    yield some
    for listener in some:
        close_listener(listener)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock
