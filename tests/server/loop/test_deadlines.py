"""Deadlines: due in time and once, and cheap to move."""

from __future__ import annotations

import math

import pytest

from releve.server.loop.deadlines import TICK_S, Deadlines


class Item:
    def __init__(self) -> None:
        self.deadline, self.tick = math.inf, -1


def test_deadlines_are_due_in_time_and_once() -> None:
    deadlines: Deadlines[Item] = Deadlines()
    early, late, moved, dropped = (Item() for _ in range(4))
    assert deadlines.wait_s(0.0) is None
    for item, due in ((early, 1.0), (late, 9.0), (moved, 2.0), (dropped, 2.0)):
        deadlines.put(item, due)
    deadlines.put(moved, 5.0)
    deadlines.drop(dropped)
    assert deadlines.wait_s(0.5) == pytest.approx(0.5, abs=TICK_S)
    assert deadlines.due(0.9) == []
    assert deadlines.due(1.0 + TICK_S) == [early]
    assert deadlines.due(4.0) == []
    deadlines.put(late, 4.5)
    assert deadlines.due(5.0 + TICK_S) == [late, moved]
    assert deadlines.wait_s(6.0) is None or deadlines.due(100.0) == []


def test_a_deadline_taken_away_never_comes() -> None:
    deadlines: Deadlines[Item] = Deadlines()
    item = Item()
    deadlines.put(item, 1.0)
    deadlines.put(item, math.inf)
    assert deadlines.due(10.0) == []
    assert (item.tick, deadlines.wait_s(10.0)) == (-1, None)


def test_moving_a_deadline_keeps_no_entries() -> None:
    deadlines: Deadlines[Item] = Deadlines()
    items = [Item() for _ in range(10)]
    for number in range(10_000):
        deadlines.put(items[number % 10], 75.0 + number / 1000)
    assert sum(map(len, deadlines._buckets.values())) == 10
