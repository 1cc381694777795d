"""The short way of a usual request: whatever is unusual gets the same answer there as on the way that all others go."""

from __future__ import annotations

import os

import pytest

from harness.workers import Client, Generation, Response, Worker, connect, eventually, request


@pytest.fixture
def worker(generation: Generation) -> Worker:
    made = generation.start("ways")
    made.resume()
    return made


def warm(generation: Generation) -> Client:
    """A client whose requests have a shape by now."""
    client = connect(generation)
    for number in range(3):
        assert client.ask(f"/?{number}").body == b"hello"
    assert client.ask("/way").body == b"fast"
    return client


def seen(response: Response) -> tuple[int, dict[str, str], bytes]:
    return response.status, {name: value for name, value in response.headers.items() if name != "date"}, response.body


SAME = [
    "/",
    "/way?%C3%A4",
    "/pieces",
    "/generator",
    "/write",
    "/empty",
    "/nothing",
    "/204",
    "/304",
    "/205",
    "/short",
    "/long",
    "/dated",
]
ENDS = ["/raise", "/exit", "/newline", "/text", "/twice", "/never", "/late", "/hop"]


STRICTLY = "X-Tab: a\tb\r\n"  # a legal line that the short way leaves to the strict parser


def ask(client: Client, target: str, more: str = "") -> tuple[int, dict[str, str], bytes]:
    client.send(request(target, more=more))
    return seen(client.answer(head=target in ("/204", "/304")))


@pytest.mark.parametrize("target", SAME[1:] + ENDS)
def test_the_same_answer_as_by_the_strict_way(generation: Generation, worker: Worker, target: str) -> None:
    strict, fresh, used = connect(generation), connect(generation), warm(generation)
    if target == "/short":  # breaks off in the middle
        for client, more in ((strict, STRICTLY), (fresh, ""), (used, "")):
            client.send(request(target, more=more))
            with pytest.raises(AssertionError, match="closed the connection after b'hello'"):
                client.answer()
        return
    expected = ask(strict, target, STRICTLY)
    got = [ask(fresh, target), ask(used, target)]
    if target.startswith("/way"):
        assert (expected[2], *(one[2] for one in got)) == (b"slow", b"fast", b"fast")
    else:
        assert got == [expected, expected]
    if expected[1].get("connection") != "close":
        assert ask(used, "/") == ask(fresh, "/") == ask(strict, "/", STRICTLY)


# the way of asking: method, version, lines, body, and whether the connection stays
ASKED = [
    ("GET", "1.1", "Connection: close\r\n", "", False),
    ("GET", "1.0", "", "", False),
    ("GET", "1.0", "Connection: close\r\n", "", False),
    ("GET", "1.0", "Connection: keep-alive\r\n", "", True),
    ("POST", "1.1", "", "abc", True),
    ("POST", "1.1", "Connection: close\r\n", "abc", False),
    ("POST", "1.0", "Connection: close\r\n", "abc", False),
    ("GET", "1.1", "Authorization: Basic eDp5\r\nX-A: b\r\n", "", True),
]


@pytest.mark.parametrize(("method", "version", "lines", "body", "stays"), ASKED)
def test_however_it_is_asked(
    generation: Generation, worker: Worker, method: str, version: str, lines: str, body: str, stays: bool
) -> None:
    """On a new connection, and on one that has brought others; all of one read."""

    def answer(client: Client, target: str, more: str = "") -> tuple[int, dict[str, str], bytes]:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        client.send(f"{method} {target} HTTP/{version}\r\nHost: test\r\n{length}{lines}{more}\r\n{body}".encode())
        return seen(client.answer())

    def clients() -> tuple[Client, Client]:
        return connect(generation), warm(generation)

    target = "/echo" if body else "/"
    expected = answer(connect(generation), target, STRICTLY)
    assert expected[1].get("connection") == ("close" if not stays else "keep-alive" if version == "1.0" else None)
    for client in clients():
        assert answer(client, target) == expected
        assert not stays or ask(client, "/")[2] == b"hello"
        assert stays or client.ended()
    for client in clients():
        assert answer(client, "/way")[2] == b"fast"
    assert answer(connect(generation), "/way", STRICTLY)[2] == b"slow"


def test_a_newcomer_that_is_slow_to_answer_holds_up_nobody(generation: Generation, worker: Worker) -> None:
    """It is answered as it is accepted, and loses the lead there."""
    slow, others = connect(generation), [connect(generation) for _ in range(20)]
    slow.send(request("/slow"))
    assert [other.ask("/").body for other in others] == [b"hello"] * 20
    assert slow.answer().body == b"slow"
    assert slow.ask("/way").body == b"fast"


def test_a_context_of_its_own_and_a_thread_of_the_pool(generation: Generation, worker: Worker) -> None:
    client = warm(generation)
    assert [client.ask("/context").body for _ in range(3)] == [b"unset"] * 3
    assert client.ask("/thread").body == b"other"


def test_a_late_write_is_refused(generation: Generation, worker: Worker) -> None:
    """The application has kept `write` of a request that is over: it must not write into the next one."""
    client = warm(generation)
    assert client.ask("/keep").status == 200
    assert client.ask("/use").body == b"cannot send: the request has ended"


def test_the_input_is_empty_and_private(generation: Generation, worker: Worker) -> None:
    client = warm(generation)
    assert client.ask("/scribble").body == b"0"
    assert client.ask("/scribble").body == b"0"


def test_an_environ_is_not_shared(generation: Generation, worker: Worker) -> None:
    client = warm(generation)
    assert client.ask("/spoil").body == b"None"
    assert client.ask("/spoil").body == b"None"
    assert client.ask("/way").body == b"fast"


def test_pipelined_and_cut_requests(generation: Generation, worker: Worker) -> None:
    client = warm(generation)
    client.send(request("/?a") + request("/?b") + request("/?c")[:10])
    assert client.answer().body == client.answer().body == b"hello"
    client.send(request("/?c")[10:])
    assert client.answer().body == b"hello"
    assert client.ask("/way").body == b"fast"
    assert client.ask("/echo", method="POST", body=b"abc").body == b"abc"
    assert client.ask("/way").body == b"fast", "and a POST in between does not change that"


def test_a_response_that_the_client_does_not_take_at_once(generation: Generation, worker: Worker) -> None:
    client = warm(generation)
    for _ in range(100):
        client.send(request("/sixty"))
    for _ in range(100):
        assert client.answer().body == b"x" * 60000


def test_a_client_that_has_gone(generation: Generation, worker: Worker) -> None:
    client, other = warm(generation), warm(generation)
    client.send(request("/slow"))
    client.close()
    assert other.ask("/").body == b"hello"
    before = len(worker.descriptors())
    eventually(lambda: len(worker.descriptors()) <= before, "its descriptor is closed")


def test_a_call_that_loses_the_lead_answers(generation: Generation, worker: Worker) -> None:
    slow, other = warm(generation), warm(generation)
    slow.send(request("/slow"))
    assert other.ask("/").body == b"hello"
    assert slow.answer().body == b"slow"
    assert slow.ask("/way").body == b"fast"


def test_a_child_of_the_view_is_no_worker(generation: Generation, worker: Worker) -> None:
    client = warm(generation)
    assert client.ask("/stray").body == b"70"
    assert client.ask("/").body == b"hello"


def test_what_is_paused_or_leaves_says_so(generation: Generation, worker: Worker) -> None:
    client, other = warm(generation), warm(generation)
    worker.pause()
    assert client.ask("/").kept, "without a receiver it stays here"
    worker.quit(linger_s=0.5)
    assert not client.ask("/").kept
    assert client.ended() and other.ended()
    assert worker.ended() == os.EX_OK


def test_connections_are_given_away_after_their_next_request(worker: Worker, generation: Generation) -> None:
    client = warm(generation)
    heir = Generation(9, [])
    try:
        other = heir.start("ways")
        other.resume()
        client.send(request("/slow"))
        eventually(lambda: worker.numbers.busy >= 1, "it is in the application")
        worker.tell("pause", (heir.send,), to=9)
        assert client.answer().body == b"slow"
        worker.await_state("paused")
        assert client.ask("/pid").body == str(other.pid).encode()
    finally:
        heir.close()
