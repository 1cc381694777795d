"""A canary's two halves in the workers: the share that is passed on, counted; and who attends to it."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.workers import Client, Generation, Worker, eventually, hold, request
from releve.server.handover.diversion import PARTS, Portion

NAME = "127.0.0.1:8000"
SHARES = st.integers(PARTS // 100, PARTS * 99 // 100).map(lambda parts: parts / PARTS)


# The counting


@given(SHARES, st.integers(1, 10_000), st.integers(1, 2000))
def test_at_any_moment_the_share_is_off_by_less_than_one_connection(
    share: float, worker: int, connections: int
) -> None:
    portion = Portion(share, worker)
    passed = 0
    for number in range(1, connections + 1):
        passed += portion.next()
        assert abs(passed - number * share) <= 1


@given(st.integers(5, 95).map(lambda percent: percent / 100), st.integers(2, 64), st.integers(0, 40))
def test_a_few_connections_over_many_workers_are_spread_too(share: float, workers: int, each: int) -> None:
    portions = [Portion(share, number) for number in range(1, workers + 1)]
    passed = sum(portion.next() for portion in portions for _ in range(each))
    assert abs(passed - workers * each * share) <= 3


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, 0.00001, float("nan")])
def test_what_is_no_share(share: float) -> None:
    with pytest.raises(ValueError, match="cannot"):
        Portion(share, 1)


# The workers


def clients(generation: Generation, number: int) -> list[Client]:
    return [Client(generation.listeners[0][1].getsockname()) for _ in range(number)]


def divert(worker: Worker, to: Generation, share: float) -> None:
    worker.tell("divert", (to.send,), to=to.number, share=share)
    worker.await_state("serving")


def attend(worker: Worker) -> None:
    worker.tell("attend")
    worker.await_state("attending")


@pytest.mark.parametrize(("share", "threads"), [(0.1, 4), (0.3, 1), (0.85, 4)])
def test_the_share_of_new_connections_is_passed_on_and_stays_there(
    old: Generation, new: Generation, share: float, threads: int
) -> None:
    one, other = old.start(threads=threads), new.start(threads=threads)
    one.resume()
    attend(other)
    before = clients(old, 1)[0]
    assert before.ask().pid == one.pid
    divert(one, new, share)
    some = clients(old, 100)
    first = [client.ask().pid for client in some]
    assert abs(Counter(first)[other.pid] - 100 * share) <= 1
    assert [client.ask().pid for client in some] == first
    assert before.ask().pid == one.pid, "one that was there before stays"
    passed = Counter(first)[other.pid]
    assert (one.numbers.accepted, one.numbers.diverted, one.numbers.undiverted) == (101, passed, 0)
    assert other.numbers.received >= passed  # and those that it shares with siblings


def test_who_attends_accepts_nothing(old: Generation, new: Generation) -> None:
    other = new.start()
    attend(other)
    client = clients(old, 1)[0]
    client.send(request())
    assert client.waits(0.2)
    other.resume()
    assert client.answer().pid == other.pid


def test_who_attends_hands_back_what_it_has_and_takes_nothing_from_the_listeners(
    old: Generation, new: Generation
) -> None:
    one, other = old.start(), new.start()
    one.resume()
    attend(other)
    divert(one, new, 0.5)
    some = clients(old, 20)
    held = sum(client.ask().pid == other.pid for client in some)
    assert 9 <= held <= 11
    one.tell("divert", to=None)
    one.await_state("serving")
    eventually(lambda: other.numbers.requests == held, "its answers are counted")  # until then a connection may be busy
    assert other.pause(old)["given"] == held
    assert {client.ask().pid for client in some} == {one.pid}
    assert other.numbers.accepted == 0
    other.quit()
    assert other.ended() == 0


def test_who_attends_hands_back_what_waits_in_its_exchange(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    one.resume()
    attend(other)
    divert(one, new, 0.9)
    hold(other.pid)
    some = clients(old, 60)  # more than are taken at once
    eventually(lambda: one.numbers.accepted == 60, "all of them have come in")
    one.tell("divert", to=None)
    one.await_state("serving")
    other.tell("pause", (old.send,), to=old.number)
    other.process.send_signal(signal.SIGCONT)
    assert other.await_state("paused")["given"] == one.numbers.diverted
    assert {client.ask().pid for client in some} == {one.pid}


def test_who_attends_and_is_told_to_stop_answers_what_it_has(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    one.resume()
    attend(other)
    divert(one, new, 0.99)
    client = clients(old, 3)[-1]
    assert client.ask().pid == other.pid
    other.quit(linger_s=10.0)
    answer = client.ask()
    assert (answer.pid, answer.kept) == (other.pid, False)
    assert other.ended() == 0 and other.numbers.accepted == 0


def test_it_can_be_told_before_it_is_resumed(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    attend(other)
    one.tell("divert", (new.send,), to=8, share=0.5)
    one.resume()
    assert Counter(client.ask().pid for client in clients(old, 10))[other.pid] == 5


def test_it_ends_when_it_is_told_and_at_a_pause(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    one.resume()
    attend(other)
    before = one.descriptors()
    for _ in range(3):
        divert(one, new, 0.5)  # the last one counts, and the others are let go
    one.tell("divert", to=None)
    one.await_state("serving")
    assert sorted(one.descriptors()) == sorted(before)
    assert {client.ask().pid for client in clients(old, 10)} == {one.pid}
    divert(one, new, 0.5)
    one.pause()
    one.resume()
    assert {client.ask().pid for client in clients(old, 10)} == {one.pid}


def test_a_full_exchange_keeps_nobody_waiting(old: Generation, new: Generation) -> None:
    """Nobody takes what is passed on: once it is full, the others are served here, and that is counted."""
    one = old.start()
    one.resume()
    divert(one, new, 0.9)
    some = []
    while one.numbers.undiverted < 50:
        some.append(clients(old, 1)[0])
        some[-1].send(request())
    other = new.start()
    attend(other)
    pids = Counter(client.answer().pid for client in some)
    assert set(pids) == {one.pid, other.pid}
    assert pids[other.pid] == one.numbers.diverted
    assert old.log.count("cannot pass a new connection to the canary") == 1


def test_an_exchange_that_nobody_holds_any_more(old: Generation, new: Generation) -> None:
    one = old.start()
    one.resume()
    divert(one, new, 0.5)
    new.hold_exchange().close()
    assert {client.ask().pid for client in clients(old, 10)} == {one.pid}
    assert one.numbers.undiverted == 5


def test_orders_that_make_no_sense_change_nothing(old: Generation, new: Generation) -> None:
    one = old.start()
    one.resume()
    one.tell("attend")
    one.tell("divert", to=8, share=0.5)  # without its exchange
    one.tell("divert", (new.send,), to=8, share=1.5)
    one.tell("divert", (new.send,), to=8)
    one.tell("divert", (new.send,), to=8, share="much")
    assert {client.ask().pid for client in clients(old, 10)} == {one.pid}
    eventually(lambda: old.log.count("ignored an order") == 5, "each is refused")
    one.pause()
    one.tell("divert", (new.send,), to=8, share=0.5)
    eventually(lambda: "cannot divert: the worker is paused" in old.log, "it is refused")
