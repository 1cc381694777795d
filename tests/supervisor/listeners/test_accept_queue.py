"""The accept queue of listening sockets, as the kernel tells of it."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from releve.supervisor.listeners.accept_queue import AcceptQueue, accept_queue


def test_clients_that_nobody_has_accepted_wait_in_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for family, address in (
            (socket.AF_INET, ("127.0.0.1", 0)),
            (socket.AF_UNIX, str(tmp_path / "sock")),
            (socket.AF_UNIX, ""),  # the kernel makes up an abstract name
        ):
            listener = stack.enter_context(socket.socket(family))
            listener.bind(address)
            listener.listen(7)
            assert accept_queue(listener) == AcceptQueue(0, 7)
            for number in range(1, 4):
                client = stack.enter_context(socket.socket(family))
                client.connect(listener.getsockname())
                assert accept_queue(listener) == AcceptQueue(number, 7)
            listener.accept()[0].close()
            assert accept_queue(listener) == AcceptQueue(2, 7)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_where_the_kernel_does_not_tell_it_is_not_known(family: socket.AddressFamily) -> None:
    closed = socket.socket(family)
    closed.close()
    assert accept_queue(closed) is None
