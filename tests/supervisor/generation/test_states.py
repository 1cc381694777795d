"""The table of a generation's states: complete, and what it does not list is refused."""

import itertools

import pytest

from releve.supervisor.generation import states
from releve.supervisor.generation.states import (
    GENERATION,
    GenerationEvent,
    GenerationState,
    IllegalEvent,
)


@pytest.mark.parametrize("pair", list(itertools.product(GenerationState, GenerationEvent)), ids=str)
def test_an_event_is_taken_by_the_table_or_refused(pair: tuple[GenerationState, GenerationEvent]) -> None:
    if pair in GENERATION:
        assert states.next_state(*pair) is GENERATION[pair]
    else:
        with pytest.raises(IllegalEvent, match=pair[1].value):
            states.next_state(*pair)


def test_every_living_generation_can_end_and_nothing_follows_the_end() -> None:
    for state in GenerationState:
        if state is not GenerationState.GONE:
            assert GENERATION[state, GenerationEvent.ENDED] is GenerationState.GONE
    assert not [event for state, event in GENERATION if state is GenerationState.GONE]


def test_only_a_generation_at_work_can_be_paused_and_only_a_proved_one_resumed() -> None:
    assert {state for (state, event) in GENERATION if event is GenerationEvent.PAUSED} == states.AT_WORK
    assert {state for (state, event) in GENERATION if event is GenerationEvent.RESUMED} == {
        GenerationState.READY,
        GenerationState.ATTENDING,
        GenerationState.STANDBY,
    }


def test_only_one_that_has_never_served_can_be_a_canary() -> None:
    assert [state for (state, event) in GENERATION if event is GenerationEvent.ATTENDED] == [GenerationState.READY]
