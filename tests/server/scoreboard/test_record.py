"""The record of a worker: what it counts is found in places that never change."""

from __future__ import annotations

import os
import struct

from hypothesis import given
from hypothesis import strategies as st

from releve.server.scoreboard import inflight, record
from releve.server.scoreboard.inflight import Inflight
from releve.server.scoreboard.record import BUCKETS, Tally, bucket, quantile_s


def test_each_number_has_the_place_that_other_releases_know() -> None:
    data = bytearray(record.BYTES)
    tally = Tally(memoryview(data), Inflight(memoryview(bytearray(inflight.BYTES)), inflight.RECORD_BYTES))
    tally.begin(4)
    for kind, number in ((2, 1), (3, 2), (4, 3), (5, 4), (0, 5), (10 + 5, 6)):
        tally.answered(kind, number)
    tally.durations[BUCKETS - 1] += 7
    for number, name in enumerate(("received", "given", "accepted", "diverted", "undiverted"), 10):
        tally.add(name, number)
    for number, name in enumerate(("connections", "busy", "lost"), 20):
        tally.put(name, number)
    written = struct.unpack(f"={len(data) // 8}Q", data)
    assert written[0] == os.getpid() and written[1] == 0
    assert written[2:12] == (16, 20, 21, 1, 2, 3, 10, 10, 11, 12)
    assert written[12:40] == (*(0,) * 27, 7)
    assert written[40:47] == (13, 14, 4, 5, 6, 6, 22)
    tally.beat()
    found = record.read(bytes(data))
    assert (found.requests, found.status_5xx, found.polled_5xx, found.own) == (16, 10, 6, 5)
    assert found.heartbeat_ns > 0 and found.durations[-1] == 7 and found.level == 4


@given(st.floats(0, 1e6))
def test_a_duration_is_in_the_bucket_that_its_quantile_names(seconds: float) -> None:
    durations = [0] * BUCKETS
    durations[bucket(seconds)] += 1
    below = quantile_s(durations, 0.99)
    assert below is not None
    assert seconds < below + 1e-6 or bucket(seconds) == BUCKETS - 1
    assert quantile_s([0] * BUCKETS, 0.99) is None
