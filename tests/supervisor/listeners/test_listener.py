"""A listener: where it is said to be reached."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.addresses import tcp, unix
from releve.config.settings.address import Address
from releve.supervisor.listeners.inherited import open_inherited
from releve.supervisor.listeners.listener import Listener, reached_at
from releve.supervisor.listeners.opening import open_listener


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "127.0.0.1")])
def test_a_port_is_shown_as_the_url_that_a_browser_takes(opened: list[Listener], host: str, shown: str) -> None:
    opened.append(open_listener(tcp(host=host), 5, {}))
    assert reached_at(opened[0]) == f"http://{shown}:{opened[0].socket.getsockname()[1]}"


def test_a_unix_socket_is_shown_by_the_path_that_clients_use(tmp_path: Path, opened: list[Listener]) -> None:
    opened.append(open_listener(unix(tmp_path / "http.sock"), 5, {}))
    assert reached_at(opened[0]) == f"unix:{tmp_path}/http.sock"


def test_an_inherited_socket_is_shown_by_what_it_is_and_by_its_name(server: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0releve-test-listener")
        abstract.listen()
        inherited = {"web": server, "app": abstract}
        web, app = (open_inherited(Address("fd", name=name), inherited) for name in inherited)
        with web.socket, app.socket:
            assert reached_at(web) == f"http://127.0.0.1:{server.getsockname()[1]} (fd:web)"
            assert reached_at(app) == "unix:@releve-test-listener (fd:app)"


def refuses() -> None:
    raise OSError("no name")


@pytest.mark.parametrize(
    ("family", "getsockname", "shown"),
    [
        (socket.AF_VSOCK, lambda: (2, 8000), "AF_VSOCK (2, 8000) (fd:web)"),
        (99, lambda: b"\x00\x01", r"99 b'\x00\x01' (fd:web)"),  # the module has no name for it
        (socket.AF_INET, refuses, "fd:web"),
    ],
)
def test_an_inherited_socket_of_any_family_has_words(family: Any, getsockname: Any, shown: str) -> None:
    """A line of the log once ended a service that had started."""
    sock: Any = SimpleNamespace(family=family, getsockname=getsockname)
    assert reached_at(Listener("fd:web", Address("fd", name="web"), sock, inherited=True, inode=None)) == shown
