"""What a worker uses of what it may."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from harness.pins import PIN
from releve.config.settings.settings import Settings
from releve.server.shared.link import pair
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.generation import Generation
from releve.supervisor.host.usage import CpuMeter
from releve.supervisor.inspection.worker_use import WorkerUse, of_generation


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, (False, False, False)),
        ({"connections": 90, "connections_max": 100}, (True, False, False)),
        ({"connections": 89, "connections_max": 100}, (False, False, False)),
        ({"connections": 90}, (False, False, False)),
        ({"descriptors": 90, "descriptors_max": 100}, (False, True, False)),
        ({"descriptors": 89, "descriptors_max": 100}, (False, False, False)),
        ({"cpu_percent": 90.0}, (False, False, True)),
        ({"cpu_percent": 89.9}, (False, False, False)),
    ],
)
def test_near_a_limit(more: dict[str, Any], told: tuple[bool, bool, bool]) -> None:
    one = WorkerUse("8.2", 4711, **more)
    assert (one.crowded, one.short, one.hot) == told


def test_of_a_generation_with_a_worker_that_has_not_said_anything() -> None:
    async def story() -> None:
        made = Generation(8, PIN, Settings(app="shop:app"), [])
        for number in (2, 1):
            ours, theirs = pair()
            theirs.close()
            pid = os.getpid()
            made.roster.workers[number] = Worker(number, pid, number, 1, ours, os.pidfd_open(pid), "serving")
        tally = made.board.tally(2)
        for name, value in (("threads", 4), ("connections", 7), ("connections_max", 9)):
            tally.put(name, value)
        del tally  # it holds the memory of the board
        first, second = of_generation(made, CpuMeter())
        assert (first.name, first.connections_max, first.crowded) == ("8.1", 0, False)
        assert (second.name, second.connections, second.connections_max) == ("8.2", 7, 9)
        assert second.descriptors and second.descriptors_max and second.cpu_percent is None
        for worker in made.workers.values():
            worker.close()
        made.workers.clear()
        made.kill()

    asyncio.run(story())
