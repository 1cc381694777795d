"""The accept queue, when workers pause or die."""

from __future__ import annotations

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
