"""Listeners at a host and a port: what opens, and what is refused and why."""

from __future__ import annotations

import errno
import socket

import pytest

from harness.addresses import tcp
from harness.service import free_port
from releve.supervisor.listeners.listener import Listener, ListenError
from releve.supervisor.listeners.opening import open_listener
from releve.supervisor.listeners.plan import plan_listeners


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("localhost", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_a_tcp_listener_is_non_blocking_private_to_us_and_reachable(
    opened: list[Listener], host: str, family: socket.AddressFamily
) -> None:
    listener = open_listener(tcp(host=host), 7, {})
    opened.append(listener)
    sock = listener.socket
    assert (listener.name, sock.family, sock.getblocking(), sock.get_inheritable()) == (
        str(tcp(host=host)),
        family,
        False,
        False,
    )
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    if family == socket.AF_INET6:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    with socket.create_connection(sock.getsockname()[:2], timeout=2):
        pass


def test_v4_and_v6_share_a_port(opened: list[Listener]) -> None:
    port = free_port()
    opened += plan_listeners([], [tcp(port, "0.0.0.0"), tcp(port, "::")], 5, {}).all
    assert [one.name for one in opened] == [f"0.0.0.0:{port}", f"[::]:{port}"]


def test_an_address_in_use_says_so_and_what_to_do(opened: list[Listener]) -> None:
    opened.append(open_listener(tcp(), 5, {}))
    port = opened[0].socket.getsockname()[1]
    with pytest.raises(
        ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: address already in use; .*ss -ltnp"
    ):
        open_listener(tcp(port), 5, {})


def test_a_foreign_address_and_an_unknown_host_say_so() -> None:
    with pytest.raises(ListenError, match="this host has no such address"):
        open_listener(tcp(8000, "192.0.2.1"), 5, {})
    with pytest.raises(ListenError, match=r"cannot listen on no\.such\.invalid:80: .*write a numeric address"):
        open_listener(tcp(80, "no.such.invalid"), 5, {})


def test_a_port_below_1024_without_the_right_says_what_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, where: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(
        ListenError, match=r"cannot listen on 127\.0\.0\.1:80: permission denied; .*CAP_NET_BIND_SERVICE"
    ):
        open_listener(tcp(80), 5, {})
