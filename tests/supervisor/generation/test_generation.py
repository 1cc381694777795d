"""A generation may end, or be dismissed, in any state and in the middle of any order: that is no illegal event, and it
stays what it is.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from harness.pins import PIN
from releve.config.settings.settings import Settings
from releve.server.shared.link import Message, pair
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.dismissal import KILL_MARGIN_S
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GENERATION, GenerationEvent, GenerationState, IllegalEvent
from releve.supervisor.reporting.failure import StepFailed

GONE, RETIRING = GenerationState.GONE, GenerationState.RETIRING
LIVING = [state for state in GenerationState if state is not GONE]


def generation(number: int, state: GenerationState) -> Generation:
    """One without a process, in a state."""
    made = Generation(number, PIN, Settings(), [])
    made.life.state = state
    return made


async def prove(one: Generation, other: Generation) -> None:
    one.proved()


Act = Callable[[Generation, Generation], Awaitable[None]]
ORDERS: dict[GenerationEvent, Act] = {
    GenerationEvent.ATTENDED: lambda one, other: one.orders.attend(),
    GenerationEvent.RESUMED: lambda one, other: one.orders.resume(),
    GenerationEvent.PAUSED: lambda one, other: one.orders.pause(other),
}
STRIKES: dict[str, Callable[[Generation], None]] = {
    "ends": Generation.kill,
    "is dismissed": lambda one: one.dismiss(5.0),
}


def end(*generations: Generation) -> None:
    for one in generations:
        one.kill()


@pytest.mark.parametrize("state", LIVING)
def test_what_has_ended_fails_its_orders_and_stays_gone(state: GenerationState) -> None:
    async def run() -> None:
        one, other = generation(1, state), generation(2, GenerationState.SERVING)
        one.kill()
        for act in (*ORDERS.values(), prove):
            with pytest.raises(StepFailed, match="generation 1 exited"):
                await act(one, other)
        one.dismiss(1.0)
        one.kill()
        assert one.state is GONE and one.ended.is_set() and not one.led
        end(other)

    asyncio.run(run())


@pytest.mark.parametrize("strike", STRIKES)
@pytest.mark.parametrize(("state", "event"), [pair for pair in GENERATION if pair[1] in ORDERS], ids=str)
def test_what_is_struck_in_an_order_stays_what_it_is(
    state: GenerationState, event: GenerationEvent, strike: str
) -> None:
    async def run() -> None:
        one, other = generation(1, state), generation(2, GenerationState.SERVING)

        async def struck(*arguments: Any, **keys: Any) -> Message:
            await asyncio.sleep(0)
            STRIKES[strike](one)
            return {}

        one.orders.bring = struck  # type: ignore[method-assign]
        if event is GenerationEvent.PAUSED:
            await ORDERS[event](one, other)  # it accepts no more, which is what was asked for
        else:
            with pytest.raises(StepFailed):
                await ORDERS[event](one, other)
        assert one.state is (GONE if strike == "ends" else RETIRING)
        end(one, other)

    asyncio.run(run())


@pytest.mark.parametrize("state", LIVING)
@pytest.mark.parametrize("event", ORDERS, ids=str)
def test_a_mistake_is_still_one(state: GenerationState, event: GenerationEvent) -> None:
    async def run() -> None:
        one, other = generation(1, state), generation(2, GenerationState.SERVING)
        if (state, event) not in GENERATION:
            with pytest.raises(IllegalEvent):
                await ORDERS[event](one, other)
            assert one.state is state
        end(one, other)

    asyncio.run(run())


def test_nothing_is_paused_in_favour_of_one_that_has_ended() -> None:
    async def run() -> None:
        one, other = generation(1, GenerationState.SERVING), generation(2, GenerationState.SERVING)
        other.kill()
        with pytest.raises(StepFailed, match="generation 2 exited"):
            await one.orders.pause(other)
        assert one.state is GenerationState.SERVING
        end(one)

    asyncio.run(run())


def test_of_two_deadlines_the_earlier_one_holds() -> None:
    async def run() -> None:
        one = generation(1, GenerationState.SERVING)

        def rest_s() -> float:
            assert one.dismissal.kills_at is not None
            return one.dismissal.kills_at - KILL_MARGIN_S - time.monotonic()

        one.dismiss(100.0)
        one.dismiss(500.0)
        assert 90.0 < rest_s() <= 100.0
        one.dismiss(10.0)
        assert 0.0 < rest_s() <= 10.0
        one.dismiss(0.0)
        assert rest_s() <= 0.0
        end(one)

    asyncio.run(run())


def test_one_that_was_dismissed_before_a_reexec_keeps_its_time_where_its_master_dies() -> None:
    async def run() -> None:
        one = generation(1, RETIRING)
        ours, theirs = pair()
        worker = Worker(1, os.getpid(), 0, 1, ours, os.pidfd_open(os.getpid()), "leaving")
        one.roster.take_over([worker], [0])
        one.dismissal.go_on(100.0 + KILL_MARGIN_S)
        one._master_ended(-9)
        received = theirs.receive()
        assert received is not None and received[0] == {"type": "quit", "deadline_s": 100.0, "linger_s": None}
        one.roster._stop_reading(worker)
        one.workers.pop(1).close()  # it is this process: it must not be ended
        theirs.close()
        end(one)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("state", "lost"),
    [
        (GenerationState.SERVING, True),
        (GenerationState.STANDBY, True),
        (GenerationState.READY, False),
        (RETIRING, False),
    ],
)
def test_the_end_of_all_of_it_is_told_where_it_was_relied_on(state: GenerationState, lost: bool) -> None:
    """Also of what stands by: a rollback would go to nobody."""

    async def run() -> None:
        one = generation(1, state)
        told: list[Generation] = []
        one.on_lost = told.append
        one._master_ended(-9)  # and it has no worker
        assert one.state is GONE and told == [one] * lost

    asyncio.run(run())
