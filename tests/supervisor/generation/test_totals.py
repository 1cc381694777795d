"""What the records of a generation amount to, over worker deaths, new workers in old slots, and a minute."""

from __future__ import annotations

import os
import struct
from typing import Any

from releve.server.scoreboard.header import LEVEL
from releve.server.scoreboard.record import BUCKETS, Record
from releve.server.scoreboard.scoreboard import Scoreboard, make
from releve.supervisor.generation.totals import RunningTotals, Totals

NOTHING: dict[str, Any] = dict.fromkeys(
    ("heartbeat_ns", "connections", "busy", "status_2xx", "status_3xx", "status_4xx", "received", "given", "accepted"),
    0,
)


def record(pid: int, requests: int, errors: int = 0) -> Record:
    return Record(
        pid=pid, requests=requests, status_5xx=errors, durations=(requests,) + (0,) * (BUCKETS - 1), **NOTHING
    )


class Board:
    """Records by slot, and a clock."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self.now = 1000.0
        self.traffic = RunningTotals(lambda: list(self.records.items()), lambda: self.now)


def test_a_new_worker_in_the_slot_of_a_dead_one_adds_to_what_that_one_did() -> None:
    board = Board()
    board.records[0] = record(10, 100, 3)
    assert board.traffic.sample().requests == 100
    board.records[0] = record(10, 150, 4)  # its last numbers, seen only after its death
    assert board.traffic.sample() == Totals(150, 4, (150,) + (0,) * (BUCKETS - 1))
    board.records[0] = record(11, 7)
    board.records[1] = record(12, 1, 1)
    total = board.traffic.sample()
    assert (total.requests, total.errors) == (158, 5)
    assert board.traffic.sample() == total


def test_what_came_recently_and_in_how_many_seconds() -> None:
    board = Board()
    board.records[0] = record(10, 1000)
    assert board.traffic.recent(10.0)[0].requests == 0, "nobody knows when those came"
    board.now, board.records[0] = 1003.0, record(10, 1030)
    assert (board.traffic.recent(10.0)[0].requests, board.traffic.recent(10.0)[1]) == (30, 3.0)
    board.now, board.records[0] = 1012.0, record(10, 1060, 4)
    recent, seconds = board.traffic.recent(9.0)
    assert (recent.requests, recent.errors, seconds) == (30, 4, 9.0)
    assert board.traffic.recent(10.0)[1] == 12.0


def test_the_last_minute_is_no_longer_than_that() -> None:
    board = Board()
    for second in range(0, 200, 5):
        board.now = 1000.0 + second
        board.records[0] = record(10, second, second // 10)
        board.traffic.sample()
    board.now += 0.1
    last = board.traffic.last_minute()
    assert last.requests in (60, 65)
    assert last.errors in (6, 7)


def test_slots_that_nobody_has_written_yet_count_nothing() -> None:
    board = Board()
    board.records[0] = record(0, 0)
    assert board.traffic.last_minute() == Totals()
    assert Totals().share == 0 and Totals().p99_s is None


def test_the_connections_of_a_canary_are_counted_behind_what_older_releases_know() -> None:
    fd = make()
    tally = Scoreboard(fd).tally(0)
    tally.add("accepted", 30)
    tally.add("diverted", 3)
    tally.add("undiverted", 1)
    record = Scoreboard(fd).read(0)
    assert (record.accepted, record.diverted, record.undiverted, sum(record.durations)) == (30, 3, 1, 0)
    data = os.pread(fd, 512, 512)  # the first record: twelve numbers and the durations, as they have always been
    assert int.from_bytes(data[8 * (12 + BUCKETS) :][:8], "little") == 3
    traffic = RunningTotals(lambda: [(0, record)])
    assert (traffic.sample().accepted, traffic.sample().diverted, traffic.sample().undiverted) == (30, 3, 1)


def test_an_older_worker_counted_its_own_answers_too() -> None:
    """Its supervisor is new: what is in no class of statuses were answers to balancers.

    The other way round nothing changes places.
    """
    fd = make()
    tally = Scoreboard(fd).tally(0)
    for kind, number in ((0, 500), (2, 30), (5, 20), (10 + 5, 4), (10 + 2, 6)):
        tally.answered(kind, number)
    record = Scoreboard(fd).read(0)
    assert (record.level, record.requests, record.status_2xx, record.status_5xx) == (LEVEL, 60, 36, 24)
    assert (record.own, record.polled, record.polled_5xx) == (500, 10, 4)
    traffic = RunningTotals(lambda: [(0, record)])
    assert (traffic.sample().requests, traffic.sample().errors) == (60, 24)
    assert (traffic.sample().unpolled.requests, traffic.sample().unpolled.errors) == (50, 20)
    numbers = struct.unpack("=12Q", os.pread(fd, 96, 512))  # as the first version reads them
    assert (numbers[2], numbers[5:9]) == (60, (36, 0, 0, 24))
    os.pwrite(fd, struct.pack("=Q", 560), 512 + 16)  # as the first version wrote them
    os.pwrite(fd, bytes(4 * 8), 512 + 8 * (12 + BUCKETS + 2))
    old = Scoreboard(fd).read(0)
    assert (old.level, old.requests, old.status_2xx, old.status_5xx, old.own) == (0, 60, 36, 24, 0)


def test_a_worker_counts_in_place() -> None:
    fd = make()
    board = Scoreboard(fd)
    tally = board.tally(3)
    tally.durations[5] += 2
    tally.answered(5, 2)
    tally.add("accepted", 1)
    seen = Scoreboard(fd).read(3)
    assert seen.durations[5] == 2 and sum(seen.durations) == 2
    assert (seen.requests, seen.status_5xx, seen.accepted) == (2, 2, 1)
