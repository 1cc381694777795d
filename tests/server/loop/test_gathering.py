"""What is known of a body that is still to come: whether its client is fast, and whether it waits for an answer."""

from __future__ import annotations

from releve.server.loop.gathering import FAST_BYTES, FAST_RATE, FIRST_S, Gathering


def test_what_comes_with_the_head_is_not_late() -> None:
    one = Gathering(10.0)
    one.take(1, 10.0 + FIRST_S)
    assert not one.late
    one.take(1, 10.0 + FIRST_S + 0.01)
    assert one.late
    assert one.bytes == 2
    one.take(1, 10.0)
    assert one.late  # for good


def test_who_is_fast_has_sent_much_and_quickly() -> None:
    one = Gathering(10.0)
    one.take(FAST_BYTES - 1, 10.0)
    assert not one.is_fast(10.0)
    one.take(1, 10.0)
    assert one.is_fast(10.0 + FAST_BYTES / FAST_RATE)
    assert not one.is_fast(10.1 + FAST_BYTES / FAST_RATE)
