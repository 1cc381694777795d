"""The numbers of a frame in words."""

from __future__ import annotations

import json

import pytest

from releve.ctl.top import words
from releve.ctl.top.sample import Frame, GenerationFrame, Traffic, WorkerFrame

TRAFFIC = Traffic(2.0, 250, 5, (0,) * 10 + (240, 10))
SERVICE = {"state": "serving"}
WORKER = WorkerFrame({"generation": 8, "worker": 1, "pid": 811, "busy": 3, "connections": 9}, TRAFFIC)
FRAME = Frame(
    SERVICE,
    {"verb": "upgrade", "number": 3, "phase": "probation"},
    {},
    (GenerationFrame({"generation": 8, "state": "serving", "active": True}, (WORKER,), TRAFFIC),),
    TRAFFIC,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [((0,) * 5 + (1,), "<32µs"), ((0,) * 14 + (1,), "<16ms"), ((0,) * 22 + (1,), "<4.2s"), ((), "-")],
)
def test_a_duration_is_known_to_a_power_of_two(seconds: tuple[int, ...], text: str) -> None:
    assert words.duration(Traffic(1.0, 1, 0, seconds), 0.5) == text


def test_rates() -> None:
    assert words.rate(TRAFFIC) == "125" and words.rate(Traffic(2.0, 25)) == "12.5"
    assert words.rate(Traffic(0.0)) == words.errors(Traffic(1.0)) == "-"
    assert words.errors(TRAFFIC) == "2.0%"
    assert words.busy(3, 8) == "3/8" and words.busy(3, None) == "3"


def test_a_line() -> None:
    line = words.aligned(words.cells("08:15:00", FRAME))
    assert line.split() == [
        *("08:15:00", "serving", "8", "125", "2.0%", "<1ms", "<2ms", "3", "9", "1", "upgrade", "3:", "probation"),
    ]
    assert line.index("125") + 3 == words.aligned(words.HEAD).index("req/s") + 5, "the numbers stand below their names"


def test_for_programs() -> None:
    said = json.loads(json.dumps(words.as_json("now", FRAME)))
    assert (said["requests_per_s"], said["share_5xx"]) == (125.0, 0.02)
    assert (said["p50_s"], said["p99_s"]) == (0.001024, 0.002048)
    [generation] = said["generations"]
    assert generation["generation"] == 8 and generation["workers"][0]["worker"] == "8.1"
