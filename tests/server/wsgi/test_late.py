"""``write``, ``start_response`` and ``close`` at odd times: what is refused changes nothing that was or will be
sent.
"""

from __future__ import annotations

import pytest

from harness.noted import await_events, events, rest
from harness.workers import Client, Generation, connect, request

# write()


def test_what_is_written_comes_before_what_is_returned(generation: Generation, client: Client) -> None:
    for _ in range(3):
        assert client.ask("/writes?pieces=a,b&returned=c").body == b"abc"
        assert client.ask("/writes?pieces=a,b&returned=c&length=3").body == b"abc"
        assert client.ask("/writes_and_returns_a_list").body == b"ab"
        assert await_events(generation, 2) == ["close"] * 2


def test_what_is_written_beyond_the_length_is_cut(generation: Generation, client: Client) -> None:
    answer = client.ask("/writes?pieces=ab,cd,ef&returned=g&length=3")
    assert answer.body == b"abc"
    assert await_events(generation) == ["close"]
    if answer.kept:
        assert client.ask("/plain").body == b"ok"


def test_what_is_written_short_of_the_length_ends_the_connection(generation: Generation, client: Client) -> None:
    client.send(request("/writes?pieces=ab&length=3") + request("/plain"))
    assert rest(client).endswith(b"\r\n\r\nab")
    assert await_events(generation) == ["close"]


def test_writes_to_head_send_nothing(client: Client) -> None:
    client.send(request("/writes", method="HEAD") + request("/plain"))
    assert client.answer(head=True).status == 200
    assert client.answer().body == b"ok"


def test_only_bytes_may_be_written(generation: Generation, client: Client) -> None:
    assert client.ask("/writes_text").status == 500


def test_what_fails_behind_a_write_breaks_the_response_off(generation: Generation, client: Client) -> None:
    client.send(request("/writes_and_fails") + request("/plain"))
    data = rest(client)
    assert data.startswith(b"HTTP/1.1 200 OK\r\n") and data.endswith(b"\r\n1\r\na\r\n")
    assert data.count(b"HTTP/1.1") == 1


# start_response


def test_nothing_of_a_refused_head_is_sent(generation: Generation, client: Client) -> None:
    answer = client.ask("/starts_badly_then_well")
    assert (answer.status, answer.body) == (201, b"ok")
    assert "x-bad" not in answer.headers and "y" not in answer.headers
    assert events(generation) == ["refused"]


def test_the_first_head_counts_when_the_second_was_refused(generation: Generation, client: Client) -> None:
    answer = client.ask("/starts_twice_and_goes_on")
    assert (answer.status, answer.body) == (200, b"ok")
    assert events(generation) == ["refused"]


def test_the_length_of_a_replaced_head_does_not_count(generation: Generation, client: Client) -> None:
    for _ in range(2):
        answer = client.ask("/replaces_lengths")
        assert (answer.status, answer.headers["content-length"], answer.body) == (500, "5", b"sorry")
    assert await_events(generation, 2) == ["close"] * 2


def test_fields_keep_their_order_and_their_spelling(client: Client) -> None:
    for _ in range(3):
        client.send(request("/fields"))
        lines = client._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert client._exactly(2) == b"ok"
        given = ["X-b: 1", "Set-Cookie: a=1", "x-A: ä", "Set-Cookie: b=2", "Date: then", "SERVER: mine", "X-Empty: "]
        assert [line for line in lines if line in given] == given
        names = [line.partition(":")[0].lower() for line in lines[1:-2]]
        assert names.count("date") == names.count("server") == 1, "the application's own"


# Behind the end


def test_a_request_that_is_over_can_send_nothing(client: Client) -> None:
    for _ in range(2):
        assert client.ask("/keeps_start").body == b"ok"
        assert client.ask("/uses_kept_start").body == b"refused refused refused"
    assert client.ask("/plain").body == b"ok"


def test_a_thread_that_outlives_its_request_can_send_nothing(generation: Generation, client: Client) -> None:
    assert client.ask("/thread_writes").body == b"ok"
    assert client.ask("/plain").body == b"ok"
    assert connect(generation).ask("/go_on").status == 200
    seen = await_events(generation)
    assert seen == ["RuntimeError"]
    assert client.ask("/plain").body == b"ok", "nothing stands before it"


# Generators


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_generator_ends_where_its_response_does(generation: Generation, client: Client, method: str) -> None:
    client.send(request("/generates", method=method))
    assert client.socket.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    client.close()
    seen = await_events(generation, 2)
    assert seen == ["generator exit", "finally"]
