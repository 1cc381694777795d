"""Clients that send or read slowly: they hold memory of the loop, and no more than half of the threads."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from pathlib import Path

import pytest

from harness.workers import Client, Generation, Worker, connect, eventually, request

HEAD = "POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n"
SLOW = 8  # clients, of each kind


def start(generation: Generation, **settings: object) -> Worker:
    worker = generation.start("slowness", **settings)  # type: ignore[arg-type]
    worker.resume()
    return worker


def post(generation: Generation, length: int, sent: bytes = b"", more: str = "") -> Client:
    client = connect(generation)
    client.send((HEAD % (length, more)).encode() + sent)
    return client


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_many_slow_bodies_leave_threads_for_others(generation: Generation, threads: int) -> None:
    worker = start(generation, threads=threads)
    slow = [post(generation, 10, b"1234") for _ in range(SLOW)]
    eventually(lambda: worker.numbers.connections == SLOW, "all are there")
    for _ in range(3):
        assert connect(generation).ask("/fast").body == b"fast"
    for client in slow:
        client.send(b"567890")
    for client in slow:
        assert client.answer().body == digest(b"1234567890")
        assert client.ask("/fast").body == b"fast", "and the connection stays"


def test_a_body_reaches_the_application_before_it_is_complete(generation: Generation) -> None:
    start(generation, threads=4)
    client = post(generation, 8, b"one\n")
    client.send(b"")
    other = connect(generation)
    eventually(lambda: other.ask("/lines").body == b"0", "nobody has a line yet")
    client.close()
    talker = connect(generation)
    talker.send(b"POST /talk HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\none\n")
    eventually(lambda: other.ask("/lines").body == b"1", "the application has the first line")
    talker.send(b"two\n")
    assert talker.answer().body == b"2"


def test_who_waits_for_100_continue_gets_it_in_a_crowd(generation: Generation) -> None:
    worker = start(generation, threads=2)
    slow = [post(generation, 10, b"1") for _ in range(3)]
    eventually(lambda: worker.numbers.connections == 3, "all are there")
    client = post(generation, 4, more="Expect: 100-continue\r\n")
    assert client.answer().status == 100
    client.send(b"abcd")
    assert client.answer().body == digest(b"abcd")
    for one in slow:
        one.send(b"234567890")
        assert one.answer().status == 200


def test_large_bodies_in_a_crowd_wait_for_a_thread(generation: Generation) -> None:
    worker = start(generation, threads=2)
    first = post(generation, 10, b"1")  # has the one thread that may wait for a client
    eventually(lambda: worker.numbers.connections == 1, "it is there")
    assert connect(generation).ask("/fast").body == b"fast"
    large = bytes(range(256)) * 4096
    others = [post(generation, len(large), large[:200_000]) for _ in range(4)]
    assert connect(generation).ask("/fast").body == b"fast"
    first.send(b"234567890")
    assert first.answer().body == digest(b"1234567890")
    for client in others:
        client.send(large[200_000:])
    for client in others:
        assert client.answer().body == digest(large)


def test_chunked_bodies_are_collected_too(generation: Generation) -> None:
    start(generation, threads=1)
    clients = [connect(generation) for _ in range(3)]
    for client in clients:
        client.send(b"POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
    assert connect(generation).ask("/fast").body == b"fast"
    for client in clients:
        client.send(b"lo\r\n0\r\n\r\n" + request("/fast"))
        assert client.answer().body == digest(b"hello")
        assert client.answer().body == b"fast"
    client.send(b"POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
    client.send(b"l" * 5)
    answer = client.answer()
    assert answer.status == 400 and not answer.kept


def test_a_client_that_leaves_in_the_middle_of_its_body(generation: Generation) -> None:
    worker = start(generation, threads=1)
    client = post(generation, 10, b"1")
    eventually(lambda: worker.numbers.connections == 1, "it is there")
    client.close()
    eventually(lambda: worker.numbers.connections == 0, "it is gone")


@pytest.mark.parametrize("threads", [1, 4])
def test_a_body_that_comes_too_slowly_is_given_up(generation: Generation, threads: int) -> None:
    """A byte now and then is progress, and yet too slow: 8 bytes in a window of 0.5 s, 500 are due."""
    start(generation, threads=threads, timeouts={"body": 0.5, "min_rate": 1000})
    client = post(generation, 1000)
    client.socket.settimeout(0.06)
    data = b""
    for _ in range(200):
        client.send(b"x")
        try:
            data = client.socket.recv(65536)
        except TimeoutError:
            continue
        break
    assert data.startswith(b"HTTP/1.1 408 ") and b"\r\nConnection: close\r\n" in data


@pytest.mark.parametrize("target", ["/file", "/bytes"])
def test_slow_readers_hold_no_thread(generation: Generation, target: str, tmp_path: Path) -> None:
    """The end of a response whose length is known is sent by the loop, from memory or from a file that is closed by
    then.
    """
    worker = start(generation, threads=2)
    content = bytes(range(256)) * 40_000
    path = tmp_path / "file"
    path.write_bytes(content)
    clients = []
    for _ in range(SLOW):
        client = Client(generation.listeners[0][1].getsockname())
        client.send(request(f"{target}?{path}"))
        clients.append(client)
    eventually(lambda: worker.numbers.connections == SLOW, "all are there")
    for _ in range(3):
        assert connect(generation).ask("/fast").body == b"fast"
    for client in clients:
        assert hashlib.sha256(client.answer().body).digest() == hashlib.sha256(content).digest()
        assert client.ask("/fast").body == b"fast"
    assert str(path) not in worker.descriptors()


def test_a_file_that_becomes_shorter_ends_the_connection(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, threads=2)
    path = tmp_path / "file"
    path.write_bytes(b"x" * 20_000_000)
    client = connect(generation)
    client.send(request(f"/file?{path}"))
    client.socket.recv(1, socket.MSG_PEEK)
    path.write_bytes(b"")
    with pytest.raises(AssertionError, match="closed the connection"):
        client.answer()
    eventually(lambda: str(path) not in worker.descriptors(), "the file is closed")
    assert connect(generation).ask("/fast").body == b"fast"


def test_a_reader_that_is_too_slow_is_given_up(generation: Generation) -> None:
    worker = start(generation, threads=2, timeouts={"write": 0.5, "min_rate": 1_000_000})
    client = connect(generation)
    client.send(request("/many"))
    eventually(lambda: worker.numbers.connections == 1, "it is there")

    def dripped() -> bool:
        with contextlib.suppress(OSError):
            client.socket.recv(1000)
        return worker.numbers.connections == 0

    eventually(dripped, "it is closed, though it takes something all the time")
