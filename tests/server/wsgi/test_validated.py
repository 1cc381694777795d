"""PEP 3333, by ``wsgiref.validate``: around many small applications on a real worker it finds nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.validated import CASES, Case
from harness.workers import Client, Generation, listening


@pytest.fixture(scope="module")
def generation() -> Iterator[Generation]:
    with listening() as sock:
        made = Generation(8, [("127.0.0.1:8000", sock)])
        made.start("validated", threads=4).resume()
        yield made
        made.close()


@pytest.fixture
def client(generation: Generation) -> Client:
    return Client(generation.listeners[0][1].getsockname())


def send(client: Client, name: str, case: Case, version: str = "1.1", more: str = "") -> None:
    framing = "" if "chunked" in case.more or not case.body else f"Content-Length: {len(case.body)}\r\n"
    head = (
        f"{case.method} /{name.replace(' ', '-')}{case.query} HTTP/{version}\r\nHost: a\r\n"
        f"{case.more}{framing}{more}\r\n"
    )
    client.send(head.encode() + case.body)


@pytest.mark.parametrize("name", CASES)
def test_the_validator_finds_nothing(generation: Generation, client: Client, name: str) -> None:
    """Again and again on one connection, since a later request may take another way than the first; then the next one
    is found.
    """
    case = CASES[name]
    for _ in range(3):
        send(client, name, case)
        answer = client.answer(head=case.method == "HEAD")
        assert (answer.status, answer.body) == (case.status, case.expected), generation.log[-3000:]
        assert "date" in answer.headers
        if not answer.kept:  # the answer began while much of the body was still to come
            assert name == "echo"
            client = Client(generation.listeners[0][1].getsockname())
    send(client, "list", CASES["list"])
    assert client.answer().body == b"ok"
    assert "AssertionError" not in generation.log
    assert "without being closed" not in generation.log


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "chunked" not in case.more])
def test_neither_does_it_for_a_client_of_http_1_0(generation: Generation, client: Client, name: str) -> None:
    case = CASES[name]
    send(client, name, case, "1.0")
    data = b""
    while piece := client.socket.recv(65536):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    assert (int(head.split(b" ")[1]), body) == (case.status, case.expected)
    assert b"chunked" not in head.lower()
    assert "AssertionError" not in generation.log
