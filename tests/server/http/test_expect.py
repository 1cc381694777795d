"""Expect: 100-continue (RFC 9110, 10.1.1)."""

from __future__ import annotations

import pytest

from harness.cases import Case, Mode, Server, bad, chunked, get, good, old, post

EXPECT = b"Expect: 100-continue"
CL = b"Content-Length: 5"

CASES = [
    good("with a length", post(EXPECT, CL, body=b"hello"), interim=True, body="hello"),
    good("chunked", chunked(b"5\r\nhello\r\n0\r\n\r\n", EXPECT), interim=True, body="hello"),
    good("in capitals", post(b"EXPECT: 100-CONTINUE", CL, body=b"hello"), interim=True, body="hello"),
    good("repeated", post(EXPECT, EXPECT, CL, body=b"hello"), interim=True, body="hello"),
    good(
        "as a list of equals",
        post(b"Expect: 100-continue, 100-continue", CL, body=b"hello"),
        interim=True,
        body="hello",
    ),
    good("in a list with gaps", post(b"Expect: ,100-continue, ,", CL, body=b"hello"), interim=True, body="hello"),
    good("nothing", post(b"Expect:", CL, body=b"hello"), body="hello"),
    good("a list of nothing", post(b"Expect: ,", CL, body=b"hello"), body="hello"),
    good("without a body", get(EXPECT)),
    good("with length zero", post(EXPECT, b"Content-Length: 0")),
    good("in 1.0", old(EXPECT, CL, method=b"POST", body=b"hello"), keep=False, body="hello"),
    good("something else in 1.0", old(b"Expect: x", CL, method=b"POST", body=b"hello"), keep=False, body="hello"),
    good("another field", post(b"X-Expect: x", CL, body=b"hello"), body="hello"),
    good("an underscore field", post(b"Expect_: x", CL, body=b"hello"), body="hello"),
    bad("something else", post(b"Expect: 200-ok", CL, body=b"hello"), 417),
    bad("something else without a body", get(b"Expect: x"), 417),
    bad("something else in a list", post(b"Expect: 100-continue, x", CL, body=b"hello"), 417),
    bad("something else in a second field", post(EXPECT, b"Expect: x", CL, body=b"hello"), 417),
    bad("something else in a list with gaps", post(b"Expect: , x", CL, body=b"hello"), 417),
    bad("with a parameter", post(b"Expect: 100-continue;a=b", CL, body=b"hello"), 417),
    bad("half of it", post(b"Expect: 100", CL, body=b"hello"), 417),
    bad("in quotes", post(b'Expect: "100-continue"', CL, body=b"hello"), 417),
    bad("with a length and a coding", post(EXPECT, CL, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    bad("with too long a body", post(EXPECT, b"Content-Length: 1001"), 413),
    bad("without Host", post(EXPECT, CL, body=b"hello").replace(b"Host: a\r\n", b"")),
]


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_expect(server: Server, case: Case, mode: Mode) -> None:
    server.play(case, mode)


@pytest.mark.parametrize("mode", (Mode.WHOLE, Mode.BYTES, Mode.PIECES), ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    ("field", "body"),
    [(CL, b"hello"), (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")],
    ids=["length", "chunked"],
)
def test_a_client_that_waits_is_told_to_go_on(server: Server, field: bytes, body: bytes, mode: Mode) -> None:
    with server.wire(mode) as wire:
        wire.send(post(EXPECT, field), mode)
        assert wire.answer().status == 100
        wire.send(body, mode)
        answer = wire.answer()
        assert (answer.status, answer.seen["body"]) == (200, "hello")
        wire.send(get())  # said once, and the connection is still good
        assert wire.answer().status == 200


def test_a_client_that_waits_for_nothing_is_answered_and_left(server: Server) -> None:
    """The application reads nothing, so no 100 was sent: nobody knows whether the body will come."""
    with server.wire() as wire:
        wire.send(post(EXPECT, CL, target=b"/unread"))
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        wire.end()


@pytest.mark.parametrize(
    ("field", "status"),
    [(b"Content-Length: 1001", 413), (b"Content-Length: x", 400), (b"Transfer-Encoding: gzip, chunked", 501)],
)
def test_a_client_that_waits_in_vain_is_told_at_once(server: Server, field: bytes, status: int) -> None:
    with server.wire() as wire:
        wire.send(post(EXPECT, field))
        assert wire.answer().status == status
        wire.end()
