"""``wsgi.file_wrapper`` around a file that the kernel can send: which bytes, how many, and closed exactly once."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from harness.noted import await_events, rest, serves
from harness.workers import Client, Generation, Worker, connect, eventually, request

CONTENT = b"0123456789" * 10_000
SIZE = len(CONTENT)
HUGE = 32 * 1024 * 1024


@pytest.fixture
def worker(generation: Generation) -> Worker:
    return generation.workers[0]


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, None, SIZE),
        (99_990, None, 10),
        (SIZE, None, 0),
        (SIZE + 5, None, 0),
        (0, 10, 10),
        (5, 10, 10),
        (0, 0, 0),
        (50_000, 50_000, 50_000),
        (0, SIZE, SIZE),
    ],
)
def test_its_bytes_from_its_position_to_its_length(
    generation: Generation, client: Client, offset: int, length: int | None, expected: int
) -> None:
    for _ in range(3):
        answer = client.ask(f"/kernel_file?offset={offset}" + ("" if length is None else f"&length={length}"))
        assert answer.body == CONTENT[offset:][:expected]
        assert await_events(generation) == ["close"]
    assert answer.kept
    serves(generation, client)


@pytest.mark.parametrize(("offset", "length"), [(99_990, 100), (0, SIZE + 1), (SIZE, 1)])
def test_a_file_that_is_too_short_ends_the_connection(
    generation: Generation, client: Client, offset: int, length: int
) -> None:
    client.send(request(f"/kernel_file?offset={offset}&length={length}") + request("/closing"))
    head, _, body = rest(client).partition(b"\r\n\r\n")
    assert f"content-length: {length}".encode() in head.lower()
    assert body == CONTENT[offset:]
    assert await_events(generation) == ["close"]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
)
def test_a_response_without_a_body_has_none(generation: Generation, client: Client, method: str, status: str) -> None:
    for _ in range(3):
        client.send(request(f"/kernel_file?status={quote(status)}", method=method) + request("/closing"))
        assert client.answer(head=True).status == int(status[:3])
        assert client.answer().body == b"ab", "the next response comes right behind the head"
        assert await_events(generation, 2) == ["close", "close"]


def test_a_client_of_http_1_0(generation: Generation, client: Client) -> None:
    client.send(b"GET /kernel_file HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
    for _ in range(2):
        answer = client.answer()
        assert (answer.body, answer.headers["content-length"]) == (CONTENT, str(SIZE))
    assert await_events(generation, 2) == ["close"] * 2


def test_a_slow_client_gets_all_of_it(generation: Generation, client: Client) -> None:
    """The file is closed long before its last byte is sent."""
    client.send(request("/huge_file") + request("/closing"))
    seen = await_events(generation)
    assert f"content-length: {HUGE}".encode() in client._until(b"\r\n\r\n").lower()
    left = HUGE - len(client._buffer)
    assert client._buffer == bytes(len(client._buffer))
    client._buffer = bytearray()
    while left:
        piece = client.socket.recv(min(left, 1 << 20))
        assert piece and piece == bytes(len(piece))
        left -= len(piece)
    assert client.answer().body == b"ab"
    assert seen + await_events(generation) == ["close", "close"], "the file, and the response after it"


def test_a_client_that_goes_away_leaves_no_descriptor(generation: Generation, worker: Worker) -> None:
    before = temporary(worker)  # its standard output is one
    for _ in range(3):
        client = connect(generation)
        client.send(request("/huge_file"))
        assert client.socket.recv(1000)
        client.close()
    seen = await_events(generation, 3)
    eventually(lambda: temporary(worker) == before, "all are let go")
    assert seen == ["close"] * 3


def temporary(worker: Worker) -> list[str]:
    """Files without a name that the worker has open."""
    return [name for name in worker.descriptors() if name.endswith("(deleted)") and not name.startswith("/memfd:")]


@pytest.mark.parametrize("kind", ["real", "other"])
@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        ("0", "", 100_000),
        ("99990", "", 10),
        ("0", "10", 10),
        ("50000", "50000", 50_000),
        ("99990", "100", 10),
        ("100000", "", 0),
    ],
)
def test_a_file_is_sent_from_where_it_stands(
    generation: Generation, client: Client, kind: str, offset: str, length: str, expected: int
) -> None:
    client.send(request(f"/wrapped?kind={kind}&offset={offset}&length={length}", more="Connection: close\r\n"))
    head, _, body = rest(client).partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        pieces, body = body, b""
        while pieces != b"0\r\n\r\n":
            size, _, pieces = pieces.partition(b"\r\n")
            body, pieces = body + pieces[: int(size, 16)], pieces[int(size, 16) + 2 :]
    assert body == ((b"0123456789" * 10_000)[int(offset) :][:expected] if kind == "real" else b"f" * expected)
    assert await_events(generation) == ["close"]


def test_a_file_for_head_is_closed_too(generation: Generation, client: Client) -> None:
    assert client.ask("/wrapped", method="HEAD").status == 200
    assert await_events(generation) == ["close"]
