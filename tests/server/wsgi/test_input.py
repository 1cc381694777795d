"""``wsgi.input``: all of the body, nothing behind it, and an error instead of a body that broke off."""

from __future__ import annotations

import socket
from urllib.parse import quote

import pytest

from harness.noted import await_events, events, rest, serves
from harness.workers import Client, Generation, request

BODY = b"one\ntwo\r\n\nGET /closing HTTP/1.1\r\nHost: a\r\n\r\nend"
WHOLE = [
    "read", "read None", "read -1", "read much", "read pieces", "readline", "readline 3", "readlines", "readlines 4",
    "iterate", "mixed",
]  # fmt: skip
PARTS = {"nothing": b"", "read 0": b"", "read 2": BODY[:2]}


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def post(target: str, body: bytes = BODY, size: int = 0) -> bytes:
    """With Content-Length, or in chunks of ``size`` bytes."""
    if not size:
        return request(target, method="POST", body=body)
    return request(target, method="POST", more="Transfer-Encoding: chunked\r\n") + chunked(body, size)


@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
@pytest.mark.parametrize("size", [0, 1, 5, 1000])
@pytest.mark.parametrize("how", [*WHOLE, *PARTS])
def test_what_follows_the_body_is_the_next_request(client: Client, how: str, size: int, pieces: str) -> None:
    """However much of the body the application reads; and the body looks like a request."""
    data = (post(f"/reads?how={quote(how)}", size=size) + request("/reads?how=read")) * 2
    if pieces == "at once":
        client.send(data)
    else:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            client.send(data[at : at + 1])
    for _ in range(2):
        assert client.answer().body == PARTS.get(how, BODY)
        assert client.answer().body == b"", "a request without a body"


@pytest.mark.parametrize("how", [*WHOLE, *PARTS])
def test_without_a_body_there_is_nothing_to_read(client: Client, how: str) -> None:
    for _ in range(4):  # the later ones go the short way
        assert client.ask(f"/reads?how={quote(how)}").body == b""


@pytest.mark.parametrize("size", [0, 7, 5000])
def test_a_body_may_be_read_in_the_middle_of_the_response(client: Client, size: int) -> None:
    body = BODY * 100
    client.send(post("/reads_after_answer", body, size) + request("/closing"))
    assert client.answer().body == b"first " + body
    assert client.answer().body == b"ab"


@pytest.mark.parametrize(
    "data",
    [
        request("/TARGET", method="POST", more="Content-Length: 20\r\n") + b"a line\nshort",
        request("/TARGET", method="POST", more="Content-Length: 1000000\r\n") + b"x" * 300_000,
        request("/TARGET", method="POST", more="Transfer-Encoding: chunked\r\n"),
        request("/TARGET", method="POST", more="Transfer-Encoding: chunked\r\n") + b"5\r\nhe",
        request("/TARGET", method="POST", more="Transfer-Encoding: chunked\r\n") + b"5\r\nhell\n\r\n",
        request("/TARGET", method="POST", more="Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("target", [b"upload_breaks_off", b"upload_is_refused"])
def test_a_body_that_breaks_off_is_never_taken_for_a_whole_one(
    generation: Generation, client: Client, target: bytes, data: bytes
) -> None:
    client.send(data.replace(b"TARGET", target))
    client.socket.shutdown(socket.SHUT_WR)
    received = rest(client)
    assert received.count(b"HTTP/1.1 ") <= 1
    # A request that never came to its end need not be shown to the application at all.
    assert events(generation) in (
        ([], ["OSError"] * 4, ["OSError"] * 4 + ["close"]) if target == b"upload_breaks_off" else ([],)
    )
    serves(generation)


@pytest.mark.parametrize(
    "bad", [b"x\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloo\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"-5\r\nhello\r\n0\r\n\r\n"]
)
def test_a_chunk_that_is_none_is_a_400(generation: Generation, client: Client, bad: bytes) -> None:
    client.send(
        request("/upload_is_refused", method="POST", more="Transfer-Encoding: chunked\r\n") + bad + request("/closing")
    )
    answer = client.answer()
    assert (answer.status, answer.kept) == (400, False)
    assert client.ended()
    assert events(generation) == []


def test_a_client_that_vanishes_in_its_upload(generation: Generation, client: Client) -> None:
    client.send(request("/upload_breaks_off", method="POST", more="Content-Length: 100000\r\nExpect: 100-continue\r\n"))
    assert client.answer().status == 100
    client.send(b"a line\n" * 100)
    client.close()
    assert await_events(generation, 5) == ["OSError"] * 4 + ["close"]
    serves(generation)
