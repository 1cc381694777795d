"""WebSocket clients: refused with one line of the log, whatever the library does, and not counted; but nothing else is
left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.noted import rest
from harness.workers import Generation, Response, Worker, connect, eventually, listening, request
from releve.server.scoreboard.recorder import Sample

HANDSHAKE = (
    "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n"
)
NAMES = b"werkzeug.socket,gunicorn.socket,eventlet.input"


@pytest.fixture(scope="module")
def generation() -> Iterator[Generation]:
    with listening() as sock:
        made = Generation(8, [("127.0.0.1:8000", sock)])
        made.start("handshakes").resume()
        yield made
        made.close()


class Tally:
    """What has been counted and written since the test began.

    Each test waits for its own to be counted: they share a worker.
    """

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._worker: Worker = generation.workers[0]
        self._before = self._worker.numbers
        self._written = len(generation.log)

    @property
    def log(self) -> str:
        return self._generation.log[self._written :]

    def samples(self, path: str) -> list[Sample]:
        return [one for one in self._worker.told[0] if path in one.request]

    def becomes(self, *, requests: int = 0, failures: int = 0, own: int = 0) -> None:
        before = self._before
        due = (before.requests + requests, before.status_5xx + failures, before.own + own)

        def counted() -> bool:
            now = self._worker.numbers
            return (now.requests, now.status_5xx, now.own) == due

        eventually(counted, f"{due} are counted")


@pytest.fixture
def tally(generation: Generation) -> Tally:
    return Tally(generation)


def shake(generation: Generation, target: str, more: str = HANDSHAKE) -> Response:
    client = connect(generation)
    client.send(request(target, more=more))
    return client.answer()


@pytest.mark.parametrize("path", ["/raw", "/flask", "/eventlet", "/copied"])
def test_who_tries_to_accept_gets_501_and_the_log_one_line(generation: Generation, tally: Tally, path: str) -> None:
    for _ in range(2):
        answer = shake(generation, path)
        assert (answer.status, answer.headers["connection"]) == (501, "close")
    tally.becomes(own=2)
    lines = [line for line in tally.log.splitlines() if path in line]
    assert len(lines) == 2 and all("WebSocket clients" in line and "docs/troubleshooting.md" in line for line in lines)
    assert "Traceback" not in tally.log
    assert tally.samples(path) == []


@pytest.mark.parametrize(("path", "status"), [("/wrapped", 500), ("/answered", 503)])
def test_a_failure_that_is_made_of_it_is_not_counted(
    generation: Generation, tally: Tally, path: str, status: int
) -> None:
    """What the framework says of it stays; which page has the remedy is said beside that."""
    assert shake(generation, path).status == status
    tally.becomes(own=1)
    assert tally.log.count("docs/troubleshooting.md") == 1
    assert tally.samples(path) == []


def test_no_client_hides_a_failure(generation: Generation, tally: Tally) -> None:
    """Anybody can send the headers of a handshake, to anything: what has not tried to accept it counts as ever."""
    assert shake(generation, "/broken").status == 500
    tally.becomes(requests=1, failures=1)
    assert "RuntimeError: broken view" in tally.log
    assert tally.log.count("docs/troubleshooting.md") == 1, (
        "its client is told of all the same: it may be a library's own words"
    )


def test_an_attempt_behind_the_head_of_a_response_is_a_failure(generation: Generation, tally: Tally) -> None:
    client = connect(generation)
    client.send(request("/late", more=HANDSHAKE))
    assert rest(client).endswith(b"5\r\nbegun\r\n")
    tally.becomes(requests=1)
    assert "in the middle of its response" in tally.log


def test_what_does_not_try_is_an_ordinary_request(generation: Generation, tally: Tally) -> None:
    answer = shake(generation, "/plain")
    assert (answer.status, answer.body) == (200, b"plain")
    tally.becomes(requests=1)
    assert "docs/" not in tally.log


def test_an_environ_that_is_shown_or_copied_meets_an_object(generation: Generation, tally: Tally) -> None:
    answer = shake(generation, "/shown")
    tally.becomes(requests=1)
    assert answer.status == 200 and b"NoSocket" in answer.body and answer.body.endswith(b" False True")


@pytest.mark.parametrize(
    ("more", "names"),
    [
        (HANDSHAKE, NAMES),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", NAMES),
        ("", b""),
        ("Upgrade: websocket\r\n", b""),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n", b""),
    ],
    ids=["handshake", "least", "none", "no connection", "h2c"],
)
def test_only_a_handshake_has_the_names(generation: Generation, tally: Tally, more: str, names: bytes) -> None:
    client = connect(generation)
    for _ in range(3):  # a client that repeats itself is served in another way
        client.send(request("/names", more=more))
        assert client.answer().body == names
    tally.becomes(requests=3)


def test_another_request_that_fails_is_counted(generation: Generation, tally: Tally) -> None:
    assert shake(generation, "/raw", "").status == 500
    tally.becomes(requests=1, failures=1)
