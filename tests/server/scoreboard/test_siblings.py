"""What a worker sees of the others."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from releve.server.scoreboard.scoreboard import Scoreboard, make
from releve.server.scoreboard.siblings import FIND_S


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    fd = make()
    yield Scoreboard(fd)
    os.close(fd)


def test_a_worker_sees_all_others_and_what_they_say(board: Scoreboard) -> None:
    mine, other = board.tally(3), board.tally(5)
    for tally in (mine, other):
        tally.put("threads", 8)
        tally.put("connections_max", 10)
    mine.add("accepted", 2)
    other.add("accepted", 7)
    other.put("connections", 4)
    siblings = board.siblings(3)
    assert siblings.accepted == 2
    (found,) = siblings.with_room(1.0)
    assert (found.slot, found.accepted, found.connections) == (5, 7, 4)
    other.put("busy", 8)
    assert siblings.with_room(1.0) == []


def test_one_that_comes_later_is_seen_soon(board: Scoreboard) -> None:
    board.tally(0)
    siblings = board.siblings(0)
    assert siblings.with_room(1.0) == []
    late = board.tally(1)
    late.put("threads", 1)
    late.put("connections_max", 1)
    assert [one.slot for one in siblings.with_room(1.0 + FIND_S)] == [1]
