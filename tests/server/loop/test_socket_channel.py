"""How the thread that answers reads and writes a socket: what it waits for, and what it leaves to the loop."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from releve.config.settings.timeouts import Timeouts
from releve.server.http.body import ClientGone, ClientTooSlow
from releve.server.loop.connection import prepare
from releve.server.loop.socket_channel import Rest, SocketChannel

LARGE = bytes(4 << 20)  # more than the buffers of two sockets


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, client = socket.socketpair()
    with ours, client:
        prepare(ours)
        yield ours, client


def channel(ours: socket.socket, blocked: list[str], **timeouts: float) -> SocketChannel:
    return SocketChannel(ours, Timeouts(**timeouts), lambda: blocked.append("about to wait"))  # type: ignore[arg-type]


def take(client: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count and (piece := client.recv(1 << 20)):
        data += piece
    return bytes(data)


def test_what_is_there_is_read_without_waiting(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, client = ends
    blocked: list[str] = []
    client.send(b"abc")
    assert channel(ours, blocked).read(2, 0.0) == b"ab"
    client.close()
    assert channel(ours, blocked).read(9, 0.0) == b"c"
    assert channel(ours, blocked).read(9, 0.0) == b""
    assert not blocked


def test_whoever_would_wait_says_so_first(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = ends
    blocked: list[str] = []
    with pytest.raises(TimeoutError):
        channel(ours, blocked).read(9, 0.0)
    assert blocked


def test_the_end_of_a_response_that_is_not_taken_is_left(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, client = ends
    blocked: list[str] = []
    one = channel(ours, blocked)
    one.finish(LARGE)
    assert one.unsent is not None
    assert not blocked
    assert taken_of(one, ours, client) == LARGE


def taken_of(one: SocketChannel, ours: socket.socket, client: socket.socket) -> bytes:
    """All that a client gets of a response that was finished."""
    client.setblocking(False)
    taken = b""
    while one.unsent is not None and one.unsent.left_bytes:
        taken += client.recv(1 << 20)
        one.unsent.send(ours)
    client.setblocking(True)
    ours.shutdown(socket.SHUT_WR)
    while data := client.recv(1 << 20):
        taken += data
    return taken


@pytest.mark.parametrize("before", [b"head", bytes(range(256)) * (1 << 13)])
@pytest.mark.parametrize("full", [False, True])
def test_what_goes_before_it_is_sent_first_however_much_is_taken(
    ends: tuple[socket.socket, socket.socket], before: bytes, full: bool
) -> None:
    """All, a part of what goes before, or nothing."""
    ours, client = ends
    queued = b""
    if full:
        with contextlib.suppress(BlockingIOError):
            while True:
                queued += b"q" * ours.send(b"q" * 65536)
    one = channel(ours, [])
    one.finish(LARGE, before)
    assert one.unsent is not None and (not full or one.unsent.left_bytes == len(before) + len(LARGE))
    assert taken_of(one, ours, client) == queued + before + LARGE


def test_so_is_that_of_a_file_whoever_closes_it(ends: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    ours, client = ends
    (tmp_path / "file").write_bytes(LARGE)
    one = channel(ours, [])
    with (tmp_path / "file").open("rb") as file:
        assert one.finish_file(file.fileno(), 1, len(LARGE) - 1) == len(LARGE) - 1
    rest = one.unsent
    assert rest is not None
    left = rest.left_bytes
    assert 0 < left < len(LARGE) - 1
    assert len(take(client, len(LARGE) - 1 - left)) == len(LARGE) - 1 - left
    rest.send(ours)
    assert rest.left_bytes < left
    rest.close()


def test_a_file_that_has_become_shorter_is_an_error(ends: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    ours, _ = ends
    (tmp_path / "file").write_bytes(b"abc")
    with (tmp_path / "file").open("rb") as file:
        rest = Rest(file=file.fileno(), offset=3, count=1)
        with pytest.raises(OSError, match=os.strerror(61)):
            rest.send(ours)
        rest.close()
        rest.close()  # nothing happens


def test_a_client_that_has_gone_is_no_error_of_ours(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, client = ends
    client.close()
    one = channel(ours, [])
    with pytest.raises(ClientGone):
        one.finish(b"abc")
    with pytest.raises(ClientGone):
        one.write(b"abc")


def test_who_takes_nothing_is_too_slow(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = ends
    blocked: list[str] = []
    with pytest.raises(ClientTooSlow):
        channel(ours, blocked, write=0.05).write(LARGE)
    assert blocked
