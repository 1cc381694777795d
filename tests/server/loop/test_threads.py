"""The lead: who runs the loop while the application takes its time."""

from __future__ import annotations

import itertools
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from harness.workers import Generation, Worker, connect, eventually, request
from releve.config.settings.settings import Settings
from releve.server.loop.connection import Connection, prepare
from releve.server.loop.handler import Handler
from releve.server.loop.loop import SLICE_S, Loop
from releve.server.scoreboard import scoreboard
from releve.server.scoreboard.scoreboard import Scoreboard

SERIAL = itertools.count()


def start(generation: Generation, **settings: object) -> Worker:
    worker = generation.start(**settings)  # type: ignore[arg-type]
    worker.resume()
    return worker


def switches(worker: Worker) -> int:
    """Times that the worker's threads went to sleep of their own accord."""
    total = 0
    for task in Path(f"/proc/{worker.pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_one_thread_more_than_the_application_has(generation: Generation, threads: int) -> None:
    worker = start(generation, threads=threads)
    assert connect(generation).ask().status == 200
    wanted = 2 if threads == 1 else threads + 2  # and the monitor
    eventually(lambda: worker.threads() == wanted, f"{wanted} threads, not {worker.threads()}")


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_more_than_threads_requests_are_in_the_application(
    generation: Generation, threads: int, tmp_path: Path
) -> None:
    """People size database pools by ``threads``."""
    worker = start(generation, threads=threads)
    clients = [connect(generation) for _ in range(threads + 3)]
    other = connect(generation)
    for client in (*clients, other):  # a worker whose threads are all busy accepts nobody
        assert client.ask().status == 200, "it is the worker's"
    for number, client in enumerate(clients, 1):
        client.send(request(f"/wait?at={tmp_path}/at{number}&until={tmp_path}/until"))
        eventually(
            lambda number=number: len(list(tmp_path.glob("at*"))) == min(number, threads), "it is in the application"
        )
    other.send(b"NONSENSE\r\n\r\n")  # when that is answered, the loop has seen what came before
    assert other.answer().status == 400
    assert (len(list(tmp_path.glob("at*"))), worker.numbers.busy) == (threads, threads)
    (tmp_path / "until").touch()
    for client in clients:
        assert client.answer().status == 200


@pytest.mark.parametrize("threads", [2, 4])
def test_calls_that_last_do_not_hold_up_the_others(generation: Generation, threads: int, tmp_path: Path) -> None:
    start(generation, threads=threads)
    slow = [connect(generation) for _ in range(threads - 1)]
    for client in slow:
        client.send(request(f"/wait?at={tmp_path}/at{next(SERIAL)}&until={tmp_path}/until"))
    fast = connect(generation)
    for _ in range(100):
        assert fast.ask().status == 200
    (tmp_path / "until").touch()
    for client in slow:
        assert client.answer().status == 200
        assert client.ask().status == 200  # its connection has come back to the loop


def test_when_all_threads_are_taken_requests_wait_and_idle_clients_stay(generation: Generation, tmp_path: Path) -> None:
    start(generation, threads=2)
    clients = [connect(generation) for _ in range(6)]
    for client in clients:
        assert client.ask().status == 200
    for client in clients[:4]:
        client.send(request(f"/wait?at={tmp_path}/at{next(SERIAL)}&until={tmp_path}/until"))
    clients[4].send(b"NONSENSE\r\n\r\n")  # the I/O goes on
    assert clients[4].answer().status == 400
    (tmp_path / "until").touch()
    for client in clients[:4]:
        assert client.answer().status == 200
    assert clients[5].ask().status == 200


def test_a_pipelined_follower_of_a_slow_request_spins_nobody(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, threads=4)
    client = connect(generation)
    client.send(request(f"/wait?at={tmp_path}/at{next(SERIAL)}&until={tmp_path}/until"))
    other = connect(generation)
    eventually(lambda: other.ask().status == 200 and worker.numbers.busy == 1, "the call is out")
    client.send(request())
    before = float(Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[11])
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        assert other.ask().status == 200
        time.sleep(0.05)
    after = float(Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[11])
    assert after - before < 25, "ticks of 10 ms in half a second"
    (tmp_path / "until").touch()
    assert client.answer().status == 200
    assert client.answer().status == 200


@pytest.mark.parametrize("threads", [1, 8])
def test_an_idle_worker_makes_no_wake_ups(generation: Generation, threads: int) -> None:
    worker = start(generation, threads=threads)
    client = connect(generation)
    assert client.ask().status == 200

    def quiet() -> bool:
        before = switches(worker)
        time.sleep(0.3)
        return switches(worker) == before

    eventually(quiet, "nothing of the worker wakes up for 0.3 s")


def test_a_slow_reader_holds_no_thread(generation: Generation) -> None:
    """Clients that do not take a response which is all there wait with the loop, however many they are."""
    start(generation, threads=2)
    slow = [connect(generation) for _ in range(8)]
    for client in slow:
        client.send(request("/big?bytes=20000000"))
    fast = connect(generation)
    for _ in range(50):
        assert fast.ask().status == 200
    for client in slow:
        answer = client.answer()
        assert answer.status == 200
        assert client.ask().status == 200


def test_who_pipelines_has_one_turn_among_others() -> None:
    """A request that takes longer than a slice, three hundred times on each of two connections, and once on a third:
    turn by turn.
    """
    served: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        served.append(environ["PATH_INFO"])
        time.sleep(2 * SLICE_S)
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    settings = Settings(app="x:y", threads=2)
    loop = Loop(
        settings, Handler(application, settings, lambda connection: True), Scoreboard(scoreboard.make()).tally(0)
    )
    clients = []
    for target, count in (("/first", 300), ("/second", 300), ("/once", 1)):
        client, server = socket.socketpair()
        clients.append(client)
        client.sendall(request(target) * count)
        prepare(server)
        connection = Connection(server, "l", "")
        loop.connections.adopt(connection)
        loop.connections.register(connection)
    for _ in range(12):
        loop._hurry = True  # it waits for nothing
        loop._turn()
    assert served.index("/once") < 3, "in the first turn, as soon as it is there"
    assert abs(served.count("/first") - served.count("/second")) <= 1
    assert served.count("/first") < 10
    for connection in list(loop.connections.table.values()):
        loop.connections.close(connection)
    for client in clients:
        client.close()
