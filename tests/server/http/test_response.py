"""Status, headers and framing of a response."""

from __future__ import annotations

import email.utils
import locale
import logging
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

import pytest

from releve.config.settings.limits import Limits
from releve.server.http import response
from releve.server.http.head import Head, parse_head
from releve.server.http.response import (
    HOP_BY_HOP,
    check_start,
    date_line,
    frame,
    http_date,
    response_head,
    simple_response,
)
from releve.server.shared import native


def request(method: bytes = b"GET", version: bytes = b"1.1") -> Head:
    return parse_head(b"%b / HTTP/%b\r\nHost: a\r\n\r\n" % (method, version), Limits())


def sent(
    status: str = "200 OK",
    headers: Any = (),
    method: bytes = b"GET",
    version: bytes = b"1.1",
    known: int | None = None,
    keep: bool = True,
) -> tuple[str, dict[str, str]]:
    head = request(method, version)
    start = check_start(status, list(headers))
    data = response_head(start, frame(start, head, known, keep), head.version).decode("latin-1")
    assert data.endswith("\r\n\r\n") and data.count("\r\n\r\n") == 1
    first, *lines = data[:-4].split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return first, {name: value for name, value in pairs if name not in ("Date", "Server")}


class Text(str):
    pass


@pytest.mark.parametrize("status", ["200 OK", "200 ", "200", "404 Not Found", "299 A\tb", "599 Ä", Text("200 OK")])
def test_good_status(status: str) -> None:
    assert check_start(status, []).status == int(status[:3])


BAD_STATUS: list[Any] = [
    *("", "OK", "20 OK", "2000 OK", "099 X", "200OK", " 200 OK", "2x0 OK", "+20 OK", "200 €", "٢٠٠ OK"),
    *("200 OK\r\nA: b", "200 OK\n", "200 \x00"),
    *(b"200 OK", 200, None),
]


@pytest.mark.parametrize("status", BAD_STATUS)
def test_bad_status(status: Any) -> None:
    with pytest.raises(ValueError, match="cannot send status"):
        check_start(status, [])


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {"A": "b"},
        "A: b",
        iter([("A", "b")]),
        ["ab"],
        [("A",)],
        [("A", "b", "c")],
        [("A", 1)],
        [("A", None)],
        [(b"A", b"b")],
        [("A", b"b")],
        [("", "b")],
        [("A b", "c")],
        [("A:", "b")],
        [("Ä", "b")],
        [("A\n", "b")],
        [("A", "b\r\nC: d")],
        [("A", "b\n")],
        [("A", "b\rc")],
        [("A", "b\n c")],
        [("A", "\x00")],
        [("A", "\x7f")],
        [("A", "€")],
        [("Content-Length", "-1")],
        [("Content-Length", "+1")],
        [("Content-Length", "1, 1")],
        [("Content-Length", "")],
        [("Content-Length", "x")],
        [("Content-Length", "٥")],
        [("Content-Length", "1"), ("content-length", "2")],
        [("Content-Length", "1, 1")],
        [("Content-Length", " ")],
        [("Content-Length", "+1")],
        [("Connection", "close\r\nA: b")],
        [("Upgrade", 1)],
    ],
    ids=lambda headers: repr(headers).split(" at 0x")[0],
)
def test_bad_headers(headers: Any) -> None:
    with pytest.raises(ValueError, match="cannot send header"):
        check_start("200 OK", headers)


@pytest.mark.parametrize("values", [(" 5",), ("5\t ",), ("5", "5"), ("5 ", "05")])
def test_a_length_is_one_number_however_it_is_written(values: tuple[str, ...]) -> None:
    for names in (("Content-Length", "Content-Length"), ("content-length", "Content-Length")):
        assert sent(headers=list(zip(names, values, strict=False)), known=5)[1] == {"Content-Length": "5"}


def test_good_headers() -> None:
    headers = [("Set-Cookie", "a=b"), ("Set-Cookie", "c=ä"), ("X_y", ""), (Text("A"), Text("b\tc"))]
    start = check_start("200 OK", headers)
    headers.clear()
    data = response_head(start, frame(start, request(), 0, True), (1, 1))
    assert b"\r\nSet-Cookie: a=b\r\nSet-Cookie: c=\xe4\r\nX_y: \r\nA: b\tc\r\n" in data


@pytest.fixture
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker that has just started."""
    monkeypatch.setattr(response, "_unsaid", dict.fromkeys(HOP_BY_HOP, True))


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_a_hop_by_hop_header_is_dropped_with_one_warning(
    name: str, unsaid: None, caplog: pytest.LogCaptureFixture
) -> None:
    for given in (name.title(), name, name.title()):
        for value in ("keep-alive", "x" * 300):
            assert sent(headers=[("A", "b"), (given, value)], known=5)[1] == {"A": "b", "Content-Length": "5"}
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("releve.worker", logging.WARNING)
    assert record.getMessage().startswith(f"the response header {name.title()}: keep-alive is dropped")


def test_each_dropped_header_has_a_warning_of_its_own(unsaid: None, caplog: pytest.LogCaptureFixture) -> None:
    sent(headers=[(name, "x") for name in sorted(HOP_BY_HOP)], known=0)
    assert [record.getMessage().split(":")[0].rpartition(" ")[2] for record in caplog.records] == sorted(HOP_BY_HOP)


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close", "x,close "])
def test_a_wish_to_close_is_granted_without_a_word(value: str, unsaid: None, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        start = check_start("200 OK", [("Connection", value)])
        assert not start.plain and not frame(start, request(), 5, True).keep
        assert sent(headers=[("connection", value)], known=5)[1] == {"Content-Length": "5", "Connection": "close"}
    assert caplog.records == []


@pytest.mark.parametrize("value", ["closed", "not close", '"close"', ""])
def test_another_word_is_no_wish_to_close(value: str) -> None:
    assert frame(check_start("200 OK", [("Connection", value)]), request(), 5, True).keep


def test_authentication_to_a_proxy_passes(caplog: pytest.LogCaptureFixture) -> None:
    """The client that is asked may be the next one, and who asks it the application (RFC 9110, 11.7)."""
    headers = {"Proxy-Authenticate": 'Basic realm="x"', "Proxy-Authorization": "Basic eA=="}
    assert sent("407 Proxy Authentication Required", headers.items(), known=0)[1] == headers | {"Content-Length": "0"}
    assert caplog.records == []


CLOSE = {"Connection": "close"}
CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"known": 5}, {"Content-Length": "5"}),
        ({"known": 0}, {"Content-Length": "0"}),
        ({}, CHUNKED),
        ({"keep": False}, CHUNKED | CLOSE),
        ({"headers": [("Content-Length", "7")]}, {"Content-Length": "7"}),
        ({"headers": [("content-length", "007")], "known": 5}, {"Content-Length": "7"}),
        ({"version": b"1.0"}, CLOSE),
        ({"version": b"1.0", "known": 5}, {"Content-Length": "5", "Connection": "keep-alive"}),
        ({"version": b"1.0", "known": 5, "keep": False}, {"Content-Length": "5"} | CLOSE),
        ({"method": b"HEAD"}, {}),
        ({"method": b"HEAD", "known": 0}, {}),
        ({"method": b"HEAD", "known": 5}, {"Content-Length": "5"}),
        ({"method": b"HEAD", "headers": [("Content-Length", "0")]}, {"Content-Length": "0"}),
        ({"method": b"HEAD", "headers": [("Content-Length", "7")], "known": 0}, {"Content-Length": "7"}),
        ({"status": "204 No Content"}, {}),
        ({"status": "204 No Content", "headers": [("Content-Length", "0")]}, {}),
        ({"status": "304 Not Modified", "known": 0}, {}),
        ({"status": "304 Not Modified", "headers": [("Content-Length", "7")]}, {"Content-Length": "7"}),
        ({"status": "205 Reset Content", "known": 5}, {"Content-Length": "0"}),
        ({"status": "101 Switching Protocols"}, CLOSE),
        ({"status": "100 Continue", "headers": [("Content-Length", "0")]}, CLOSE),
    ],
    ids=repr,
)
def test_framing(how: dict[str, Any], expected: dict[str, str]) -> None:
    first, headers = sent(**how)
    assert first == "HTTP/1.1 " + how.get("status", "200 OK")
    assert headers == expected


def test_date_and_server_are_added_unless_given() -> None:
    start = check_start("200 OK", [])
    data = response_head(start, frame(start, request(), 0, True), (1, 1))
    assert b"\r\nDate: " in data and b"\r\nServer: releve\r\n" in data
    start = check_start("200 OK", [("date", "D"), ("SERVER", "S")])
    data = response_head(start, frame(start, request(), 0, True), (1, 1))
    assert data.lower().count(b"date:") == data.lower().count(b"server:") == 1


def test_the_date_is_right_and_made_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (0.0, 951782400.9, 1709164800.0, 4102444799.5):
        monkeypatch.setattr(native.time, "time", lambda now=now: now)
        assert http_date() == email.utils.formatdate(int(now), usegmt=True)
        assert date_line() is date_line()


def test_the_date_is_english_in_every_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.time, "time", lambda: 1.0)
    old = locale.setlocale(locale.LC_TIME)
    try:
        locale.setlocale(locale.LC_TIME, "")
        assert http_date() == "Thu, 01 Jan 1970 00:00:01 GMT"
    finally:
        locale.setlocale(locale.LC_TIME, old)


class Received:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self.data)


@pytest.mark.parametrize(
    ("status", "phrase"), [(400, "Bad Request"), (408, "Request Timeout"), (431, None), (500, None), (599, "Error")]
)
def test_simple_response(status: int, phrase: str | None) -> None:
    data = simple_response(status, "the reason\u20ac")
    response = HTTPResponse(Received(data))  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    assert (response.status, response.getheader("Connection")) == (status, "close")
    assert phrase is None or response.reason == phrase
    assert response.getheader("Date") and len(body) == int(response.getheader("Content-Length") or 0)
    assert b"the reason" in body and body.isascii()
    assert data == simple_response(status, "the reason\u20ac", head=True) + body
