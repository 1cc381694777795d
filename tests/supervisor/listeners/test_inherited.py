"""Sockets that whoever started us has passed on."""

from __future__ import annotations

import os
import socket

import pytest

from harness.addresses import tcp
from releve.config.settings.address import Address
from releve.supervisor.listeners import inherited as passed_on
from releve.supervisor.listeners.inherited import inherited_sockets, unclaimed
from releve.supervisor.listeners.listener import ListenError
from releve.supervisor.listeners.opening import open_listener
from releve.supervisor.listeners.plan import plan_listeners


def _pass_on(environment: dict[str, str], *sockets: socket.socket) -> dict[str, socket.socket]:
    """Call ``inherited_sockets`` as a process does that systemd gave these sockets to: they are its descriptors from 3
    on.
    """
    first = max(sock.fileno() for sock in sockets) + 50
    for offset, sock in enumerate(sockets):
        os.dup2(sock.fileno(), first + offset, inheritable=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passed_on, "FIRST_INHERITED_FD", first)
        return inherited_sockets(
            {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), **environment}, os.getpid()
        )


def test_inherited_sockets_go_by_name_and_are_duplicated(server: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        inherited = _pass_on({"LISTEN_FDNAMES": "web:web"}, server, other)
        assert list(inherited) == ["web", "web:2"]
        assert not any(sock.get_inheritable() for sock in inherited.values())
        made = plan_listeners([], [Address("fd", name="web")], 5, inherited)
        assert [one.name for one in made.all] == ["fd:web", "fd:web:2"]
        assert [one.socket.getsockname() for one in made.all] == [server.getsockname(), other.getsockname()]
        assert all(one.inherited and not one.socket.getblocking() for one in made.all)
        made.abandon()
        again = plan_listeners([], [Address("fd", name="web")], 5, inherited)  # dropped and wanted again
        assert len(again.all) == 2
        again.abandon()
        for sock in inherited.values():
            sock.close()


def test_sockets_of_another_process_or_nonsense(server: socket.socket) -> None:
    assert inherited_sockets({}, 1) == {}
    assert inherited_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, 2) == {}
    with pytest.raises(ListenError, match="LISTEN_FDS is 'x'"):
        inherited_sockets({"LISTEN_PID": "2", "LISTEN_FDS": "x"}, 2)
    with pytest.raises(ListenError, match="is not open"):
        _pass_on({"LISTEN_FDS": "2"}, server)


def test_a_name_that_was_not_passed_on_and_one_that_nobody_wants(server: socket.socket) -> None:
    inherited = _pass_on({}, server)
    assert list(inherited) == ["unknown"]
    with pytest.raises(ListenError, match=r"cannot listen on fd:web: no such socket was passed \(passed: unknown\)"):
        open_listener(Address("fd", name="web"), 5, inherited)
    assert unclaimed([tcp()], inherited) == ["unknown"]
    assert unclaimed([Address("fd", name="unknown")], inherited) == []
    inherited["unknown"].close()


def test_an_inherited_socket_must_listen_and_be_a_stream() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, socket.socket() as silent:
        inherited = _pass_on({"LISTEN_FDNAMES": "a:b"}, datagram, silent)
        for name in "ab":
            with pytest.raises(ListenError, match="not a listening stream socket"):
                open_listener(Address("fd", name=name), 5, inherited)
            inherited[name].close()
