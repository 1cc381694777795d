"""What a plan keeps, binds and drops, and what it leaves behind."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.addresses import answers, tcp, unix
from harness.descriptors import descriptors
from harness.service import free_port
from releve.config import kernel
from releve.config.settings.address import Address
from releve.supervisor.listeners.listener import Listener, ListenError, close_listener
from releve.supervisor.listeners.plan import plan_listeners


def _open_fds() -> set[str]:
    return {
        f"{fd}:{os.readlink(f'/proc/self/fd/{fd}')}" for fd in descriptors() if os.path.exists(f"/proc/self/fd/{fd}")
    }


def test_a_plan_keeps_what_is_held_and_lists_what_is_dropped(tmp_path: Path, opened: list[Listener]) -> None:
    port = free_port()
    first = plan_listeners([], [tcp(port), unix(tmp_path / "a")], 5, {})
    opened += first.all
    second = plan_listeners(first.all, [unix(tmp_path / "b"), tcp(port)], 5, {})
    assert second.keep == [first.all[0]]
    assert second.dropped == [first.all[1]]
    assert [one.name for one in second.added] == [f"unix:{tmp_path}/b"]
    assert [one.name for one in second.all] == [f"unix:{tmp_path}/b", f"127.0.0.1:{port}"]
    assert answers(str(tmp_path / "a"))  # dropped ones are the caller's to close
    second.abandon()
    assert sorted(os.listdir(tmp_path)) == ["a"]
    assert answers(("127.0.0.1", port))


def test_a_plan_that_fails_closes_what_it_opened_and_nothing_else(
    tmp_path: Path, opened: list[Listener], server: socket.socket
) -> None:
    held = plan_listeners([], [unix(tmp_path / "a")], 5, {}).all
    opened += held
    before = _open_fds()
    with pytest.raises(ListenError, match="address already in use"):
        plan_listeners(held, [unix(tmp_path / "a"), unix(tmp_path / "b"), tcp(server.getsockname()[1])], 5, {})
    assert _open_fds() == before
    assert os.listdir(tmp_path) == ["a"]
    assert answers(str(tmp_path / "a"))


def test_a_held_listener_that_somebody_has_shut_down_serves_after_the_next_plan(
    tmp_path: Path, opened: list[Listener]
) -> None:
    """As a generation can, which shares the socket; a new one is to have clients all the same."""
    wanted = [unix(tmp_path / "a"), tcp(free_port())]
    held = plan_listeners([], wanted, 5, {}).all
    opened += held
    for listener in held:
        with socket.socket(fileno=os.dup(listener.socket.fileno())) as shared:
            shared.shutdown(socket.SHUT_RDWR)
    healed = plan_listeners(held, wanted, 5, {})
    opened += healed.added
    assert healed.commit() == []
    for listener in healed.all:
        where: Any = str(tmp_path / "a") if listener.inode else ("127.0.0.1", wanted[1].port)
        with socket.socket(listener.socket.family, socket.SOCK_STREAM) as client:
            client.connect(where)


def test_a_held_unix_listener_whose_file_was_removed_is_bound_anew(tmp_path: Path, opened: list[Listener]) -> None:
    held = plan_listeners([], [unix(tmp_path / "a")], 5, {}).all
    opened += held
    os.unlink(tmp_path / "a")
    healed = plan_listeners(held, [unix(tmp_path / "a")], 5, {})
    opened += healed.all
    assert healed.dropped == held
    close_listener(held[0])
    assert answers(str(tmp_path / "a"))


def test_a_commit_changes_mode_and_backlog_of_what_is_kept(tmp_path: Path, opened: list[Listener]) -> None:
    held = plan_listeners([], [unix(tmp_path / "a", mode=0o600), tcp()], 5, {}).all
    opened += held
    changed = plan_listeners(held, [unix(tmp_path / "a", mode=0o666), tcp()], 1, {})
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o600
    assert changed.commit() == []
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o666
    assert held[0].address.mode == 0o666
    with ExitStack() as clients:  # a backlog of 1 lets two wait, 5 would let six
        for _ in range(2):
            clients.enter_context(socket.socket(socket.AF_UNIX)).connect(str(tmp_path / "a"))
        with pytest.raises(BlockingIOError), socket.socket(socket.AF_UNIX) as third:
            third.setblocking(False)
            third.connect(str(tmp_path / "a"))


def test_a_commit_that_cannot_give_a_socket_away_says_so_and_goes_on(tmp_path: Path, opened: list[Listener]) -> None:
    held = plan_listeners([], [unix(tmp_path / "a")], 5, {}).all
    opened += held
    problems = plan_listeners(held, [unix(tmp_path / "a", owner="nobody-has-this-name")], 5, {}).commit()
    assert len(problems) == 1
    assert "there is no user nobody-has-this-name" in problems[0]
    assert answers(str(tmp_path / "a"))


def test_more_sockets_than_the_kernel_passes_on_are_not_opened() -> None:
    """Also where a few names stand for many: a host has several addresses, and so has a name of inherited sockets."""
    wanted = [Address("tcp", "127.0.0.1", port) for port in range(20_000, 20_001 + kernel.LISTENERS_MAX)]
    with pytest.raises(ListenError, match="241 sockets: the kernel passes at most 240 at once"):
        plan_listeners([], wanted, 64, {})
