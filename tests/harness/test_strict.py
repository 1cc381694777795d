"""The strict client notices everything that it exists for: each way to fail, shown by a server that fails so."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harness.load import Load, strictly
from harness.service import eventually


@dataclass
class Asked:
    """One request as the server under test sees it."""

    number: int  # of all requests
    turn: int  # on its connection, from 0
    body: bytes
    nonce: bytes
    generation: int = 1


def good(
    asked: Asked, *, generation: int | None = None, more: bytes = b"", body: bytes | None = None, close: bool = False
) -> bytes:
    body = asked.body if body is None else body
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Nonce: %s\r\nX-Generation: %d\r\n" % (
        len(body),
        asked.nonce,
        generation or asked.generation,
    )
    return head + (b"Connection: close\r\n" if close else b"") + b"\r\n" + body + more


class Server:
    """A thread for each connection, one behaviour for each request: bytes to send, None to close, or an exception to
    reset.
    """

    def __init__(self, behave: Callable[[Asked], bytes | None], idle_close_s: float | None = None) -> None:
        self.behave, self.idle_close_s = behave, idle_close_s
        self.number = 0
        self.generation = 1
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address = f"tcp:127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            data, turn = b"", 0
            while True:
                while b"\r\n\r\n" not in data:
                    connection.settimeout(self.idle_close_s if turn else None)
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    data += piece
                head, _, rest = data.partition(b"\r\n\r\n")
                length = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
                while len(rest) < length:
                    piece = connection.recv(65536)
                    if not piece:
                        return  # else this thread would spin beside every later test of its process
                    rest += piece
                body, data = rest[:length], rest[length:]
                self.number += 1
                asked = Asked(self.number, turn, body, re.findall(rb"X-Nonce: (\w+)", head)[0], self.generation)
                turn += 1
                try:
                    answer = self.behave(asked)
                except ConnectionResetError:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if answer is None:
                    return
                if b"Connection: close" in head:
                    answer = answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
                connection.sendall(answer)
                if b"Connection: close" in head or b"Connection: close" in answer.partition(b"\r\n\r\n")[0]:
                    return


TEMPLATES = [{"method": "POST", "target": "/", "body": "{nonce}", "pad": 100, "echo": "body"}]


@contextlib.contextmanager
def attacked(
    behave: Callable[[Asked], bytes | None],
    *,
    serving: int | None = 1,
    idle_close_s: float | None = None,
    **options: Any,
) -> Iterator[tuple[Server, Load]]:
    server = Server(behave, idle_close_s)
    settings = {"clients": 8, "think": 0.02, "think_mean": 0.005, "patience": 1.0, **options}
    load = Load(server.address, serving=serving, templates=TEMPLATES, **settings)
    try:
        yield server, load
    finally:
        load.kill()
        with contextlib.suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()


def until_failed(load: Load) -> dict[str, Any]:
    load.say("trouble")
    return load.stop()


def faulty(number: int, fault: Callable[[Asked], bytes | None]) -> Callable[[Asked], bytes | None]:
    """Good, but for every so many requests."""
    return lambda asked: fault(asked) if asked.number % number == 0 else good(asked)


def reset(asked: Asked) -> bytes | None:
    raise ConnectionResetError


FAULTS = {
    "closed under a request": ("lost", lambda asked: None),
    "reset under a request": ("lost", reset),
    "cut short": ("truncated", lambda asked: good(asked)[:-1].replace(b"\r\n", b"\r\nConnection: close\r\n", 1)),
    "answered twice": ("extra", lambda asked: good(asked) + good(asked)),
    "a byte too much": ("extra", lambda asked: good(asked, more=b"\n")),
    "the answer of another": ("echo", lambda asked: good(asked, body=b"0" * len(asked.body))),
    "an error": ("status", lambda asked: good(asked).replace(b"200 OK", b"502 Bad Gateway")),
    "not HTTP": ("malformed", lambda asked: b"hello\r\n\r\n"),
    "a foreign generation": ("generation", lambda asked: good(asked, generation=7)),
    "no generation": ("generation", lambda asked: good(asked).replace(b"X-Generation", b"X-Other")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_noticed(name: str) -> None:
    kind, fault = FAULTS[name]
    with attacked(faulty(25, fault)) as (_, load):
        report = until_failed(load)
    assert kind in report["kinds"], report
    assert load.process.returncode == 1


def test_a_good_server_has_no_failures() -> None:
    server = Server(good)
    with strictly(server.address, serving=1, templates=TEMPLATES, clients=8, think=0.02, think_mean=0.005) as load:
        load.wait(300)
        report = load.stop()
    assert load.process.returncode == 0
    assert report["sent"] == report["answered"] >= 300
    assert report["by_generation"] == {"1": report["answered"]}


def test_silence_is_noticed() -> None:
    forever = threading.Event()

    def hang(asked: Asked) -> bytes | None:
        forever.wait(10)
        return None

    with attacked(faulty(25, hang), patience=0.3) as (_, load):
        report = until_failed(load)
    forever.set()
    assert report["kinds"] == {"timeout": report["failed"]}


def test_an_unannounced_close_while_idle_is_noticed() -> None:
    with attacked(good, idle_close_s=0.1, think=1.0, think_mean=0.2) as (_, load):
        report = until_failed(load)
    assert set(report["kinds"]) == {"idle"}


def test_an_idle_close_after_the_keepalive_time_is_fine() -> None:
    with attacked(good, idle_close_s=0.2, rounds=True, keepalive=0.1) as (_, load):
        report = load.say("wait 24")
    assert not report["failed"], report
    assert report["connects"] >= 24


def test_an_announced_close_is_fine() -> None:
    with attacked(lambda asked: good(asked, close=asked.turn == 2)) as (_, load):
        report = load.wait(200)
    assert not report["failed"], report
    assert report["announced_closes"] > 0


def test_a_refused_connection_is_noticed() -> None:
    with attacked(good) as (server, load):
        load.wait(20)
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        eventually(lambda: "refused" in load.report()["kinds"], "it is noticed")


def test_generations_follow_each_other() -> None:
    with attacked(good) as (server, load):
        load.wait(50)
        load.begin(2)
        server.generation = 2
        load.wait(50)
        load.done(2)
        load.wait(50)
        load.begin(1)  # a rollback
        server.generation = 1
        load.wait(50)
        load.done(1)
        report = load.wait(50)
    assert not report["failed"], report
    assert set(report["by_generation"]) == {"1", "2"}


def test_an_old_answer_after_the_return_is_noticed() -> None:
    with attacked(good) as (_, load):
        load.wait(20)
        load.begin(2)
        load.done(2)
        assert set(until_failed(load)["kinds"]) == {"generation"}


def test_a_connection_that_goes_back_is_noticed() -> None:
    alternating = threading.Event()
    with attacked(lambda asked: good(asked, generation=1 + asked.turn % 2 * alternating.is_set())) as (_, load):
        load.begin(2)
        alternating.set()
        assert set(until_failed(load)["kinds"]) == {"backwards"}


def test_rounds() -> None:
    with attacked(good, rounds=True, clients=20) as (server, load):
        load.say("wait 20")
        server.generation = 2
        load.begin(2)
        load.done(2)
        report = load.round()
    assert not report["failed"], report
    assert report["by_generation"] == {"1": 20, "2": 20}
    assert report["connects"] == 20
