"""The screen of ``ctl top``, at some widths."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from releve.ctl.top.sample import Frame, frame, sample
from releve.ctl.top.screen import DROPPED, draw


def worker(generation: int, number: int, requests: int, **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"generation": generation, "worker": number, "pid": generation * 1000 + number}
    said |= {"requests": requests, "state": "serving" if generation == 8 else "paused", "busy": 1}
    return {**said, "connections": 4, "pss_bytes": 80 << 20, "threads": 8, "statuses": {"5xx": 0}, **more}


def during_an_upgrade(workers: int = 2) -> Frame:
    now = [{"age_s": 12.3, "method": "GET", "target": "/report/" + "x" * 300, "peer": "192.0.2.7:4242"}]

    def of(old: int, new: int) -> dict[str, Any]:
        before = [worker(7, number, old) for number in range(1, workers + 1)]
        after = [worker(8, number, new, requests_now=now if number == 1 else []) for number in range(1, workers + 1)]
        operation = {
            "verb": "upgrade",
            "number": 3,
            "phase": "probation",
            "since_s": 4.2,
            "phases": {"preflight": 0.1, "boot": 1.5, "probation": 2.0},
            "doing": "5 requests",
        }
        return {
            "service": {"name": "shop", "app": "shop.wsgi:app", "state": "on trial", "operation": operation},
            "generations": [
                {"generation": 7, "state": "standby", "release": "41", "workers": before},
                {"generation": 8, "state": "serving", "release": "42", "active": True, "workers": after},
            ],
            "workers": before + after,
        }

    return frame(sample(0.0, of(10, 0), of(10, 0)), sample(1.0, of(20, 30), of(20, 30)))


def shown(found: Frame, width: int, height: int = 40, trouble: str = "") -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, markup=False, emoji=False, highlight=False)
    console.print(draw(found, "08:15:00", width, height, trouble))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "head"),
    [
        (80, "worker  pid  state req/s 5xx p50 p99 busy conns memory"),
        (63, "worker  pid  state req/s 5xx p50 p99 busy conns"),
        (56, "worker  pid  state req/s 5xx p50 p99 busy"),
        (48, "worker  pid  state req/s 5xx p99 busy"),
        (40, "worker state req/s 5xx p99 busy"),
        (30, "worker state req/s busy"),
        (12, "worker busy"),
    ],
)
def test_what_is_left_out_where_there_is_no_room_is_said_and_busy_never_is(width: int, head: str) -> None:
    lines = shown(during_an_upgrade(), width)
    rows = [line.split() for line in lines if line.startswith("worker")]
    assert rows == [head.split()] * 2
    missing = [name for name in DROPPED if name not in head.split()]
    said = f"no room for {', '.join(missing)}"
    assert (said in " ".join(" ".join(lines).split())) is bool(missing)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_an_upgrade_and_the_change_of_the_guard(width: int) -> None:
    lines = shown(during_an_upgrade(), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    for word in ("shop shop.wsgi:app", "on trial", "80.0 req/s", "busy 4/16", "› probation: 5"):
        assert word in text, text
    assert "✓ probation" not in text
    for name in ("7.1", "7.2", "8.1", "8.2", "7001", "8002"):
        assert name in text
    [old] = [line for line in lines if "generation 7" in line]
    assert ("generation 8" in old) is (width >= 150), "side by side where there is room"
    assert "12s  GET /report/xxx" in text and ("█" in text or width < 80)


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (80, "upgrade 3  ✓ preflight 0.1s  ✓ boot 1.5s  › probation: 5 requests  (4.2s so far)"),
        (62, "upgrade 3  ✓ boot 1.5s  › probation: 5 requests  (4.2s so far)"),
        (61, "upgrade 3  › probation: 5 requests  (4.2s so far)"),
    ],
)
def test_the_first_phases_make_room_for_what_is_under_way(width: int, told: str) -> None:
    assert told in shown(during_an_upgrade(), width)


def test_a_worker_that_ends_uses_no_memory_that_is_worth_a_figure() -> None:
    ending = worker(7, 1, 0, state="leaving", pss_bytes=0, rss_bytes=0)
    said: dict[str, Any] = {"service": {}, "generations": [{"generation": 7, "workers": [ending]}], "workers": [ending]}
    [row] = [line for line in shown(frame(sample(0.0, said, said), sample(1.0, said, said)), 80) if "leaving" in line]
    assert row.split()[-1] == "-"


def test_the_tables_of_generations_are_aligned() -> None:
    said: dict[str, Any] = {"service": {"state": "serving"}, "workers": []}
    said["generations"] = [
        {"generation": number, "workers": [worker(number, 1, 0, connections=connections)]}
        for number, connections in ((7, 4), (8, 123_456))
    ]
    for one in said["generations"]:
        said["workers"] += one["workers"]
    heads = [line for line in shown(frame(sample(0.0, said, said), sample(1.0, said, said)), 80) if "5xx  p50" in line]
    assert len(heads) == 2 and len(set(heads)) == 1


def test_the_busiest_workers_are_shown_where_there_is_no_room_for_all() -> None:
    lines = shown(during_an_upgrade(workers=40), 80, 24)
    assert len(lines) < 40 and any("more that answered fewer requests" in line for line in lines)


def test_a_service_that_is_pressed_says_so() -> None:
    said: dict[str, Any] = {"service": {"state": "serving", "saturated": "all 16 threads busy for 12 s"}}
    lines = shown(frame(sample(0.0, said, {}), sample(0.0, said, {})), 100)
    assert "serving, saturated: all 16 threads busy for 12 s" in lines[0]


def test_what_cannot_be_known_now_is_said() -> None:
    assert "no supervisor answers" in "\n".join(shown(during_an_upgrade(), 80, trouble="no supervisor answers"))


def test_an_idle_service_of_another_release() -> None:
    nothing: dict[str, Any] = {"service": {"state": "serving"}, "generations": [{"generation": 1}]}
    lines = shown(frame(sample(0.0, nothing, {}), sample(0.0, nothing, {})), 80)
    assert lines[0].startswith("service  serving") and lines[1].startswith("- req/s")
    assert "no workers yet" in "\n".join(lines) and lines[-1] == "no request in the application now"
