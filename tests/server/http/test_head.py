"""The head parser: every case whole, byte by byte, and with the next request right behind it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from releve.config.settings.limits import Limits
from releve.server.http.head import Head, HTTPError, Partial, head_end, parse_head

LIMITS = Limits(request_line=100, headers=6, header=80, head=400, body=1000)
FOLLOWER = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"


def get(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join((first, host, *lines)) + b"\r\n\r\n"


def first(line: bytes) -> bytes:
    return get(first=line)


def host(value: bytes) -> bytes:
    return get(host=b"Host:" + value)


def post(*lines: bytes) -> bytes:
    return get(*lines, first=b"POST / HTTP/1.1")


def old(*lines: bytes) -> bytes:
    return b"\r\n".join((b"POST / HTTP/1.0", *lines)) + b"\r\n\r\n"


REFUSED: list[tuple[int, bytes]] = [
    # the request line
    (400, first(b"GET  / HTTP/1.1")),
    (400, first(b"GET /  HTTP/1.1")),
    (400, first(b"GET\t/ HTTP/1.1")),
    (400, first(b" GET / HTTP/1.1")),
    (400, first(b"GET / HTTP/1.1 ")),
    (400, first(b"GET /a b HTTP/1.1")),
    (400, first(b"GET /\x0b HTTP/1.1")),
    (400, first(b"GET /\x00 HTTP/1.1")),
    (400, first(b"GET /\x7f HTTP/1.1")),
    (400, first(b"GET /a\rb HTTP/1.1")),
    (400, first(b"GET /#fragment HTTP/1.1")),
    (400, first(b"GET HTTP/1.1")),
    (400, first(b"GET")),
    (400, first(b"GET /")),
    (400, first(b"/ HTTP/1.1")),
    (400, first(b"G(T / HTTP/1.1")),
    (400, first(b"G\xc3\x8bT / HTTP/1.1")),
    (400, first(b'"GET" / HTTP/1.1')),
    (400, first(b"GET / http/1.1")),
    (400, first(b"GET / HTTP/1")),
    (400, first(b"GET / HTTP/1.1.1")),
    (400, first(b"GET / HTTP/11")),
    (400, first(b"GET / HTTP/1.10")),
    (400, first(b"GET / HTTP/ 1.1")),
    (400, first(b"GET / HTTP/1,1")),
    (400, first(b"GET / HTTP/+1.1")),
    (400, first(b"GET / HTTPS/1.1")),
    (400, first("GET / HTTP/١.1".encode())),
    (505, first(b"GET / HTTP/0.9")),
    (505, first(b"GET / HTTP/1.2")),
    (505, first(b"GET / HTTP/2.0")),
    (505, first(b"GET / HTTP/3.0")),
    (505, b"PRI * HTTP/2.0\r\n\r\n"),
    (501, first(b"CONNECT a:443 HTTP/1.1")),
    (501, first(b"CONNECT / HTTP/1.1")),
    # the target
    (400, first(b"GET * HTTP/1.1")),
    (400, first(b"OPTIONS ** HTTP/1.1")),
    (400, first(b"GET index.html HTTP/1.1")),
    (400, first(b"GET ?q HTTP/1.1")),
    (400, first(b"GET a:80 HTTP/1.1")),
    (400, first(b"GET ftp://a/ HTTP/1.1")),
    (400, first(b"GET javascript:x HTTP/1.1")),
    (400, first(b"GET http:/a HTTP/1.1")),
    (400, first(b"GET http:///a HTTP/1.1")),
    (400, first(b"GET http:// HTTP/1.1")),
    (400, first(b"GET http://u@a/ HTTP/1.1")),
    (400, first(b"GET http://a,b/ HTTP/1.1")),
    (400, first(b"GET http://a:99999/ HTTP/1.1")),
    # line ends
    (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n"),
    (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    (400, get(b"A: b\nC: d")),
    (400, get(b"A: b\rC: d")),
    (400, get(b"A: b\r\r")),
    (400, get(b"A: b\r\rC: d")),
    (400, b"\r\n\r\n"),
    (400, b"\r\n\r\n" + get()),
    (400, b"\n" + get()),
    # fields
    (400, get(b"A")),
    (400, get(b": b")),
    (400, get(b" A: b")),
    (400, get(b"\tA: b")),
    (400, get(b"A : b")),
    (400, get(b"A\t: b")),
    (400, get(b"A b: c")),
    (400, get(b"A: b", b" c")),
    (400, get(b"A: b", b"\tc")),
    (400, get(b"A:", b" ")),
    (400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    (400, get(b"A: \x00")),
    (400, get(b"A: \x01")),
    (400, get(b"A: b\x0bc")),
    (400, get(b"A: b\x0cc")),
    (400, get(b"A: \x1b[31m")),
    (400, get(b"A: \x7f")),
    (400, get(b"A\x00: b")),
    (400, get(b"\xc3\xa4: b")),
    (400, get(b"A(b): c")),
    (400, get(b"A,b: c")),
    (400, get(b'"A": c')),
    (400, get(b"A/b: c")),
    (400, get(b"A;b: c")),
    (400, get(b"{A}: c")),
    # Host
    (400, b"GET / HTTP/1.1\r\n\r\n"),
    (400, b"GET http://a/ HTTP/1.1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nX-Host: a\r\n\r\n"),
    (400, get(b"Host: a")),
    (400, get(b"host: b")),
    (400, get(b"Host: a", host=b"Host: a", first=b"GET / HTTP/1.0")),
    (400, host(b"")),
    (400, host(b" ")),
    (400, host(b"a b")),
    (400, host(b"a,b")),
    (400, host(b"a/b")),
    (400, host(b"a?b")),
    (400, host(b"a@b")),
    (400, host(b"a#b")),
    (400, host(b"a\\b")),
    (400, host(b"<a>")),
    (400, host(b"a:b")),
    (400, host(b"a:80:80")),
    (400, host(b"a:-1")),
    (400, host(b"a:+80")),
    (400, host(b"a: 80")),
    (400, host(b"a:65536")),
    (400, host(b"a:000080")),
    (400, host(b":80")),
    (400, host(b"[::1")),
    (400, host(b"::1")),
    (400, host(b"[]")),
    (400, host(b"[:::1]")),
    (400, host(b"[::1]a")),
    (400, host(b"[1.2.3.4]")),
    (400, host(b"[fe80::1%25eth0]")),
    (400, host(b"a%2")),
    (400, host(b"a%zz")),
    (400, host(b"\xc3\xa4")),
    (400, b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
    # Content-Length
    (400, post(b"Content-Length:")),
    (400, post(b"Content-Length: +5")),
    (400, post(b"Content-Length: -5")),
    (400, post(b"Content-Length: 5.0")),
    (400, post(b"Content-Length: 0x5")),
    (400, post(b"Content-Length: 5 5")),
    (400, post(b"Content-Length: 5,5")),
    (400, post(b"Content-Length: 5, 6")),
    (400, post(b"Content-Length: 5;")),
    (400, post(b"Content-Length: 5_0")),
    (400, post(b"Content-Length: five")),
    (400, post(b"Content-Length: \xb2")),
    (400, post("Content-Length: ٥".encode())),
    (400, post(b"Content-Length: 1234567890123456789")),
    (400, post(b"Content-Length: " + b"0" * 40)),
    (400, post(b"Content-Length: 5", b"Content-Length: 5")),
    (400, post(b"Content-Length: 5", b"content-length: 6")),
    (413, post(b"Content-Length: 1001")),
    # Transfer-Encoding
    (400, post(b"Transfer-Encoding: chunked", b"Content-Length: 5")),
    (400, post(b"Content-Length: 5", b"Transfer-Encoding: chunked")),
    (400, post(b"Content-Length: 5", b"Transfer-Encoding:")),
    (400, post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    (400, post(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")),
    (400, post(b"Transfer-Encoding: chunked, chunked")),
    (400, post(b"Transfer-Encoding: chunked, gzip")),
    (400, post(b"Transfer-Encoding: chunked,")),
    (400, post(b"Transfer-Encoding: , chunked")),
    (400, post(b"Transfer-Encoding: gzip")),
    (400, post(b"Transfer-Encoding: identity")),
    (400, post(b"Transfer-Encoding:")),
    (400, post(b"Transfer-Encoding: xchunked")),
    (400, post(b"Transfer-Encoding: chunked;q=1")),
    (400, post(b'Transfer-Encoding: "chunked"')),
    (400, post(b"Transfer-Encoding: chunked gzip")),
    (400, post(b"Transfer-Encoding: \x0bchunked")),
    (400, post(b"Transfer-Encoding : chunked")),
    (400, post("Transfer-Encoding: chun\u212aed".encode())),
    (501, post(b"Transfer-Encoding: gzip, chunked")),
    (501, post(b"Transfer-Encoding: identity, chunked")),
    (400, old(b"Transfer-Encoding: chunked")),
    (400, old(b"Transfer-Encoding: identity")),
    # Expect
    (417, post(b"Expect: 200-ok", b"Content-Length: 1")),
    (417, post(b"Expect: 100-continue, x", b"Content-Length: 1")),
    (417, post(b"Expect: ,x,", b"Content-Length: 1")),
    # limits
    (414, first(b"GET /" + b"a" * 100 + b" HTTP/1.1")),
    (414, b"A" * 101),
    (431, get(b"A: " + b"b" * 78)),
    (431, get(b"A: " + b"b" * 500)),
    (431, get(*[b"A: b"] * 6)),
    (431, get(*[b"A: " + b"b" * 70] * 5, host=b"Host: " + b"a" * 70)),
    # other protocols
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    (400, b"\x00"),
    (400, b"GET /\r\n"),
    (400, b"SSH-2.0-OpenSSH_9.2\r\n"),
]

ACCEPTED: list[tuple[bytes, dict[str, Any]]] = [
    (
        get(),
        {
            "method": "GET",
            "target": "/",
            "version": (1, 1),
            "headers": [("Host", "a")],
            "keep_alive": True,
            "content_length": None,
        },
    ),
    (get(), {"chunked": False, "expect_continue": False}),
    (b"\r\n" + get(), {"method": "GET"}),
    (first(b"get / HTTP/1.1"), {"method": "get"}),
    (first(b"PROPFIND / HTTP/1.1"), {"method": "PROPFIND"}),
    (first(b"M-SEARCH / HTTP/1.1"), {"method": "M-SEARCH"}),
    (first(b"!#$%&'*+-.^_`|~09 / HTTP/1.1"), {"method": "!#$%&'*+-.^_`|~09"}),
    (first(b"GET //a//b HTTP/1.1"), {"target": "//a//b"}),
    (first(b"GET /?a=b?c&{x}|y HTTP/1.1"), {"target": "/?a=b?c&{x}|y"}),
    (first("GET /ä HTTP/1.1".encode()), {"target": "/Ã¤"}),
    (first(b"OPTIONS * HTTP/1.1"), {"target": "*"}),
    (first(b"GET http://a/ HTTP/1.1"), {"target": "http://a/"}),
    (first(b"GET HTTPS://a:8443?q HTTP/1.1"), {"target": "HTTPS://a:8443?q"}),
    (get(first=b"GET http://[::1]:80/ HTTP/1.1", host=b"Host: b"), {"target": "http://[::1]:80/"}),
    (b"GET / HTTP/1.0\r\n\r\n", {"version": (1, 0), "headers": [], "keep_alive": False}),
    (host(b"a"), {"headers": [("Host", "a")]}),
    (host(b"\t a.example:8000 \t"), {"headers": [("Host", "a.example:8000")]}),
    (host(b" a:"), {"headers": [("Host", "a:")]}),
    (host(b" 127.0.0.1:65535"), {"headers": [("Host", "127.0.0.1:65535")]}),
    (host(b" [::1]:80"), {"headers": [("Host", "[::1]:80")]}),
    (host(b" [::ffff:1.2.3.4]"), {"headers": [("Host", "[::ffff:1.2.3.4]")]}),
    (host(b" under_score.example"), {}),
    (host(b" %41.example"), {}),
    (get(b"A:"), {"headers": [("Host", "a"), ("A", "")]}),
    (get(b"A:b"), {"headers": [("Host", "a"), ("A", "b")]}),
    (get(b"A: b  c\t"), {"headers": [("Host", "a"), ("A", "b  c")]}),
    (get(b"A: \xe4"), {"headers": [("Host", "a"), ("A", "ä")]}),
    (get(b"A: \x85b\xa0"), {"headers": [("Host", "a"), ("A", "\x85b\xa0")]}),
    (get(b"A: b:c"), {"headers": [("Host", "a"), ("A", "b:c")]}),
    (get(b"A: 1", b"a: 2"), {"headers": [("Host", "a"), ("A", "1"), ("a", "2")]}),
    (get(b"!#$%&'*+-.^_`|~: 1"), {}),
    (get(*[b"A: b"] * 5), {}),
    (get(b"A: " + b"b" * 77), {}),
    (first(b"GET /" + b"a" * 86 + b" HTTP/1.1"), {}),
    (post(b"Content-Length: 0"), {"content_length": 0, "has_body": False}),
    (post(b"Content-Length: \t5 "), {"content_length": 5, "has_body": True}),
    (post(b"Content-Length: 007"), {"content_length": 7}),
    (post(b"CONTENT-LENGTH: 1000"), {"content_length": 1000}),
    (post(b"Transfer-Encoding: chunked"), {"chunked": True, "content_length": None, "has_body": True}),
    (post(b"transfer-encoding: Chunked \t"), {"chunked": True}),
    (get(b"Content-Length: 5"), {"content_length": 5}),
    (post(b"Content_Length: 5"), {"content_length": None, "has_body": False}),
    (old(b"Content-Length: 5"), {"content_length": 5, "keep_alive": False}),
    (post(b"Expect: 100-continue", b"Content-Length: 1"), {"expect_continue": True}),
    (post(b"Expect: 100-Continue", b"Content-Length: 1"), {"expect_continue": True}),
    (post(b"Expect: , 100-continue,", b"Content-Length: 1"), {"expect_continue": True}),
    (post(b"Expect:", b"Content-Length: 1"), {"expect_continue": False}),
    (old(b"Expect: 100-continue", b"Content-Length: 1"), {"expect_continue": False}),
    (old(b"Expect: anything", b"Content-Length: 1"), {"expect_continue": False}),
    (get(b"Connection: close"), {"keep_alive": False}),
    (get(b"Connection: CLOSE"), {"keep_alive": False}),
    (get(b"Connection: keep-alive"), {"keep_alive": True}),
    (get(b"Connection: keep-alive, close"), {"keep_alive": False}),
    (get(b"Connection: foo,\tclose"), {"keep_alive": False}),
    (get(b"Connection: close", b"Connection: keep-alive"), {"keep_alive": False}),
    (get(b"Connection: keep-alive", b"connection: x, close"), {"keep_alive": False}),
    (get(b"Connection: closed"), {"keep_alive": True}),
    (get(b"Connection: x close"), {"keep_alive": False}),
    (get(b"Connection: , ,"), {"keep_alive": True}),
    (get(b"Connection: upgrade", b"Upgrade: h2c"), {"keep_alive": True}),
    (old(b"Connection: keep-alive"), {"keep_alive": True}),
    (old(b"Connection: Keep-Alive, x"), {"keep_alive": True}),
    (old(b"Connection: keep-alive, close"), {"keep_alive": False}),
]


def receive(pieces: list[bytes], limits: Limits = LIMITS) -> Head | int | None:
    """What the loop makes of bytes that arrive so: a head, the status of a refusal, or nothing yet."""
    buffer = bytearray()
    searched, partial = 0, Partial()
    try:
        for piece in pieces:
            buffer += piece
            end = head_end(buffer, searched)
            if end >= 0:
                return parse_head(bytes(buffer[:end]), limits)
            searched = len(buffer)
            partial.look(buffer, limits)
    except HTTPError as error:
        return error.status
    return None


def in_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize(("status", "data"), REFUSED, ids=lambda value: repr(value)[:60])
def test_refused(status: int, data: bytes) -> None:
    assert receive([data]) == status
    assert receive(in_bytes(data)) == status
    if data.endswith(b"\r\n\r\n"):
        assert receive([data + FOLLOWER]) == status


@pytest.mark.parametrize(("data", "expected"), ACCEPTED, ids=lambda value: repr(value)[:60])
def test_accepted(data: bytes, expected: dict[str, Any]) -> None:
    heads = [
        receive([data]),
        receive(in_bytes(data)),
        receive([data + FOLLOWER]),
        receive([data[:-1], data[-1:] + FOLLOWER]),
    ]
    for head in heads:
        assert isinstance(head, Head)
        assert head == heads[0]
        for name, value in expected.items():
            assert getattr(head, name) == value, name
    assert all(receive([data[:n]]) is None for n in range(len(data))), "a part of a good head is neither good nor bad"


def test_the_tables_are_big_enough() -> None:
    assert len(REFUSED) + len(ACCEPTED) >= 200


def test_head_end_finds_a_terminator_cut_anywhere() -> None:
    data = bytearray(get())
    for searched in range(len(data)):
        assert head_end(data[:searched], 0) == -1
        assert head_end(data, searched) == len(data)


@pytest.mark.parametrize(
    ("status", "endless"),
    [
        (414, b"GET /" + b"a" * 200_000),
        (431, b"GET / HTTP/1.1\r\nA: " + b"b" * 200_000),
        (431, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 30_000),
        (431, b"GET / HTTP/1.1\r\n" + (b"A: " + b"b" * 8000 + b"\r\n") * 9),
    ],
)
def test_limits_hold_before_the_terminator_arrives(status: int, endless: bytes) -> None:
    assert receive([endless], Limits()) == status
    assert receive([endless[i : i + 1000] for i in range(0, len(endless), 1000)], Limits()) == status


def test_an_ugly_line_costs_linear_time() -> None:
    limits = Limits(header=10_000_000, head=20_000_000, request_line=10_000_000)
    began = time.thread_time()
    for filler in (b" " * 4_000_000 + b"\x00", b"\t " * 2_000_000 + b"x", b"a," * 1_000_000 + b"\x7f"):
        receive([get(b"A: " + filler)], limits)
        receive([get(b"Transfer-Encoding: " + filler)], limits)
        receive([get(host=b"Host: " + filler)], limits)
        receive([first(b"GET /" + filler + b" HTTP/1.1")], limits)
    assert time.thread_time() - began < 10


def test_the_reason_never_quotes_the_client() -> None:
    for _, data in REFUSED:
        try:
            parse_head(data if data.endswith(b"\r\n\r\n") else data + b"\r\n\r\n", LIMITS)
        except HTTPError as error:
            assert error.reason.isascii() and error.reason.isprintable()
