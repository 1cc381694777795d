"""The tables of states: complete, and what they do not list is refused."""

import itertools

import pytest

from releve.instance import protocol
from releve.supervisor.channels import reports
from releve.supervisor.generation import states
from releve.supervisor.generation.states import (
    GENERATION,
    Admission,
    GenerationEvent,
    GenerationState,
    IllegalEvent,
    ServiceState,
)


def test_every_verb_of_the_protocol_has_an_answer_in_every_state() -> None:
    assert set(protocol.VERBS) == set(states.VERBS)
    assert {verb: set(names) for verb, names in protocol.VERBS.items()} == {
        verb: set(form.may) for verb, form in reports.REQUESTS.items()
    }
    for verb, state in itertools.product(protocol.VERBS, ServiceState):
        assert isinstance(states.admit(verb, state), Admission)


def test_an_unknown_verb_is_refused() -> None:
    with pytest.raises(IllegalEvent, match="no such verb"):
        states.admit("dance", ServiceState.SERVING)


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


def test_refusals_have_their_exit_status() -> None:
    assert Admission.BUSY.status == protocol.Status.BUSY
    assert Admission.NOTHING.status == protocol.Status.USAGE
