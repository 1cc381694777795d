"""A worker that has no descriptor left, whose exchange is full for long, or whose application meddles with what all
share.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
import time

import pytest

from harness.workers import Client, Generation, listening
from releve.config.settings.limits import Limits
from releve.config.settings.settings import Settings
from releve.config.settings.timeouts import Timeouts
from releve.server.handover import exchange
from releve.server.handover.exchange import Parcel, give, take
from releve.server.handover.handover import FULL_S, Handover
from releve.server.http.body import ClientGone
from releve.server.loop.connection import Connection, prepare
from releve.server.loop.handler import Handler
from releve.server.loop.loop import Loop
from releve.server.loop.socket_channel import SocketChannel
from releve.server.scoreboard import scoreboard
from releve.server.shared import native
from releve.server.worker.recycle import Recycling

PARCEL = Parcel("l", "192.0.2.1:4711", 1, time.monotonic_ns() + 10**12)


def fill(send_end: socket.socket) -> int:
    """Until the exchange is full; how many it has taken."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        given = 0
        with pytest.raises(BlockingIOError):
            while given < 100_000:
                give(send_end.fileno(), PARCEL, ours.fileno())
                given += 1
    return given


def test_the_exchange_waits_for_nothing_whatever_the_applications_default_timeout_is(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    receive_end, send_end = ends
    socket.setdefaulttimeout(30)
    try:
        begun = time.monotonic()
        assert take(receive_end.fileno()) is None
        assert fill(send_end) > 100
        assert time.monotonic() - begun < 3
    finally:
        socket.setdefaulttimeout(None)


def test_who_waits_for_a_full_exchange_is_served_however_often_it_was_tried(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    receive_end, send_end = ends
    settings = Settings(app="x:y")
    answer = Handler(lambda environ, start: [], settings, lambda connection: True)
    loop = Loop(settings, answer, scoreboard.Scoreboard(scoreboard.make()).tally(0))
    clients = []
    for _ in range(3):
        client, server = socket.socketpair()
        prepare(server)
        connection = Connection(server, "l", "")
        connection.fresh = False
        loop.connections.adopt(connection)
        loop.connections.register(connection)
        clients.append((client, connection))
    fill(send_end)
    handover = Handover(loop, os.dup(send_end.fileno()))
    handover.add(loop.connections.table.values())
    for _ in range(3):
        handover.step()
        assert all(connection.registered for _, connection in clients)
        handover._resume()  # its timer
    handover.close()
    assert all(connection.registered for _, connection in clients)
    assert FULL_S < 1
    for client, connection in clients:
        loop.connections.close(connection)
        client.close()
    assert exchange.take(receive_end.fileno()) is not None


def test_a_file_whose_end_cannot_be_kept_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not begun anew: a part would be sent twice, and its end be taken for the next response."""

    def dup(fd: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(native.os, "dup", dup)
    client, server = socket.socketpair()
    server.setblocking(False)
    with client, server, tempfile.TemporaryFile() as file:
        file.truncate(4 << 20)
        channel = SocketChannel(server, Timeouts())
        with pytest.raises(ClientGone):
            channel.finish_file(file.fileno(), 0, 4 << 20)
        with pytest.raises(OSError, match="open files"):  # nothing was sent: the caller may do it in another way
            channel.finish_file(file.fileno(), 0, 4 << 20)


def test_a_look_at_the_memory_that_fails_costs_nothing() -> None:
    sizes = iter([1 << 20])
    times = iter([0.0, 100.0, 200.0, 300.0])

    def size() -> int:
        for one in sizes:
            return one
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    recycling = Recycling(Limits(rss=2 << 20), lambda: next(times), size)
    assert recycling.due(1) is None


def test_a_message_that_cannot_be_read_is_not_the_end_of_a_worker() -> None:
    with listening() as sock:
        generation = Generation(1, [("127.0.0.1:8000", sock)])
        try:
            worker = generation.start()
            worker.control.socket.send(b"{")
            worker.resume()
            assert Client(sock.getsockname()).ask().pid == worker.pid
            assert "ignored an order: a message that is not JSON" in generation.log
        finally:
            generation.close()


FORKS = """
import os, socket, threading
from releve.config.settings.settings import Settings
from releve.server.scoreboard import scoreboard
from releve.server.wsgi.hooks import Functions
from releve.server.shared.link import pair
from releve.server.worker.setup import WorkerSetup
from releve.server.worker.worker import Worker

ends = [end.detach() for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]
kept, control = pair()
worker = Worker(
    WorkerSetup(
        number=1, slot=0, generation=1, revision=1, settings=Settings(app="x:y"), listeners=(),
        exchange_receive=ends[0], exchange_send=ends[1], board=scoreboard.Scoreboard(scoreboard.make()),
        control=control, application=None, load=lambda: None,
    ),
    None,
    Functions(),
)
intake = worker.loop.connections.intake
os.register_at_fork(before=intake.acquire, after_in_parent=intake.release, after_in_child=worker.disown)

def forked(action):
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def child():
    mine = [os.open("/dev/null", os.O_RDONLY) for _ in range(30)]
    assert forked(lambda: [os.fstat(fd) for fd in mine]) == 0, "descriptors of the child were closed in its child"
    done = threading.Event()
    threading.Thread(target=lambda: (forked(lambda: None), done.set()), daemon=True).start()
    assert done.wait(10), "a thread of the child cannot fork"

assert forked(child) == 0
"""


def test_a_child_of_the_application_forks_in_its_turn() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
