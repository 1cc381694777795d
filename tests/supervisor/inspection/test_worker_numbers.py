"""What status and workers tell alike of a worker: its numbers, where they are its own, and what it takes."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator

import pytest

from releve.server.shared.link import pair
from releve.supervisor.channels.board import Board
from releve.supervisor.channels.worker import LastExit, Worker
from releve.supervisor.host.usage import CpuMeter, Usage
from releve.supervisor.inspection.worker_numbers import numbers


@pytest.fixture
def worker() -> Iterator[Worker]:
    ours, theirs = pair()
    made = Worker(4, os.getpid(), 2, 3, ours, os.pidfd_open(os.getpid()), "paused")
    yield made
    made.close()
    theirs.close()


def test_what_it_has_counted_and_what_it_takes(worker: Worker) -> None:
    board = Board()
    tally = board.tally(worker.slot)
    tally.put("accepted", 5)
    for name, number in {"threads": 8, "waiting": 2, "connections_max": 90}.items():
        tally.put(name, number)
    worker.restarts, worker.last_exit = 3, LastExit("worker 3 was killed", time.monotonic() - 7.0)
    cpu = CpuMeter(lambda pid: time.monotonic() / 2)  # half a processor
    cpu.sample([worker.pid])
    cpu._samples[worker.pid] = [(when - 10.0, used - 5.0) for when, used in cpu._samples[worker.pid]]
    worker.started = time.monotonic() - 100.0
    told = numbers(worker, worker.record(board), Usage(2000, None), cpu, "accepted", "given")
    assert 100.0 <= told.pop("age_s") < 200.0 and 7.0 <= told["last_exit"].pop("age_s") < 100.0
    assert told.pop("descriptors_max") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert told.pop("descriptors") > 0
    assert told == {
        "worker": 4,
        "pid": os.getpid(),
        "state": "paused",
        "revision": 3,
        "requests": 0,
        "connections": 0,
        "connections_max": 90,
        "threads": 8,
        "waiting": 2,
        "busy": 0,
        "accepted": 5,
        "given": 0,
        "rss_bytes": 2000,
        "pss_bytes": None,
        "cpu_percent": 50.0,
        "restarts": 3,
        "last_exit": {"what": "worker 3 was killed"},
    }


def test_of_whom_nobody_knows_anything_it_is_nothing(worker: Worker) -> None:
    board = Board()
    assert worker.record(board) is None and worker.calls(board) is None
    told = numbers(worker, worker.record(board), None, CpuMeter(), "accepted")
    assert (told["requests"], told["accepted"], told["rss_bytes"], told["pss_bytes"]) == (0, 0, None, None)
    assert (told["cpu_percent"], told["restarts"], told["last_exit"]) == (None, 0, None)
    assert not {"threads", "waiting", "connections_max"} & told.keys()
    board.close()
