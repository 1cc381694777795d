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


def ask(client: Client, target: str) -> tuple[int, dict[str, str], bytes]:
    client.send(request(target))
    return seen(client.answer(head=target in ("/204", "/304")))


@pytest.mark.parametrize("target", SAME[1:] + ENDS)
def test_the_same_answer_as_on_a_new_connection(generation: Generation, worker: Worker, target: str) -> None:
    fresh, used = connect(generation), warm(generation)
    if target == "/short":  # breaks off in the middle
        for client in (fresh, used):
            client.send(request(target))
            with pytest.raises(AssertionError, match="closed the connection after b'hello'"):
                client.answer()
        return
    expected = ask(fresh, target)
    got = ask(used, target)
    if target.startswith("/way"):
        assert (expected[2], got[2]) == (b"fast", b"fast"), "from the first request on"
    else:
        assert got == expected
    if got[1].get("connection") != "close":
        assert ask(used, "/") == ask(fresh, "/")


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
