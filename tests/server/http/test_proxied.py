"""A worker behind a proxy: who the client is, by headers or by the PROXY protocol, and who may say so."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import pytest

from harness.workers import Client, Generation, Worker, connect, eventually, request

FORWARDED = "X-Forwarded-For: 1.1.1.1, 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /mounted\r\n"
V1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n"
V2 = (
    b"\r\n\r\n\0\r\nQUIT\n"
    + struct.pack("!BBH", 0x21, 0x11, 12)
    + bytes((203, 0, 113, 9, 10, 0, 0, 1))
    + struct.pack("!HH", 4711, 80)
)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x20, 0, 0)
UNKNOWN = b"PROXY UNKNOWN\r\n"


def start(generation: Generation, *trusted: str, protocol: bool = False, **settings: Any) -> Worker:
    worker = generation.start("mirror", proxy={"trusted": trusted, "protocol": protocol}, **settings)
    worker.resume()
    return worker


def told(client: Client, more: str = "", first: bytes = b"") -> dict[str, str]:
    client.send(first + request("/mounted/x", more=more))
    environ: dict[str, str] = json.loads(client.answer().body)
    return environ


def test_a_trusted_peer_is_believed_in_every_request(generation: Generation) -> None:
    """Again and again, since usual requests that repeat themselves take a shorter way."""
    start(generation, "127.0.0.0/8")
    client = connect(generation)
    for number in range(20):
        environ = told(client, FORWARDED + f"X-Number: {number}\r\n")
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("203.0.113.9", "")
        assert environ["wsgi.url_scheme"] == "https"
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/mounted", "/x")
        environ = told(client)
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["SCRIPT_NAME"]) == ("127.0.0.1", "http", "")


@pytest.mark.parametrize("odd", ["", "X-Forwarded-Odd: 1\r\n", "X-Odd: \xe4\r\n"])
def test_of_another_peer_nothing_is_believed_or_passed_on(generation: Generation, odd: str) -> None:
    start(generation, "10.0.0.0/8", "unix:")
    client = connect(generation)
    for number in range(20):
        environ = told(
            client, FORWARDED + f"{odd}X-Number: {number}\r\nX-Real-IP: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\n"
        )
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["SCRIPT_NAME"]) == ("127.0.0.1", "http", "")
        assert not [key for key in environ if "FORWARDED" in key or "REAL_IP" in key]
        assert environ["HTTP_X_NUMBER"] == str(number)


def test_a_body_and_an_unusual_request_are_no_way_round(generation: Generation) -> None:
    start(generation, "10.0.0.0/8")
    client = connect(generation)
    for more, body in (("Content-Length: 1\r\n", b"x"), ("Transfer-Encoding: chunked\r\n", b"0\r\n\r\n")):
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{FORWARDED}{more}\r\n".encode() + body)
        environ = json.loads(client.answer().body)
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["SCRIPT_NAME"]) == ("127.0.0.1", "http", "")


def test_a_pipelined_request_is_believed_as_little(generation: Generation) -> None:
    start(generation, "10.0.0.0/8")
    client = connect(generation)
    client.send(request("/", more=FORWARDED) * 3)
    for _ in range(3):
        assert json.loads(client.answer().body)["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize("preface", [V1, V2])
@pytest.mark.parametrize("pieces", [1, 0])
def test_the_client_is_whom_the_preface_names(generation: Generation, preface: bytes, pieces: int) -> None:
    start(generation, "127.0.0.1", protocol=True)
    client = connect(generation)
    data = preface + request("/mounted/x", more=FORWARDED)
    if pieces:
        for at in range(len(data)):
            client.send(data[at : at + 1])
    else:
        client.send(data)
    environ = json.loads(client.answer().body)
    for _ in range(10):
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("203.0.113.9", "4711")
        assert environ["wsgi.url_scheme"] == "http", "the client's own headers are not the proxy's"
        assert "HTTP_X_FORWARDED_FOR" not in environ
        environ = told(client, FORWARDED)


def test_a_client_named_by_the_preface_may_be_trusted_too(generation: Generation) -> None:
    start(generation, "127.0.0.1", "203.0.113.0/24", protocol=True)
    environ = told(connect(generation), "X-Forwarded-For: 198.51.100.1\r\n", V1)
    assert environ["REMOTE_ADDR"] == "198.51.100.1"


@pytest.mark.parametrize(("preface", "scheme"), [(LOCAL, "https"), (UNKNOWN, "http")])
def test_a_preface_without_a_client_keeps_the_peer(generation: Generation, preface: bytes, scheme: str) -> None:
    """LOCAL is the proxy itself, and believed; UNKNOWN is anybody."""
    start(generation, "127.0.0.1", protocol=True)
    client = connect(generation)
    environ = told(client, "X-Forwarded-Proto: https\r\n", preface)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", scheme)


@pytest.mark.parametrize(
    "data", [request(), b"PROXY TCP4 x\r\n", V1[:-2] + b"\n" + request() * 10, b"\r\n" + V1, b"\x16\x03\x01\x02\x00"]
)
def test_without_a_preface_there_is_no_answer(generation: Generation, data: bytes) -> None:
    start(generation, "127.0.0.1", protocol=True)
    client = connect(generation)
    client.send(data)
    assert client.ended()
    assert "refused a connection from 127.0.0.1:" in generation.log
    assert told(connect(generation), "", V1)["REMOTE_ADDR"] == "203.0.113.9"


def test_who_is_not_trusted_may_not_connect(generation: Generation) -> None:
    start(generation, "10.0.0.0/8", protocol=True)
    client = connect(generation)
    client.send(V1 + request())
    assert client.ended()
    assert "proxy.trusted" in generation.log


def test_half_a_preface_has_the_time_of_a_head(generation: Generation) -> None:
    worker = start(generation, "127.0.0.1", protocol=True, timeouts={"header": 0.3})
    client = connect(generation)
    client.send(V1[:10])
    assert client.ended()
    eventually(lambda: worker.numbers.connections == 0, "it is closed")


@pytest.mark.parametrize("sent", [b"", V1[:10], V1, V2[:20]])
def test_a_connection_keeps_its_place_when_it_changes_hands(generation: Generation, sent: bytes) -> None:
    """Before, within and behind its preface."""
    worker = start(generation, "127.0.0.1", protocol=True)
    client = connect(generation)
    client.send(sent)
    eventually(lambda: worker.numbers.connections == 1, "it is accepted")
    successor = Generation(9, generation.listeners)
    try:
        second = successor.start("mirror", proxy={"trusted": ["127.0.0.1"], "protocol": True})
        worker.pause(successor)
        second.resume()
        eventually(lambda: second.numbers.received == 1, "it was given")
        whole = V2 if sent == V2[:20] else V1
        environ = told(client, "X-Forwarded-Proto: https\r\n", whole[len(sent) :])
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.9", "http")
    finally:
        successor.close()


def test_an_unknown_client_stays_unknown_when_it_changes_hands(generation: Generation) -> None:
    worker = start(generation, "127.0.0.1", protocol=True)
    client = connect(generation)
    assert told(client, "", UNKNOWN)["REMOTE_ADDR"] == "127.0.0.1"
    successor = Generation(9, generation.listeners)
    try:
        second = successor.start("mirror", proxy={"trusted": ["127.0.0.1"], "protocol": True})
        worker.pause(successor)
        second.resume()
        assert told(client, "X-Forwarded-Proto: https\r\n")["wsgi.url_scheme"] == "http"
    finally:
        successor.close()


def test_a_unix_socket_may_carry_a_preface(tmp_path: Any) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s"))
    sock.listen()
    with sock:
        made = Generation(8, [("unix:s", sock)])
        try:
            start(made, "unix:", protocol=True)
            assert told(Client(str(tmp_path / "s")), "", V1)["REMOTE_ADDR"] == "203.0.113.9"
        finally:
            made.close()
