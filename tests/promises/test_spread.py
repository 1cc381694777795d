"""Promise: new connections go to workers that are free, to all of them, and never wait for one that is gone or
stuck.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.service import Service, eventually, serving

CONNECTIONS = 400
WORKERS = 4
APP = """
import json, os, time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    if environ["PATH_INFO"] == "/wait":
        until = time.monotonic() + 60
        while not os.path.exists(environ["QUERY_STRING"]) and time.monotonic() < until:
            time.sleep(0.01)
    return [json.dumps(os.getpid()).encode()]
"""


@contextmanager
def service_of(root: Path, **settings: object) -> Iterator[Service]:
    with serving(root, start=False, app="spread:application", **settings) as service:  # type: ignore[arg-type]
        service.release("one", spread=APP)
        service.start()
        yield service


def begin(service: Service, target: str = "/", more: str = "") -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode())
    return sock


def pid_of(sock: socket.socket) -> int:
    """Who answered; the response ends where the server closes."""
    with sock:
        data = sock.makefile("rb").read()
    assert data.startswith(b"HTTP/1.1 200 "), data
    return int(json.loads(data.partition(b"\r\n\r\n")[2]))


def state(pid: int) -> str:
    """Its letter in proc(5): T is stopped, Z is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "-"


CLOSE = "Connection: close\r\n"
ROUNDS = 10


@pytest.mark.parametrize("together", [1, 8])
def test_no_idle_worker_gets_more_than_half(tmp_path: Path, together: int) -> None:
    """Unless it alone has a processor: who is kept from running by other programs is not idle.

    So one round of several counts.
    """
    with service_of(tmp_path, workers=WORKERS, threads=2) as service:
        rounds: list[Counter[int]] = []
        while not rounds or max(rounds[-1].values()) > CONNECTIONS // 2:
            assert len(rounds) < ROUNDS, rounds
            rounds.append(Counter())
            for _ in range(CONNECTIONS // together):
                rounds[-1].update([pid_of(sock) for sock in [begin(service, more=CLOSE) for _ in range(together)]])
            assert set(rounds[-1]) <= service.workers()


def test_a_worker_that_is_busy_takes_none(tmp_path: Path) -> None:
    """As many calls as a worker has threads are under way in it: whoever comes now goes to the other one."""
    threads = 2
    with service_of(tmp_path, workers=2, threads=threads) as service:
        waiting = [begin(service, f"/wait?{tmp_path}/go", CLOSE) for _ in range(threads + 1)]
        eventually(
            lambda: sum(worker["busy"] for worker in service.generation()["workers"]) == threads + 1,
            "all of them are in a call",
        )
        busy = {worker["pid"] for worker in service.generation()["workers"] if worker["busy"] == threads}
        counts = Counter(pid_of(begin(service, more=CLOSE)) for _ in range(50))
        assert not busy & set(counts), (busy, counts)
        (tmp_path / "go").touch()
        assert {pid_of(sock) for sock in waiting} <= service.workers()


def answer(sock: socket.socket) -> int:
    """Who answered on a connection that is kept."""
    data = b""
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < int(
        data.lower().split(b"content-length: ")[1].split(b"\r")[0]
    ):
        piece = sock.recv(4096)
        assert piece, data
        data += piece
    return int(data.partition(b"\r\n\r\n")[2])


def test_the_clients_of_a_worker_that_is_stuck_are_served_by_its_sibling(tmp_path: Path) -> None:
    """Kept-alive connections of a worker whose threads are all out: each moves once, with its request, and
    stays there.
    """
    threads = 2
    with service_of(tmp_path, workers=2, threads=threads) as service:
        kept: dict[int, list[socket.socket]] = {}
        while min(map(len, kept.values()), default=0) < 8 or len(kept) < 2:
            sock = begin(service)
            kept.setdefault(answer(sock), []).append(sock)
        stuck, free = kept
        waiting, others = kept[stuck][:threads], kept[stuck][threads:]
        for number, sock in enumerate(waiting, 1):
            sock.sendall(f"GET /wait?{tmp_path}/go HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            eventually(lambda number=number: busy(service, stuck) == number, "it is in the call")  # type: ignore[misc]
        before = given(service)  # one may have moved as it came, while a thread was not back yet
        for _ in range(10):
            for sock in others:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert answer(sock) == free, "and not after sixty seconds"
        assert given(service) - before <= len(others), "no connection goes back and forth"
        (tmp_path / "go").touch()
        assert [answer(sock) for sock in waiting] == [stuck] * len(waiting)
        for sock in [*kept[stuck], *kept[free]]:
            sock.close()


def given(service: Service) -> int:
    return sum(int(worker["given"]) for worker in service.generation()["workers"])


def busy(service: Service, pid: int) -> int:
    return next(int(worker["busy"]) for worker in service.generation()["workers"] if worker["pid"] == pid)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_worker_that_stops_before_it_accepts_delays_nobody(tmp_path: Path, how: signal.Signals) -> None:
    """Every worker in turn, with no other traffic: if the kernel's wake-up goes to it, a sibling has to have one as
    well.
    """
    with service_of(tmp_path, workers=WORKERS, threads=2) as service:
        for pid in sorted(service.workers()):
            os.kill(pid, how)
            eventually(lambda pid=pid: state(pid) in "TZ-", "the signal has arrived")  # type: ignore[misc]
            try:
                for _ in range(3 * WORKERS):
                    assert pid_of(begin(service, more=CLOSE)) != pid
            finally:
                if how == signal.SIGSTOP:
                    os.kill(pid, signal.SIGCONT)
            eventually(lambda: len(service.workers()) == WORKERS, "a replacement is there")


def test_a_worker_killed_while_it_is_woken_delays_nobody(tmp_path: Path) -> None:
    """The connection comes first, and the worker is stopped or killed in whatever it does about it."""
    with service_of(tmp_path, workers=WORKERS, threads=2) as service:
        for victim in sorted(service.workers())[:3]:
            os.kill(victim, signal.SIGSTOP)
            eventually(lambda victim=victim: state(victim) == "T", "the signal has arrived")  # type: ignore[misc]
            socks = [socket.create_connection(("127.0.0.1", service.port), timeout=30) for _ in range(WORKERS)]
            os.kill(victim, signal.SIGKILL)
            for sock in socks:
                sock.sendall(f"GET / HTTP/1.1\r\nHost: a\r\n{CLOSE}\r\n".encode())
                assert pid_of(sock) != victim
