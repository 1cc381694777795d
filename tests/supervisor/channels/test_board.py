"""The scoreboard as the supervisor holds it: its own, or taken over, and empty once it is closed."""

from __future__ import annotations

import os

import pytest

from releve.server.scoreboard.scoreboard import Scoreboard
from releve.supervisor.channels.board import Board


def test_what_a_worker_writes_is_read_until_it_is_closed() -> None:
    board = Board()
    theirs = os.dup(board.fileno())
    writer = Scoreboard(theirs)
    writer.tally(3).put("requests", 7)
    assert board.read(3).pid == os.getpid()
    board.close()
    assert board.fileno() == -1 and board.read(3).pid == 0 and board.calls(3) == []
    board.close()
    writer.close()
    os.close(theirs)


def test_one_that_is_taken_over_has_the_numbers_of_before_and_is_owned() -> None:
    before = Board()
    writer = Scoreboard(before.fileno())
    writer.tally(1)
    fd = os.dup(before.fileno())
    after = Board(fd)
    writer.close()
    before.close()
    assert after.fileno() == fd and after.read(1).pid == os.getpid()
    after.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_of_workers_that_wrote_nothing_there_is_no_evidence() -> None:
    board = Board()
    assert board.evidence([]) == board.evidence([0, 1]) == {}
    board.close()
