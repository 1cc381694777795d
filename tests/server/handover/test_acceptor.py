"""The accept queue, when workers pause or die."""

from __future__ import annotations

from collections import Counter

from harness.workers import Generation, connect, eventually, freeze, request, thaw


def test_the_accept_queue_is_swept_at_a_pause(old: Generation, new: Generation) -> None:
    one, other = old.start(threads=1), new.start(threads=1)
    one.resume()
    freeze(one)
    clients = [connect(old) for _ in range(50)]
    for client in clients:
        client.send(request())
    one.tell("pause", (new.send,), to=new.number)
    thaw(one)
    one.await_state("paused")
    eventually(lambda: one.numbers.connections == 0, "nothing stays")
    other.resume()
    assert {client.answer().status for client in clients} == {200}


def test_a_worker_killed_between_wake_and_accept_strands_nobody(old: Generation) -> None:
    victim, sibling = old.start(), old.start()
    victim.resume()
    freeze(victim)
    sibling.resume()
    freeze(sibling)
    client = connect(old)
    client.send(request())
    victim.process.kill()
    victim.ended()
    thaw(sibling)
    assert client.answer().pid == sibling.pid


def test_a_paused_worker_wakes_nobody_less(old: Generation) -> None:
    one, other = old.start(), old.start()
    one.resume()
    other.resume()
    for _ in range(10):
        one.pause()
        assert connect(old).ask().pid == other.pid
        one.resume()
        other.pause()
        assert connect(old).ask().pid == one.pid
        other.resume()


def test_newcomers_go_to_the_worker_that_has_fewer_connections(old: Generation) -> None:
    # a moment that is long enough for a machine that others use too
    constants = {"handover.acceptor.MOMENT_S": 0.2}
    workers = [old.start(constants=constants), old.start(constants=constants)]
    clients = []

    def newcomers(number: int) -> Counter[int]:
        counts: Counter[int] = Counter()
        for _ in range(number):
            clients.append(connect(old))  # each is kept
            counts[clients[-1].ask().pid] += 1
        return counts

    for more, fewer in (workers, reversed(workers)):
        more.resume()
        assert newcomers(40) == {more.pid: 40}
        fewer.resume()
        assert newcomers(40)[fewer.pid] >= 35, "at random it would be twenty"
        fewer.pause()
        more.pause()


def test_a_newcomer_does_not_wait_for_a_sibling_that_is_stopped(old: Generation) -> None:
    one, other = old.start(), old.start()
    one.resume()
    other.resume()
    freeze(other)
    for _ in range(50):
        assert connect(old).ask().pid == one.pid
    thaw(other)
