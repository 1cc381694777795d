"""PEP 3333 by the letter, seen from both ends: by the client, and by an application that notes what is done to it."""

from __future__ import annotations

import json
import socket
import string
from urllib.parse import quote

import pytest

from harness.noted import await_events, events, rest, serves
from harness.workers import Client, Generation, Response, connect, eventually, request

HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade")


def target(route: str, /, **options: str) -> str:
    return f"/{route}?" + "&".join(f"{key}={quote(value)}" for key, value in options.items())


# close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("length", ["", "2"])
def test_close_is_called_once(generation: Generation, client: Client, method: str, length: str) -> None:
    for _ in range(3):
        assert client.ask(target("closing", length=length), method=method, body=b"x" * (method == "POST")).status == 200
        assert await_events(generation) == ["close"]


@pytest.mark.parametrize("what", ["RuntimeError", "SystemExit", "KeyboardInterrupt", "GeneratorExit"])
@pytest.mark.parametrize(("when", "closed"), [("call", 0), ("started", 0), ("first", 1)])
def test_whatever_is_raised_before_the_first_byte_is_a_500(
    generation: Generation, client: Client, what: str, when: str, closed: int
) -> None:
    answer = client.ask(target("raising", what=what, when=when))
    assert answer.status == 500
    assert b"as asked" not in answer.body, "the reason is for the log"
    assert await_events(generation, closed) == ["close"] * closed
    assert "as asked" in generation.log
    serves(generation)


def test_what_is_raised_after_the_first_byte_breaks_the_response_off(generation: Generation, client: Client) -> None:
    client.send(request(target("raising", when="later")))
    data = rest(client)
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b"1\r\na\r\n"), "the last chunk is missing: the client knows"
    assert await_events(generation) == ["close"]


def test_close_may_fail(generation: Generation, client: Client) -> None:
    answer = client.ask("/closing_fails")
    assert (answer.status, answer.body) == (200, b"ok")
    assert await_events(generation) == ["close"]
    eventually(lambda: "in close" in generation.log, "it is logged, which comes after the answer")
    serves(generation)


def test_close_is_called_when_the_client_goes_away(generation: Generation, client: Client) -> None:
    client.send(request("/endless"))
    assert client.socket.recv(1000)
    client.close()
    assert await_events(generation) == ["close"]


def test_close_is_called_for_a_response_to_head(generation: Generation, client: Client) -> None:
    assert client.ask("/endless", method="HEAD").status == 200
    assert await_events(generation) == ["close"]


# start_response


def test_without_start_response_there_is_a_500(generation: Generation, client: Client) -> None:
    assert client.ask("/never_starts").status == 500
    assert await_events(generation) == ["close"]


def test_data_before_start_response_is_a_500(client: Client) -> None:
    assert client.ask("/starts_after_data").status == 500


def test_an_empty_piece_is_no_data(client: Client) -> None:
    answer = client.ask("/starts_after_nothing")
    assert (answer.status, answer.body) == (201, b"ok")


def test_start_response_twice_is_a_500(client: Client) -> None:
    assert client.ask("/starts_twice").status == 500


def test_exc_info_replaces_the_head(client: Client) -> None:
    answer = client.ask("/replaces")
    assert (answer.status, answer.body) == (503, b"sorry")
    assert "x-new" in answer.headers and "x-old" not in answer.headers


def test_exc_info_is_raised_again_when_it_is_too_late(generation: Generation, client: Client) -> None:
    client.send(request("/replaces_too_late"))
    assert rest(client).endswith(b"1\r\na\r\n")
    assert events(generation) == ["raised again"]


@pytest.mark.parametrize(
    "status",
    [
        "20 OK",
        "2000 OK",
        "abc",
        "",
        "200",
        "200 OK\r\nX: 1",
        "200 O\0K",
        "200 €",
    ],
)
def test_a_status_that_is_none_is_a_500(generation: Generation, client: Client, status: str) -> None:
    answer = client.ask(target("head", status=status) if status else target("head", status="\x00")[:-3] + "%20")
    assert answer.status == (200 if status == "200" else 500)
    assert "x" not in answer.headers
    serves(generation)


@pytest.mark.parametrize("status", ["100 Continue", "101 Switching Protocols", "103 Early Hints"])
def test_an_interim_status_is_the_end(generation: Generation, client: Client, status: str) -> None:
    """It has no body, and no final response can follow: what came behind it would be taken for that."""
    client.send(request(target("head", status=status)) + request("/closing"))
    data = rest(client)
    assert data.startswith(b"HTTP/1.1 " + status.encode())
    assert data.count(b"HTTP/1.1") == 1 and data.endswith(b"\r\n\r\n")
    assert await_events(generation) == ["close"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nY: b"),
        ("X", "a\nY: b"),
        ("X", "a\rY: b"),
        ("X", "a\0b"),
        ("X\r\nY", "a"),
        ("X: a\r\nY", "a"),
        ("X Y", "a"),
        ("X:", "a"),
        ("Content-Length", "+4"),
        ("Content-Length", "x"),
        ("Connection", "close\r\nY: b"),
    ],
)
def test_a_field_that_is_none_is_a_500(generation: Generation, client: Client, name: str, value: str) -> None:
    answer = client.ask(target("head", name=name, value=value))
    assert answer.status == 500
    assert "y" not in answer.headers
    serves(generation)


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_what_is_between_us_and_the_client_is_ours_to_say(generation: Generation, client: Client, name: str) -> None:
    """As gunicorn does: real applications set these, and their pages work."""
    plain = client.ask(target("head"))
    for value in ("keep-alive", "chunked"):
        answer = client.ask(target("head", name=name, value=value))
        assert (answer.status, answer.body) == (200, b"body")
        assert answer.headers.keys() == plain.headers.keys(), "and the connection stays"
    if name == "Connection":
        answer = client.ask(target("head", name=name, value="close"))
        assert answer.status == 200 and answer.headers["connection"] == "close"
        assert rest(client) == b""


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("status bytes", 500),
        ("status int", 500),
        ("status subclass", 200),
        ("headers list of lists", 200),
        ("headers tuple", 200),
        ("headers none", 500),
        ("headers iterator", 500),
        ("pair of three", 500),
        ("pair of one", 500),
        ("pair is text", 500),
        ("headers dict", 500),
        ("two lengths", 500),
        ("one length twice", 200),
        ("name bytes", 500),
        ("value int", 500),
        ("value subclass", 200),
        ("value wide", 500),
        ("str", 500),
        ("strs", 500),
        ("bytes", 500),
        ("bytes subclass", 200),
        ("bytearray", 500),
        ("memoryview", 500),
        ("none", 500),
        ("none piece", 500),
        ("int", 500),
    ],
)
def test_types(generation: Generation, client: Client, what: str, status: int) -> None:
    """What can be taken for what is meant is; anything else is a 500, and never a guess."""
    answer = client.ask(target("odd_types", what=what))
    assert answer.status == status
    assert status == 500 or answer.body == b"ok"
    serves(generation)


# The length of the body


def test_more_than_its_length_is_cut_off(generation: Generation, client: Client) -> None:
    answer = client.ask(target("closing", pieces="abc,def,ghi", length="5"))
    assert answer.body == b"abcde"
    assert await_events(generation) == ["close"]
    if answer.kept:
        serves(generation, client)
    else:
        assert client.ended(), "nothing may follow that could be taken for the next response"


def test_less_than_its_length_ends_the_connection(generation: Generation, client: Client) -> None:
    client.send(request(target("closing", pieces="abc", length="5")))
    assert rest(client).endswith(b"\r\n\r\nabc")
    assert await_events(generation) == ["close"]


@pytest.mark.parametrize(
    ("method", "query", "length", "body"),
    [
        ("GET", "", "2", b"ok"),
        ("GET", "length=2", "2", b"ok"),
        ("GET", "length=1", "1", b"o"),
        ("GET", "length=0", "0", b""),
        ("HEAD", "", "2", b""),
        ("HEAD", "length=2", "2", b""),
        ("HEAD", "length=7", "7", b""),
        ("GET", "status=204%20No%20Content", None, b""),
        ("GET", "status=304%20Not%20Modified", None, b""),
        ("GET", "status=205%20Reset%20Content", "0", b""),
    ],
)
def test_a_list_of_one_piece(client: Client, method: str, query: str, length: str | None, body: bytes) -> None:
    """The usual response; its length is known, and the next response comes right behind it."""
    for _ in range(3):
        client.send(request(f"/plain?{query}", method=method))
        answer = client.answer(head=not body)
        assert (answer.body, answer.headers.get("content-length")) == (body, length)
        assert "transfer-encoding" not in answer.headers
    if answer.kept:
        assert client.ask("/plain").body == b"ok"


def test_a_list_of_one_piece_that_is_too_short(client: Client) -> None:
    client.send(request("/plain?length=3"))
    assert rest(client).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize(
    ("version", "line", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ],
)
@pytest.mark.parametrize("path", ["/plain", "/writes_and_returns_a_list"])
def test_the_connection_is_kept_as_announced(client: Client, version: str, line: str, kept: bool, path: str) -> None:
    client.send(f"GET {path} HTTP/{version}\r\nHost: a\r\n{line}\r\n".encode())
    if version == "1.0" and path != "/plain":  # a body of unknown length ends with the connection
        assert rest(client).endswith(b"\r\n\r\nab")
        return
    answer = client.answer()
    announced = "close" if not kept else "keep-alive" if version == "1.0" else None
    assert answer.headers.get("connection") == announced
    if kept:
        assert client.ask("/plain").body == b"ok"
    else:
        assert client.ended()


def test_a_client_that_reads_late_gets_all(generation: Generation, client: Client) -> None:
    """At some response the kernel takes no more, but for a part: the client gets the rest of that, and all that
    follow.
    """
    size, count = 65_000, 200  # altogether more than the buffers of both ends
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    letters = [string.ascii_letters[number % 52] for number in range(count)]
    for letter in letters:
        client.send(request(f"/sized?letter={letter}&size={size}"))
        events(generation)  # by then it is answered: the next one comes alone
    for letter in letters:
        assert client.answer().body == letter.encode() * size


def test_no_body_for_head_does_not_say_that_get_has_none(client: Client) -> None:
    for _ in range(3):
        assert client.ask("/empty").headers["content-length"] == "0"
        assert "content-length" not in client.ask("/empty", method="HEAD").headers


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_body_where_none_may_be_is_not_sent(generation: Generation, client: Client, status: str) -> None:
    client.send(request(target("head", status=status)) + request("/closing"))
    answer = client._until(b"\r\n\r\n").lower()
    assert answer.startswith(b"http/1.1 " + status.lower().encode())
    assert b"transfer-encoding" not in answer
    assert client.answer().body == b"ab", "the next response comes right behind the head"


# environ and wsgi.input


def test_the_environ_is_a_dict_of_exact_types(client: Client) -> None:
    for body in (b"", b"", b"x"):
        found = json.loads(
            client.ask("/environ_types", method="POST" if body else "GET", body=body, more="X-Y: 1\r\n").body
        )
        assert found["type"] == "dict"
        assert set(found["own"].values()) == {"str"}
        required = {
            "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT",
            "SERVER_PROTOCOL", "HTTP_X_Y",
            "wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.errors", "wsgi.multithread", "wsgi.multiprocess",
            "wsgi.run_once",
        }  # fmt: skip
        assert required <= set(found["keys"])


def test_an_application_may_change_its_environ(client: Client) -> None:
    assert [client.ask("/changes_environ").body for _ in range(5)] == [b"none"] * 5


@pytest.mark.parametrize("body", [b"", b"x" * 10, b"x" * 100_000])
def test_input_is_of_no_use_after_the_request(generation: Generation, client: Client, body: bytes) -> None:
    """A later read must not take the next request's bytes."""
    first = client.ask("/keeps_input", method="POST", body=body)
    assert first.body == b"ok"
    if not first.kept:  # more is unread than is worth reading
        assert len(body) > 65536
        client = connect(generation)
    assert client.ask("/reads_kept_input").body in (b"refused", b"read ", b"read " + body * (len(body) == 10))
    serves(generation, client)


def test_a_piece_leaves_at_once(generation: Generation, client: Client) -> None:
    client.send(request("/two_steps"))
    assert b"\r\n5\r\nfirst\r\n" in client._until(b"first\r\n")
    connect(generation).ask("/go_on")
    client._until(b"second\r\n0\r\n\r\n")


def test_requests_are_not_answered_out_of_order(generation: Generation, client: Client) -> None:
    client.send(request("/two_steps") + request("/closing"))
    client._until(b"first\r\n")
    connect(generation).ask("/go_on")
    client._until(b"0\r\n\r\n")
    assert client.answer().body == b"ab"


def test_two_answers_of_one_worker_do_not_meet(generation: Generation) -> None:
    clients: list[tuple[Client, Response | None]] = [(connect(generation), None) for _ in range(8)]
    for number, (one, _) in enumerate(clients):
        one.send(request(target("closing", pieces=f"{number}," * 50)))
    for number, (one, _) in enumerate(clients):
        assert one.answer().body == str(number).encode() * 50
