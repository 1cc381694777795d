"""Readiness: which path is asked, and what a load balancer hears while the host is drained or stops."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.workers import Client, Generation, Worker, eventually, request
from releve.config.settings.settings import Settings
from releve.config.settings.upgrade import Check, Upgrade
from releve.server.loop.connection import Connection, State, prepare
from releve.server.loop.handler import Handler
from releve.server.loop.loop import Loop
from releve.server.loop.threads import Threads
from releve.server.scoreboard import scoreboard
from releve.server.scoreboard.header import LEVEL
from releve.server.scoreboard.scoreboard import Scoreboard
from releve.server.wsgi.readiness import Readiness


@pytest.fixture
def generation(new: Generation) -> Generation:
    """One for each test, and none that misbehaves."""
    return new


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    fd = scoreboard.make()
    yield Scoreboard(fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("readiness", "check", "paths"),
    [
        (None, None, []),
        ("/ready", None, ["/ready"]),
        (None, "/healthz?full=1", ["/healthz"]),
        ("/ready", "/healthz", ["/ready"]),
        ("/bereit%C3%A4", None, ["/bereit\xc3\xa4"]),  # as PATH_INFO has it
    ],
)
def test_the_path_that_is_asked(board: Scoreboard, readiness: str | None, check: str | None, paths: list[str]) -> None:
    upgrade = Upgrade(check=None if check is None else Check(path=check))
    assert sorted(Readiness(Settings(readiness=readiness, upgrade=upgrade), board).paths) == paths


def start(generation: Generation, **settings: object) -> tuple[Worker, Client]:
    worker = generation.start(**settings)  # type: ignore[arg-type]
    worker.resume()
    return worker, Client(generation.listeners[0][1].getsockname())


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("words", [(7, 0), (0, 7), (7, 7)])  # drained, stopping, both
def test_readiness_is_answered_here(generation: Generation, threads: int, words: tuple[int, int]) -> None:
    worker, client = start(generation, threads=threads, readiness="/pid")
    for _ in range(6):  # the later ones by the fast path
        answer = client.ask("/pid")
        assert (answer.status, answer.body, answer.kept) == (200, b"ready\n", True)
        assert answer.headers["cache-control"] == "no-store" and "x-pid" not in answer.headers
    worker.announce(*words)
    for target in ("/pid", "/pid?from=balancer"):
        answer = client.ask(target)
        assert (answer.status, answer.body, answer.kept) == (503, b"draining\n", True)
    assert client.ask("/pid", method="HEAD").status == 503
    assert client.ask("/thread").status == 200  # served as ever
    assert worker.told == ([], []), "we have not failed"
    worker.announce(0, 0)
    assert client.ask("/pid").status == 200
    client.close()


def test_the_checks_path_is_the_applications_but_while_drained(generation: Generation) -> None:
    worker, client = start(generation, upgrade={"check": {"path": "/pid"}})
    assert client.ask("/pid").pid == worker.pid
    worker.announce(7, 0)
    assert client.ask("/pid").status == 503
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.tell("serve", (theirs.fileno(),), listener="private")
        ours.settimeout(20)
        ours.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert ours.recv(65536).startswith(b"HTTP/1.1 200 ")  # the supervisor's own check
    client.close()


def test_what_we_answer_ourselves_does_not_count_against_the_application(generation: Generation) -> None:
    worker, client = start(generation, readiness="/ready")
    worker.announce(7, 0)
    for _ in range(5):
        assert client.ask("/ready").status == 503
    assert client.ask("/pid").status == 200
    eventually(lambda: (worker.numbers.requests, worker.numbers.own) == (1, 5), "all are counted")
    assert (worker.numbers.status_2xx, worker.numbers.status_5xx, sum(worker.numbers.durations)) == (1, 0, 1)
    client.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_only_what_clients_ask_the_application_is_counted_as_their_requests(
    generation: Generation, threads: int
) -> None:
    """Beside it: our answers, the supervisor's checks, what is no request; and apart, what the application tells
    balancers (row g).
    """
    worker, client = start(generation, threads=threads, readiness="/ready", upgrade={"check": {"path": "/pid"}})
    asked = 0
    for _ in range(3):
        assert client.ask("/ready").status == client.ask("/pid").status == client.ask("/thread").status == 200
        asked += 2  # with a readiness of its own, the path of the check is one like any
    junk = socket.create_connection(generation.listeners[0][1].getsockname(), timeout=20)
    with junk:
        junk.sendall(b"junk\r\n\r\n")
        assert b" 400 " in junk.recv(65536)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.tell("serve", (theirs.fileno(),), listener="private")
        ours.settimeout(20)
        ours.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert ours.recv(65536).startswith(b"HTTP/1.1 200 ")
    eventually(lambda: worker.numbers.own == 5, "three polls, one that was refused, one check")
    numbers = worker.numbers
    assert (numbers.requests, numbers.status_2xx, numbers.status_4xx, sum(numbers.durations)) == (
        asked,
        asked,
        0,
        asked,
    )
    assert (numbers.polled, numbers.level) == (0, LEVEL)
    client.close()


def test_what_the_application_tells_balancers_is_counted_apart(generation: Generation) -> None:
    worker, client = start(generation, upgrade={"check": {"path": "/nothing"}})
    for _ in range(3):
        assert (client.ask("/nothing").status, client.ask("/thread").status) == (404, 200)
    eventually(lambda: worker.numbers.requests == 6, "all are counted")
    assert (worker.numbers.status_4xx, worker.numbers.polled, worker.numbers.polled_5xx, worker.numbers.own) == (
        3,
        3,
        0,
        0,
    )
    client.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_readiness_is_answered_while_every_thread_is_in_a_call(
    generation: Generation, threads: int, tmp_path: Path
) -> None:
    """On a connection that is kept, and on a new one, as balancers make; what the application is to answer waits."""
    worker, kept = start(generation, threads=threads, readiness="/ready", workers=1)
    assert kept.ask("/ready").status == 200
    calls = [Client(generation.listeners[0][1].getsockname()) for _ in range(threads)]
    for number, client in enumerate(calls):
        client.send(request(f"/wait?at={tmp_path}/at{number}&until={tmp_path}/until"))
    eventually(lambda: len(list(tmp_path.glob("at*"))) == threads, "all are in the application")
    waiting = Client(generation.listeners[0][1].getsockname())
    waiting.send(request("/pid"))
    for words, status in (((0, 0), 200), ((7, 0), 503)):
        worker.announce(*words)
        for method in ("GET", "HEAD"):
            assert kept.ask("/ready", method=method).status == status
            new = Client(generation.listeners[0][1].getsockname())
            answer = new.ask("/ready?a=b", method=method, more="Connection: close\r\n")
            assert (answer.status, answer.kept) == (status, False)
            assert new.ended()
        old = Client(generation.listeners[0][1].getsockname())  # HAProxy asks so
        old.send(b"GET /ready HTTP/1.0\r\n\r\n")
        assert old.socket.makefile("rb").readline().split()[1] == str(status).encode()
    (tmp_path / "until").touch()
    assert [client.answer().status for client in (*calls, waiting)] == [200] * (threads + 1)


def test_readiness_waits_for_no_client(board: Scoreboard) -> None:
    """One that asks all the time and reads nothing: what it does not take is left to the loop, which goes on."""
    settings = Settings(app="x:y", threads=2, readiness="/ready")
    answer = Handler(lambda environ, start: [], settings, lambda connection: True, None, Readiness(settings, board))
    loop = Loop(settings, answer, board.tally(0))
    client, server = socket.socketpair()
    client.setblocking(False)
    prepare(server)
    connection = Connection(server, "l", "")
    loop.connections.adopt(connection)
    loop.connections.register(connection)
    asked = request("/ready", method="HEAD") * 50
    for _ in range(10_000):
        if connection.state is State.WRITING:
            break
        with contextlib.suppress(BlockingIOError):
            client.send(asked)
        loop._hurry = True  # it waits for nothing
        loop._turn()
    assert connection.state is State.WRITING
    loop.connections.close(connection)
    client.close()


@pytest.mark.parametrize("threads_out", [0, 2])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("keeps", [True, False])
def test_what_a_client_does_not_take_of_readiness_is_sent_later(
    board: Scoreboard, threads_out: int, method: str, keeps: bool
) -> None:
    """With a thread for it, and in the leader, which waits for nobody; from the first byte on."""
    settings = Settings(app="x:y", threads=2, readiness="/ready")
    answer = Handler(lambda environ, start: [], settings, lambda connection: keeps, None, Readiness(settings, board))
    waited = []

    def before_blocking(connection: Connection) -> None:
        waited.append(connection)
        raise AssertionError("the leader would wait for the client")

    answer.before_blocking = before_blocking
    loop = Loop(settings, answer, board.tally(0))
    assert isinstance(loop.executor, Threads)
    loop.executor.out, loop.executor.open = threads_out, not threads_out
    client, server = socket.socketpair()
    client.settimeout(20)
    prepare(server)
    with contextlib.suppress(BlockingIOError):
        while True:
            server.send(b"x" * 4096)
    connection = Connection(server, "l", "")
    loop.connections.adopt(connection)
    loop.connections.register(connection)

    def turn() -> None:
        loop._hurry = True  # it waits for nothing
        assert loop._turn()

    client.sendall(request("/ready", method=method))
    turn()
    assert (connection.state, waited) == (State.WRITING, [])
    received = b""
    while connection.state is State.WRITING:
        received += client.recv(65536)
        turn()
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while data := client.recv(65536):
            received += data
    head, _, body = received.lstrip(b"x").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and (b"Connection: close" in head) != keeps
    assert body == (b"ready\n" if method == "GET" else b"")
    assert connection.state is (State.IDLE if keeps else State.CLOSING)
    loop.connections.close(connection)
    client.close()


def test_at_the_limit_of_connections_readiness_is_answered(generation: Generation) -> None:
    _, client = start(generation, threads=2, readiness="/ready", limits={"connections": 3})
    others = [client, *(Client(generation.listeners[0][1].getsockname()) for _ in range(2))]
    assert [other.ask("/pid").status for other in others] == [200] * 3
    for _ in range(3):
        assert Client(generation.listeners[0][1].getsockname()).ask("/ready").status == 200
