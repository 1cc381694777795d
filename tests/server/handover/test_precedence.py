"""Who takes a newcomer, as the numbers on the scoreboard have it."""

from __future__ import annotations

from array import array

from releve.server.handover.precedence import BATCH, CROWD_S, LEAD, PATIENCE, VAIN_S, Precedence
from releve.server.scoreboard.record import PLACE
from releve.server.scoreboard.siblings import Siblings

EACH = max(PLACE.values()) + 1


class Board:
    """The numbers of three slots; the first one is this worker's, and nobody has the third at first."""

    def __init__(self) -> None:
        self.numbers = array("Q", bytes(8 * 3 * EACH))
        for slot in (0, 1):
            self.put(slot, pid=1 + slot, threads=8, connections_max=1000, heartbeat_ns=1)
        self.precedence = Precedence(Siblings(memoryview(self.numbers), EACH, 0))

    def put(self, slot: int, **numbers: int) -> None:
        for name, number in numbers.items():
            self.numbers[slot * EACH + PLACE[name]] = number

    def most(self, connections: int, now: float = 1.0) -> int:
        return self.precedence.most(connections, now)


def test_the_one_with_fewer_connections_takes_as_many_as_make_them_equal() -> None:
    board = Board()
    board.put(1, connections=7)
    assert board.most(8) == 0
    assert board.most(4) == 3
    board.put(1, connections=100)
    assert board.most(4) == BATCH


def test_of_equals_the_one_that_was_first_several_times_leaves_it_to_the_other() -> None:
    board = Board()
    for accepted in range(LEAD):
        board.put(0, accepted=accepted)
        assert board.most(0) == 1
    board.put(0, accepted=LEAD)
    assert board.most(0) == 0
    board.put(1, accepted=1)
    assert board.most(0) == 1


def test_a_worker_that_has_just_come_does_not_make_up_for_what_was_before() -> None:
    board = Board()
    board.put(0, accepted=1_000_000)
    assert board.most(5) == 0, "the other has none"
    board.put(2, pid=9, threads=8, connections_max=1000, heartbeat_ns=1)
    board.put(1, connections=5)
    board.put(2, connections=5)
    board.put(1, accepted=1_000_000)
    assert board.most(5, 5.0) == 1


def test_a_sibling_without_a_free_thread_or_at_its_limit_is_not_waited_for() -> None:
    board = Board()
    board.put(1, busy=8)
    assert board.most(8) == BATCH
    board.put(1, busy=7)
    assert board.most(8) == 0
    board.put(1, connections=3, connections_max=3)
    assert board.most(8) == BATCH


def test_what_a_sibling_does_not_take_in_a_moment_is_taken_and_a_batch_in_advance_too() -> None:
    board = Board()
    assert board.most(1) == 0
    board.precedence.over(True, 1.0)
    assert board.most(1, 1.0) == BATCH - 1
    assert board.most(BATCH, 1.0) == 0, "and no more than that"
    assert board.most(1, 1.0 + CROWD_S) == 0, "they are no crowd any more"


def test_a_sibling_that_does_not_come_is_waited_for_again_only_when_it_has_turned() -> None:
    board = Board()
    for _ in range(PATIENCE):
        assert board.most(BATCH, 1.0) == 0
        board.precedence.over(True, 1.0)
    assert board.most(BATCH, 1.0) == BATCH
    later = 1.0 + VAIN_S + CROWD_S
    assert board.most(BATCH, later) == BATCH, "it has not turned since"
    board.put(1, heartbeat_ns=2)
    assert board.most(BATCH, later) == 0


def test_a_sibling_that_comes_is_waited_for_however_often() -> None:
    board = Board()
    for accepted in range(1, 5 * PATIENCE):
        assert board.most(BATCH + accepted, 1.0) == 0
        board.put(1, accepted=accepted)
        board.precedence.over(True, 1.0)
