"""What ``ctl workers`` tells of workers that answer, that hang, and that nobody knows anything of."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from releve.server.scoreboard import scoreboard
from releve.server.scoreboard.scoreboard import Scoreboard
from releve.server.shared.link import Link, Message, pair
from releve.server.shared.states import HEARING, WorkerState
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host.usage import CpuMeter
from releve.supervisor.inspection import workload
from releve.supervisor.service.service import Service


@pytest.fixture
def fd() -> Iterator[int]:
    made = scoreboard.make()
    yield made
    os.close(made)


def worker(number: int, state: str) -> tuple[Worker, Link]:
    """One in the slot of its number, and its end of the control pair. It is this process."""
    ours, theirs = pair()
    return Worker(number, os.getpid(), number, 1, ours, os.pidfd_open(os.getpid()), state), theirs


def heard(link: Link) -> Message | None:
    with suppress(BlockingIOError):  # nothing, and our end of it is not closed yet
        received = link.receive()
        return None if received is None else received[0]
    return None


def write(fd: int, slot: int, pid: int, heartbeat_ns: int) -> None:
    os.pwrite(fd, struct.pack("=QQ", pid, heartbeat_ns), 512 * (slot + 1))


def ask(fd: int, *workers: Worker, state: GenerationState = GenerationState.SERVING) -> list[dict[str, Any]]:
    """The workers as the verb tells them."""
    board = Scoreboard(fd, careful=True)
    crew = {one.number: one for one in workers}
    generation = SimpleNamespace(number=2, state=state, board=board, workers=crew)
    service = cast(Service, SimpleNamespace(generations=lambda: [generation], cpu=CpuMeter()))
    told: list[dict[str, Any]] = asyncio.run(workload.snapshot(service))["workers"]
    board.close()
    for one in workers:
        one.close()
    return told


@pytest.mark.parametrize("state", [*WorkerState, "dancing"])
def test_those_that_hear_are_pinged(fd: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A canary's workers, which attend, as all others do; one that boots reads nothing yet."""
    monkeypatch.setattr(workload, "PING_S", 0.0)
    one, theirs = worker(1, state)
    [told] = ask(fd, one)
    assert told["state"] == state
    assert heard(theirs) == ({"type": "ping"} if state in HEARING else None)
    theirs.close()


def test_a_loop_that_hangs_has_an_old_heartbeat(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "PING_S", 0.0)
    one, theirs = worker(1, "serving")
    write(fd, 1, os.getpid(), time.monotonic_ns() - 3 * 10**9)
    [told] = ask(fd, one)
    assert 3.0 <= told["heartbeat_age_s"] < 60.0
    theirs.close()


def test_of_a_slot_that_is_anothers_nothing_is_told(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "PING_S", 0.0)
    one, theirs = worker(1, "paused")
    write(fd, 1, os.getpid() + 1, time.monotonic_ns())
    [told] = ask(fd, one)
    assert (told["heartbeat_age_s"], told["requests"], told["requests_now"]) == (None, 0, [])
    assert told["statuses"] == {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}
    theirs.close()


def test_nobody_waits_for_a_generation_that_has_ended(fd: int) -> None:
    one, theirs = worker(1, "serving")
    [told] = ask(fd, one, state=GenerationState.GONE)
    assert told["generation_state"] == "gone" and told["worker"] == 1
    theirs.close()
