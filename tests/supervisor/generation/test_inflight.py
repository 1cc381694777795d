"""Requests in flight in words: what a worker did when it ended, and who ended it."""

from __future__ import annotations

import signal
import time
from typing import cast

import pytest

from releve.server.scoreboard.inflight import InflightCall
from releve.supervisor.generation.inflight import IDLE, NAMED_MAX, describe, ending, words
from releve.supervisor.host.oom import Oom

IDLES = InflightCall(1, 7)


class Counters:
    """The kernel's, which say one thing."""

    def verdict(self) -> str:
        return "not the kernel's OOM killer"


OOM = cast(Oom, Counters())


def call(age_s: float, target: str = "/report", peer: str = "10.0.0.7") -> InflightCall:
    return InflightCall(2, 8, 1000.0 - age_s, "GET", target, peer)


def test_the_oldest_is_named_first_and_who_serves_nothing_is_not() -> None:
    assert words([], 1000.0) == words([IDLES], 1000.0) == IDLE
    assert words([call(1.0, "/b", ""), IDLES, call(12.34)], 1000.0) == (
        "while serving GET /report (12.3 s, client 10.0.0.7), GET /b (1.0 s)"
    )


def test_of_many_some_are_named() -> None:
    shown = words([call(1.0)] * (NAMED_MAX + 3), 1000.0)
    assert shown.count("GET /report") == NAMED_MAX and shown.endswith(", and 3 more")


def test_a_clock_that_a_worker_claims_is_no_negative_age() -> None:
    assert "(0.0 s" in words([call(-50.0)], 1000.0) and describe(call(-50.0), 1000.0)["age_s"] == 0.0


def test_one_request_for_json() -> None:
    told = {"method": "GET", "target": "/report", "peer": "10.0.0.7", "age_s": 1.5}
    assert describe(call(1.5), 1000.0) == told


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (3, "exited with status 3"),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-signal.SIGKILL, "was killed by SIGKILL (not the kernel's OOM killer)"),
    ],
)
def test_how_a_worker_has_ended(status: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    assert ending(status, None, OOM) == shown
    assert ending(status, [IDLES], OOM) == f"{shown} {IDLE}"
    assert ending(status, [call(2.0, peer="")], OOM) == f"{shown} while serving GET /report (2.0 s)"
