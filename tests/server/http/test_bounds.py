"""Limits: what is at them is served, what is over them is refused before its end arrives; what does not come in time is
408.
"""

from __future__ import annotations

import contextlib

import pytest

from harness.cases import (
    HEAD,
    HEADER,
    HEADERS,
    REQUEST_LINE,
    Case,
    Mode,
    Server,
    Wire,
    bad,
    chunked,
    first,
    get,
    good,
    post,
    serving,
)


def line(length: int) -> bytes:
    """A request line of so many bytes."""
    return b"GET /" + b"x" * (length - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"


def field(length: int, name: bytes = b"A: ") -> bytes:
    return name + b"x" * (length - len(name))


def head(length: int) -> bytes:
    """A request with a head of so many bytes, every field of it well below its own limit."""
    count = (length - len(get())) // (HEADER // 2)
    room = length - len(get()) - count * 2
    return get(*(field(room // count + (number < room % count)) for number in range(count)))


FIELD, MANY, WHOLE = "a header field is too long", "too many header fields", "the request head is too long"

CASES = [
    # the request line
    good("request line at the limit", first(line(REQUEST_LINE)), PATH_INFO="/" + "x" * (REQUEST_LINE - 14)),
    good("request line below the limit", first(line(REQUEST_LINE - 1))),
    good("request line at the limit behind an empty line", b"\r\n" + first(line(REQUEST_LINE))),
    bad("request line over the limit", first(line(REQUEST_LINE + 1)), 414),
    bad("request line far over the limit", first(line(REQUEST_LINE * 4)), 414),
    bad("request line over the limit in its query", first(b"GET /?" + b"x" * REQUEST_LINE + b" HTTP/1.1"), 414),
    bad("method over the limit", first(b"M" * REQUEST_LINE + b" / HTTP/1.1"), 414),
    bad("method without end", b"M" * (REQUEST_LINE * 3), 414),
    bad("target without end", b"GET /" + b"x" * (REQUEST_LINE * 3), 414),
    bad("version without end", b"GET / HTTP/1." + b"1" * (REQUEST_LINE * 3), 414),
    bad("spaces without end", b"GET" + b" " * (REQUEST_LINE * 3), 414),
    bad("absolute target over the limit", first(b"GET http://a/" + b"x" * REQUEST_LINE + b" HTTP/1.1"), 414),
    # one field
    good("field at the limit", get(field(HEADER)), HTTP_A="x" * (HEADER - 3)),
    good("field below the limit", get(field(HEADER - 1))),
    good("field at the limit, the last one of two", get(b"B: c", field(HEADER))),
    good("name at the limit", get(b"x" * (HEADER - 3) + b": y")),
    bad("field over the limit", get(field(HEADER + 1)), 431, FIELD),
    bad("field over the limit, the first one of two", get(field(HEADER + 1), b"B: c"), 431, FIELD),
    bad("field far over the limit", get(field(HEADER * 4)), 431, FIELD),
    bad("field over the limit by white space", get(b"A: b" + b" " * HEADER), 431, FIELD),
    bad("name over the limit", get(b"x" * HEADER + b": y"), 431, FIELD),
    bad("cookie over the limit", get(field(HEADER + 1, b"Cookie: ")), 431, FIELD),
    bad("underscore field over the limit", get(field(HEADER + 1, b"X_A: ")), 431, FIELD),
    bad("Host over the limit", get(host=field(HEADER + 1, b"Host: ")), 431, FIELD),
    bad("field without end", get()[:-2] + b"A: " + b"x" * (HEADER * 3), 431, FIELD),
    bad("name without end", get()[:-2] + b"x" * (HEADER * 3), 431, FIELD),
    # the number of fields
    good("as many fields as allowed", get(*[b"A: b"] * (HEADERS - 1)), HTTP_A=",".join("b" * (HEADERS - 1))),
    good(
        "as many different fields as allowed", get(*[b"A%d: b" % number for number in range(HEADERS - 1)]), HTTP_A18="b"
    ),
    bad("one field too many", get(*[b"A: b"] * HEADERS), 431, MANY),
    bad("one different field too many", get(*[b"A%d: b" % number for number in range(HEADERS)]), 431, MANY),
    bad("underscore fields too many", get(*[b"X_A: b"] * HEADERS), 431, MANY),
    bad("fields without end", get()[:-2] + b"A: b\r\n" * (HEADERS * 3), 431, MANY),
    # the head in all
    good("head at the limit", head(HEAD)),
    good("head below the limit", head(HEAD - 1)),
    bad("head over the limit", head(HEAD + 1), 431, WHOLE),
    bad("head far over the limit", head(HEAD + 1000), 431, WHOLE),
    # limits come before the grammar only where the end is not in sight
    bad("request line over the limit and then nonsense", first(line(REQUEST_LINE + 1)) + b"nonsense", 414),
]


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_limits(server: Server, case: Case, mode: Mode) -> None:
    server.play(case, mode)


LATE = {
    "a method": b"GET",
    "a request line": b"GET / HTTP/1.1",
    "a request line and CR": b"GET / HTTP/1.1\r",
    "a request line and its end": b"GET / HTTP/1.1\r\n",
    "a request line behind an empty line": b"\r\nGET / HTTP/1.1\r\n",
    "a field": get()[:-4],
    "a field and its end": get()[:-2],
    "all but the last byte": get()[:-1],
    "a body that does not come": post(b"Content-Length: 5"),
    "a body that is short": post(b"Content-Length: 5", body=b"hell"),
    "a chunked body that does not come": chunked(b""),
    "a chunk size": chunked(b"5"),
    "a chunk that is short": chunked(b"5\r\nhell"),
    "a chunk without its end": chunked(b"5\r\nhello"),
    "chunks without the last": chunked(b"5\r\nhello\r\n"),
    "a last chunk without its end": chunked(b"5\r\nhello\r\n0\r\n"),
    "trailers without their end": chunked(b"0\r\nA: b\r\n"),
    "a huge chunk": chunked(b"fffffffffffffff\r\nhello"),
}


def test_what_does_not_come_in_time_is_408() -> None:
    """All at once, since each takes its time."""
    with (
        serving(threads=len(LATE), timeouts={"header": 0.4, "body": 0.4}) as server,
        contextlib.ExitStack() as open_wires,
    ):
        wires: dict[str, Wire] = {name: open_wires.enter_context(server.wire()) for name in LATE}
        for name, data in LATE.items():
            wires[name].send(data)
        for name, wire in wires.items():
            answer = wire.answer()
            assert (answer.status, answer.headers["connection"]) == (408, "close"), name
            wire.end()


def test_heads_are_as_long_as_they_say() -> None:
    assert [len(head(length)) for length in (HEAD - 1, HEAD, HEAD + 1, HEAD + 1000)] == [
        HEAD - 1,
        HEAD,
        HEAD + 1,
        HEAD + 1000,
    ]
    assert len(line(REQUEST_LINE)) == REQUEST_LINE and len(field(HEADER)) == HEADER
