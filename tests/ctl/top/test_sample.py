"""Samples, and what happened between two of them."""

from __future__ import annotations

from typing import Any

import pytest

from releve.ctl.top.sample import Traffic, frame, sample
from releve.server.scoreboard.record import BUCKETS, bucket, quantile_s


def status(*generations: dict[str, Any], **service: Any) -> dict[str, Any]:
    return {"status": 0, "service": service, "generations": list(generations), "last": None}


def worker(number: int, requests: int, errors: int = 0, pid: int = 0, **more: Any) -> dict[str, Any]:
    said = {"worker": number, "pid": pid or 800 + number, "requests": requests, "busy": 1, "connections": 2}
    return {**said, "statuses": {"2xx": requests - errors, "5xx": errors}, **more}


def generation(number: int, *workers: dict[str, Any]) -> dict[str, Any]:
    return {"generation": number, "state": "serving", "workers": list(workers)}


def test_what_happened_between_two_samples() -> None:
    first = [worker(1, 100, 5), worker(2, 50)]
    second = [worker(1, 120, 7), worker(2, 60), worker(3, 10, pid=900)]
    found = frame(
        sample(10.0, status(generation(8, *first)), {"workers": first}),
        sample(12.0, status(generation(8, *second)), {"workers": second}),
    )
    assert (found.traffic.requests, found.traffic.errors, found.traffic.rate) == (40, 2, 20.0)
    assert found.traffic.error_share == 0.05
    assert [(one.name, one.traffic.requests) for one in found.workers] == [("8.1", 20), ("8.2", 10), ("8.3", 10)]
    assert found.total("connections") == 6 and found.total("threads") == 0


def test_another_worker_of_the_same_number_begins_at_nothing() -> None:
    before, after = (worker(1, 100, pid=7), worker(1, 3, pid=8))
    found = frame(sample(0.0, status(generation(1, before)), {}), sample(1.0, status(generation(1, after)), {}))
    assert found.traffic.requests == 3
    less = worker(1, 9, pid=7)
    fewer = frame(sample(0.0, status(generation(1, before)), {}), sample(1.0, status(generation(1, less)), {}))
    assert fewer.traffic.requests == 0, "a board of another release"


def test_what_the_workers_verb_says_is_added_by_the_pid() -> None:
    one = {"pid": 801, "generation": 3, "requests": 7, "requests_now": [{"age_s": 1.0}, "x"]}
    told = {"workers": [one, {"pid": 5}]}
    found = sample(0.0, status(generation(3, worker(1, 6))), told)
    assert [(one["generation"], one["requests"]) for one in found.workers] == [(3, 7)]
    assert frame(found, found).workers[0].requests == [{"age_s": 1.0}]


@pytest.mark.parametrize("result", [{}, {"service": [], "generations": 5}, {"generations": [{"workers": "x"}, 7]}])
def test_whatever_is_missing_is_left_out(result: dict[str, Any]) -> None:
    found = frame(sample(0.0, result, {}), sample(1.0, result, result))
    assert (found.workers, found.traffic.requests, found.operation) == ([], 0, {})


def test_durations_are_those_between_the_samples() -> None:
    def counted(*seconds: float) -> list[int]:
        counts = [0] * BUCKETS
        for one in seconds:
            counts[bucket(one)] += 1
        return counts

    early, late = [0.001] * 5, [0.1] * 98 + [3.0] * 2
    before = worker(1, 5, durations=counted(*early))
    after = worker(1, 105, durations=counted(*early, *late))
    found = frame(sample(0.0, status(generation(1, before)), {}), sample(1.0, status(generation(1, after)), {}))
    for share in (0.5, 0.99):
        assert found.traffic.quantile_s(share) == quantile_s(counted(*late), share)
    assert found.traffic.quantile_s(0.5) == 0.131072 and found.traffic.quantile_s(0.99) == 4.194304
    assert Traffic(1.0).quantile_s(0.5) is None
