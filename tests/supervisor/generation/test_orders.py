"""Orders go by way of the master, and straight to the workers where that has gone; one that is silent is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from releve.server.shared.link import Link, Message, pair
from releve.server.shared.states import WorkerState
from releve.supervisor.channels.exchange import Exchange
from releve.supervisor.channels.master import SILENT, Master
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.life import Life
from releve.supervisor.generation.orders import Orders
from releve.supervisor.generation.roster import Roster
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.reporting.failure import StepFailed


class Chief:
    """A master that does what it is made to, and dies of SIGKILL."""

    def __init__(self, life: Life) -> None:
        self.tag = {"who": "gen=1"}
        self.heard: list[tuple[str, dict[str, object]]] = []
        self.fails: StepFailed | None = None
        self.answer: Message = {"type": "done"}
        self._life = life

    async def order(self, kind: str, fds: object, timeout_s: float, **keys: object) -> Message:
        self.heard.append((kind, keys))
        if self.fails is not None:
            raise self.fails
        return self.answer

    def signal(self, number: int) -> None:
        assert number == signal.SIGKILL
        self._life.orphaned = True
        self._life.notice()


class Stage:
    """Orders of a generation with a worker, and the worker's end of its control pair."""

    def __init__(self, state: GenerationState = GenerationState.SERVING) -> None:
        self.life = Life(1)
        self.life.state = state
        self.chief = Chief(self.life)
        self.roster = Roster("gen=1", lambda process: True)
        ours, self.theirs = pair()
        self.worker = Worker(1, os.getpid(), 1, 1, ours, os.pidfd_open(os.getpid()), "serving")
        self.roster.workers[1] = self.worker
        self.orders = Orders(self.life, cast(Master, self.chief), self.roster)
        other = Life(2)
        other.state = GenerationState.SERVING
        self.other = SimpleNamespace(life=other, exchange=Exchange())

    def worker_comes_to(self, state: WorkerState) -> None:
        self.roster.note_state({"worker": 1, "state": str(state)}, [])
        self.life.notice()

    def close(self) -> None:
        self.worker.close()
        self.theirs.close()
        self.other.exchange.close()


def heard(link: Link) -> Message:
    received = link.receive()
    assert received is not None
    message, fds = received
    for fd in fds:
        os.close(fd)
    return message


def run(story: Callable[[Stage], Awaitable[None]], state: GenerationState = GenerationState.SERVING) -> None:
    async def main() -> None:
        stage = Stage(state)
        try:
            await story(stage)
        finally:
            stage.close()

    asyncio.run(main())


def test_the_master_carries_it_out() -> None:
    async def story(stage: Stage) -> None:
        await stage.orders.pause(stage.other)
        assert stage.chief.heard == [("pause", {"to": 2})] and stage.life.state is GenerationState.STANDBY

    run(story)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, []),  # an older master
        ({"given": 0, "kept": 0}, []),
        ({"given": 1, "kept": 0}, ["handed 1 idle connection over to generation 2"]),
        ({"given": 9, "kept": 3}, ["handed 9 idle connections over to generation 2; 3 stay for their next response"]),
    ],
)
def test_how_many_connections_a_pause_has_moved_is_in_the_log(
    counts: dict[str, int], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def story(stage: Stage) -> None:
        stage.chief.answer |= counts
        await stage.orders.pause(stage.other)
        assert caplog.messages == said

    caplog.set_level("INFO")
    run(story)


def test_what_the_master_refuses_is_not_tried_without_it() -> None:
    async def story(stage: Stage) -> None:
        stage.chief.fails = StepFailed("order", "the generation is booting")
        with pytest.raises(StepFailed, match="is booting"):
            await stage.orders.resume()
        assert stage.life.state is GenerationState.STANDBY and not stage.life.orphaned

    run(story, GenerationState.STANDBY)


def test_a_silent_master_is_killed_and_its_workers_are_told_by_us() -> None:
    async def story(stage: Stage) -> None:
        stage.chief.fails = StepFailed(SILENT, "it did not answer")
        paused = asyncio.ensure_future(stage.orders.pause(stage.other))
        while not stage.life.orphaned:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not paused.done() and heard(stage.theirs) == {"type": "pause", "to": 2}
        stage.worker_comes_to(WorkerState.PAUSED)
        await paused
        assert stage.life.state is GenerationState.STANDBY

    run(story)


def test_a_question_that_a_master_misses_costs_it_nothing() -> None:
    async def story(stage: Stage) -> None:
        stage.chief.fails = StepFailed(SILENT, "it did not answer")
        with pytest.raises(StepFailed):
            await stage.orders.give("stacks")
        assert not stage.life.orphaned

    run(story)


def test_without_a_master_a_worker_that_does_not_come_in_time_is_said() -> None:
    async def story(stage: Stage) -> None:
        stage.life.orphaned = True
        with pytest.raises(StepFailed, match="a worker did not answer"):
            await stage.orders.pause(stage.other, 0.0)
        assert stage.life.state is GenerationState.STANDBY  # it was told, and accepts no more once it hears
        assert stage.chief.heard == []

    run(story)


def test_nobody_serves_where_no_worker_is_left() -> None:
    async def story(stage: Stage) -> None:
        stage.life.orphaned = True
        del stage.roster.workers[1]
        with pytest.raises(StepFailed, match="it has no worker left"):
            await stage.orders.resume()

    run(story, GenerationState.STANDBY)


def test_a_diversion_is_ended_once_and_a_pause_ends_it_too() -> None:
    async def story(stage: Stage) -> None:
        await stage.orders.end_diversion()
        assert stage.chief.heard == []
        await stage.orders.divert(0.25, stage.other)
        assert stage.orders.diverts and stage.chief.heard == [("divert", {"to": 2, "share": 0.25})]
        await stage.orders.end_diversion()
        assert not stage.orders.diverts and stage.chief.heard[1] == ("divert", {"to": None})
        await stage.orders.divert(0.25, stage.other)
        await stage.orders.pause(stage.other)
        assert not stage.orders.diverts

    run(story)


def test_a_diversion_that_failed_may_have_been_heard() -> None:
    async def story(stage: Stage) -> None:
        stage.chief.fails = StepFailed("order", "no")
        with pytest.raises(StepFailed):
            await stage.orders.divert(0.25, stage.other)
        assert stage.orders.diverts

    run(story)


def test_the_way_to_the_other_generation_is_closed_again() -> None:
    async def story(stage: Stage) -> None:
        before: list[Any] = os.listdir("/proc/self/fd")
        await stage.orders.divert(0.5, stage.other)
        assert os.listdir("/proc/self/fd") == before

    run(story)
