"""When a service is saturated, and what the log hears of it."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from releve.supervisor.channels.board import Board
from releve.supervisor.channels.worker import Worker
from releve.supervisor.condition.saturation import Load, Saturation, load_of
from releve.supervisor.generation.generation import Generation

FULL = Load(16, 16, 37, 12.4)


def generation(*workers: dict[str, Any]) -> Generation:
    """One whose workers have written these numbers; each is this process."""
    board = Board()
    crew: dict[int, Any] = {}
    for slot, written in enumerate(workers):
        tally = board.tally(slot)
        for name, number in written.items():
            if name != "state":
                tally.put(name, number)
        crew[slot] = SimpleNamespace(pid=os.getpid(), slot=slot, state=written.get("state", "serving"))
        crew[slot].record = lambda board, one=crew[slot]: Worker.record(one, board)
    return cast(Generation, SimpleNamespace(workers=crew, board=board))


def worker(busy: int, full_s: float | None, **more: Any) -> dict[str, Any]:
    full_ns = 0 if full_s is None else time.monotonic_ns() - round(full_s * 1e9)
    return {"threads": 4, "busy": busy, "full_ns": full_ns, **more}


def test_a_service_is_full_for_as_long_as_all_of_its_workers_are() -> None:
    load = load_of(generation(worker(4, 60.0, waiting=2), worker(4, 12.0, waiting=1)), [])
    assert (load.busy, load.threads, load.waiting) == (8, 8, 3) and 12.0 <= (load.full_s or 0) < 30.0
    load = load_of(generation(worker(4, 60.0), worker(3, None), worker(0, None, state="paused")), [])
    assert load == Load(7, 8, 0, None)


@pytest.mark.parametrize(
    "workers",
    [
        (),
        (worker(4, 60.0), worker(4, None, threads=0, level=3)),
        (worker(4, -1e6),),  # reckoned when the tests are collected, long before they run
        (worker(4, 60.0, state="paused"),),
    ],
)
def test_nobody_says_full_of_what_is_not_known(workers: tuple[dict[str, Any], ...]) -> None:
    """No workers; one of an older release; a time that has not come."""
    assert load_of(generation(*workers), []).full_s is None
    assert load_of(None, []) == Load(0, 0, 0, None)


def test_what_is_said_of_it() -> None:
    assert FULL.words == "all 16 threads busy for 12 s, 37 waiting"
    assert Load(1, 1, 0, 2.6).words == "the only thread busy for 3 s"


def test_the_log_hears_of_it_when_it_begins_and_when_it_has_been_over_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    now = 1000.0
    saturation = Saturation(lambda: now)

    def look(load: Load) -> tuple[bool, list[str]]:
        caplog.clear()
        return saturation.look(load), caplog.messages

    burst, free = Load(16, 16, 0, 1.0), Load(9, 16, 0, None)
    assert look(burst) == (False, [])
    assert look(FULL) == (True, ["saturated: all 16 threads busy for 12 s, 37 waiting"])
    now += 5
    assert look(FULL) == (True, [])
    now += 5
    assert look(free) == (False, []), "it may be for a moment"
    now += 4
    assert look(FULL) == (True, [])
    now += 9
    assert look(free) == (False, [])
    now += 1
    assert look(free) == (False, ["no longer saturated after 26 s: 9 of 16 threads busy"])
    assert look(free) == (False, [])
