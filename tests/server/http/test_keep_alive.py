"""Connection is a list of tokens; who keeps the connection open (RFC 9110, 7.6.1; RFC 9112, 9.3).

Upgrade is ignored.
"""

from __future__ import annotations

import pytest

from harness.cases import Case, Mode, Server, Wire, chunked, get, good, old, post

CONNECTION = b"Connection: "


def closing(name: str, data: bytes) -> Case:
    return good(name, data, keep=False)


CASES = [
    # HTTP/1.1 stays open
    good("nothing", get()),
    good("keep-alive", get(CONNECTION + b"keep-alive"), HTTP_CONNECTION="keep-alive"),
    good("keep-alive in capitals", get(CONNECTION + b"KEEP-ALIVE")),
    good("empty", get(b"Connection:")),
    good("an empty list", get(CONNECTION + b", ,")),
    good("another token", get(CONNECTION + b"foo")),
    good("a token that begins like close", get(CONNECTION + b"closed")),
    good("a token that ends like close", get(CONNECTION + b"x-close")),
    good("a token with close in it", get(CONNECTION + b"not-close-yet")),
    good("another field that says close", get(b"X-Connection: close")),
    good("an underscore field that says close", get(b"Connection_: close")),
    good("Proxy-Connection is not ours", get(b"Proxy-Connection: close")),
    good("Keep-Alive is no order", get(b"Keep-Alive: timeout=0, max=0")),
    # close
    closing("close", get(CONNECTION + b"close")),
    closing("close in capitals", get(CONNECTION + b"CLOSE")),
    closing("close in mixed case", get(CONNECTION + b"cLoSe")),
    closing("close without a space", get(b"Connection:close")),
    closing("close between white space", get(CONNECTION + b"\t close \t")),
    closing("close at the end of a list", get(CONNECTION + b"foo, close")),
    closing("close at the start of a list", get(CONNECTION + b"close, foo")),
    closing("close within a list", get(CONNECTION + b"foo, close, bar")),
    closing("close in a list without spaces", get(CONNECTION + b"foo,close,bar")),
    closing("close in a list with tabs", get(CONNECTION + b"foo\t,\tclose")),
    closing("close in a list with gaps", get(CONNECTION + b", ,close,")),
    closing("close behind keep-alive", get(CONNECTION + b"keep-alive, close")),
    closing("close before keep-alive", get(CONNECTION + b"close, keep-alive")),
    closing("close in a second field", get(CONNECTION + b"keep-alive", CONNECTION + b"close")),
    closing("close in a first field", get(CONNECTION + b"close", CONNECTION + b"keep-alive")),
    closing("close in a third field, in a list", get(CONNECTION + b"a", b"connection: b", b"CONNECTION: c, close")),
    closing("close in a field in capitals", get(b"CONNECTION: close")),
    closing("close of a POST", post(CONNECTION + b"close", b"Content-Length: 5", body=b"hello")),
    closing("close of a chunked POST", chunked(b"5\r\nhello\r\n0\r\n\r\n", CONNECTION + b"close")),
    closing("close of a HEAD", get(CONNECTION + b"close", first=b"HEAD / HTTP/1.1")),
    # what is no list of tokens says nothing that we could trust
    closing("two words", get(CONNECTION + b"keep-alive close")),
    closing("close with a parameter", get(CONNECTION + b"close;q=1")),
    closing("close in quotes", get(CONNECTION + b'"close"')),
    closing("close before a no-break space", get(CONNECTION + b"close\xa0")),
    # HTTP/1.0 closes
    closing("1.0", old()),
    closing("1.0 with close", old(CONNECTION + b"close")),
    closing("1.0 with another token", old(CONNECTION + b"foo")),
    closing("1.0 with an empty field", old(b"Connection:")),
    closing("1.0 with something like keep-alive", old(CONNECTION + b"keep-alives")),
    closing("1.0 with a Keep-Alive field alone", old(b"Keep-Alive: timeout=60")),
    closing("1.0 with Proxy-Connection", old(b"Proxy-Connection: keep-alive")),
    closing("1.0 with keep-alive and close", old(CONNECTION + b"keep-alive, close")),
    closing("1.0 with close and keep-alive in two fields", old(CONNECTION + b"close", CONNECTION + b"keep-alive")),
    good("1.0 with keep-alive", old(CONNECTION + b"keep-alive"), SERVER_PROTOCOL="HTTP/1.0"),
    good("1.0 with keep-alive in mixed case", old(CONNECTION + b"Keep-Alive")),
    good("1.0 with keep-alive in a list", old(CONNECTION + b"foo, keep-alive")),
    good("1.0 with keep-alive in a second field", old(CONNECTION + b"foo", CONNECTION + b"keep-alive")),
    good("1.0 with keep-alive, HEAD", old(CONNECTION + b"keep-alive", method=b"HEAD")),
    good(
        "1.0 with keep-alive, POST",
        old(CONNECTION + b"keep-alive", b"Content-Length: 5", method=b"POST", body=b"hello"),
        body="hello",
    ),
    # fields that are named do not disappear: we are no proxy
    good("a token that names a field", get(CONNECTION + b"A", b"A: b"), HTTP_A="b"),
    good("a token that names Host", get(CONNECTION + b"Host"), HTTP_HOST="a"),
    good(
        "a token that names the length",
        post(CONNECTION + b"Content-Length", b"Content-Length: 5", body=b"hello"),
        body="hello",
    ),
    good(
        "a token that names the coding",
        chunked(b"5\r\nhello\r\n0\r\n\r\n", CONNECTION + b"Transfer-Encoding"),
        body="hello",
    ),
    # Upgrade
    good("upgrade to WebSocket", get(CONNECTION + b"Upgrade", b"Upgrade: websocket"), HTTP_UPGRADE="websocket"),
    good(
        "upgrade to h2c",
        get(CONNECTION + b"Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    ),
    good("upgrade to TLS", get(CONNECTION + b"Upgrade", b"Upgrade: TLS/1.0, HTTP/1.1", first=b"OPTIONS * HTTP/1.1")),
    good(
        "upgrade with a body",
        post(CONNECTION + b"Upgrade", b"Upgrade: x", b"Content-Length: 5", body=b"hello"),
        body="hello",
    ),
    good("upgrade that Connection does not name", get(b"Upgrade: websocket")),
    closing("upgrade and close", get(CONNECTION + b"Upgrade, close", b"Upgrade: websocket")),
]


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_connection(server: Server, case: Case, mode: Mode) -> None:
    server.play(case, mode)


def exchange(wire: Wire, data: bytes) -> str | None:
    wire.send(data)
    return wire.answer().headers.get("connection")


def test_only_an_old_client_is_told_that_the_connection_stays(server: Server) -> None:
    with server.wire() as wire:
        assert exchange(wire, old(CONNECTION + b"keep-alive")) == "keep-alive"
        assert exchange(wire, get()) is None
        assert exchange(wire, get(CONNECTION + b"keep-alive")) is None
        assert exchange(wire, old()) == "close"
        wire.end()
