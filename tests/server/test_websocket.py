"""WebSocket clients: refused with one line of the log, whatever the library does, and not counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.workers import Generation, Response, Worker, connect, eventually, request

HANDSHAKE = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n"


@pytest.fixture
def worker(generation: Generation) -> Iterator[Worker]:
    made = generation.start("handshakes")
    made.resume()
    yield made


def shake(generation: Generation, target: str, more: str = HANDSHAKE) -> Response:
    client = connect(generation)
    client.send(request(target, more=more))
    return client.answer()


@pytest.mark.parametrize("path", ["/raw", "/flask"])
def test_who_tries_to_accept_gets_501_and_the_log_one_line(generation: Generation, worker: Worker, path: str) -> None:
    for _ in range(2):
        answer = shake(generation, path)
        assert (answer.status, answer.headers["connection"]) == (501, "close")
    eventually(lambda: worker.numbers.own == 2, "they are counted as no requests")
    assert (worker.numbers.requests, worker.numbers.status_5xx) == (0, 0)
    lines = [line for line in generation.log.splitlines() if path in line]
    assert len(lines) == 2 and all("WebSocket clients" in line and "docs/troubleshooting.md" in line for line in lines)
    assert "Traceback" not in generation.log


@pytest.mark.parametrize("path", ["/none", "/wrapped"])
def test_a_failure_that_is_made_of_it_is_not_counted(generation: Generation, worker: Worker, path: str) -> None:
    """What the framework says of it stays; which page has the remedy is said beside that."""
    assert shake(generation, path).status == 500
    eventually(lambda: worker.numbers.own == 1, "it is counted as no request")
    assert worker.numbers.requests == 0
    assert generation.log.count("docs/troubleshooting.md") == 1


def test_what_does_not_try_is_an_ordinary_request(generation: Generation, worker: Worker) -> None:
    answer = shake(generation, "/plain")
    assert (answer.status, answer.body) == (200, b"plain")
    eventually(lambda: worker.numbers.requests == 1, "it is counted")
    assert "docs/" not in generation.log


def test_an_environ_that_is_shown_or_copied_meets_an_object(generation: Generation, worker: Worker) -> None:
    answer = shake(generation, "/shown")
    assert answer.status == 200 and b"NoSocket" in answer.body and answer.body.endswith(b"False")


@pytest.mark.parametrize(
    ("more", "names"),
    [
        (HANDSHAKE, b"werkzeug.socket,gunicorn.socket"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", b"werkzeug.socket,gunicorn.socket"),
        ("", b""),
        ("Upgrade: websocket\r\n", b""),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n", b""),
    ],
)
def test_only_a_handshake_has_the_names(generation: Generation, worker: Worker, more: str, names: bytes) -> None:
    assert shake(generation, "/names", more).body == names


def test_another_request_that_fails_is_counted(generation: Generation, worker: Worker) -> None:
    assert shake(generation, "/raw", "").status == 500
    eventually(lambda: worker.numbers.status_5xx == 1, "it is counted")
