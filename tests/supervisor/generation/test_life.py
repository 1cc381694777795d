"""The life of a generation: what an event leads to, why nobody can rely on it, and who is woken when it changes."""

from __future__ import annotations

import asyncio

import pytest

from releve.supervisor.generation.life import Life
from releve.supervisor.generation.states import GENERATION, GenerationEvent, GenerationState, IllegalEvent
from releve.supervisor.reporting.failure import StepFailed

GONE = GenerationState.GONE


def life(state: GenerationState) -> Life:
    made = Life(7)
    made.state = state
    return made


@pytest.mark.parametrize("state", [state for state in GenerationState if state is not GONE])
@pytest.mark.parametrize("event", GenerationEvent)
def test_events_lead_where_the_table_says(state: GenerationState, event: GenerationEvent) -> None:
    one = life(state)
    if (state, event) in GENERATION:
        assert one.after(event) is GENERATION[state, event] and one.state is state
        one.take(event)
        assert one.state is GENERATION[state, event]
    else:
        with pytest.raises(IllegalEvent):
            one.take(event)
        assert one.state is state


@pytest.mark.parametrize("event", GenerationEvent)
def test_after_its_end_every_event_fails_and_says_how_it_ended(event: GenerationEvent) -> None:
    one = life(GONE)
    one.fate = "the master of generation 7 was killed by SIGKILL"
    with pytest.raises(StepFailed, match="generation 7 exited: the master of generation 7 was killed by SIGKILL"):
        one.take(event)
    assert one.gone


def test_trouble() -> None:
    one = life(GenerationState.SERVING)
    assert one.trouble == ""
    one.orphaned = True
    assert one.trouble == "generation 7 lost its master"
    one.fate = "the master of generation 7 exited with status 1"
    assert one.trouble == one.fate
    one.take(GenerationEvent.ENDED)
    assert one.trouble == f"generation 7 exited: {one.fate}"


def test_who_waits_looks_at_each_change_and_goes_on_when_it_is_true() -> None:
    async def story() -> None:
        one = life(GenerationState.BOOTING)
        looked: list[bool] = []

        def ready() -> bool:
            looked.append(one.state is GenerationState.READY)
            return looked[-1]

        waiting = asyncio.ensure_future(one.until(ready))
        await asyncio.sleep(0)
        one.notice()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert looked == [False, False] and not waiting.done()
        one.take(GenerationEvent.PROVED)
        one.notice()
        await asyncio.wait_for(waiting, 20)
        assert not await one.wait(lambda: one.gone, 0.0)
        assert await one.wait(lambda: not one.gone, 0.0)

    asyncio.run(story())
