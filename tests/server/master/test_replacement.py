"""Workers that ask to be replaced: another one serves first, then they retire, one after the other."""

from __future__ import annotations

import pytest

from harness.crew import Crew
from releve.server.master.orders import Change, Posture
from releve.server.master.replacement import RETRY_S, Replacements
from releve.server.shared.states import WorkerState


@pytest.fixture
def replacements(crew: Crew) -> Replacements:
    crew.plan.posture = Posture.RESUMED
    return Replacements(crew.plan, crew.workers, crew.lifecycle, crew.pending, crew.clock)


def test_who_asks_goes_when_another_one_serves(crew: Crew, replacements: Replacements) -> None:
    one, other = crew.up(WorkerState.SERVING)
    replacements.ask(one, "has answered 100 requests")
    replacements.ask(other, "has grown")
    new = list(crew.workers)[-1]
    assert len(crew.workers) == 3, "one at a time"
    assert not one.dismissed
    crew.come(new, WorkerState.READY)
    crew.come(new, WorkerState.SERVING)
    assert crew.told(one) == ["pause"]
    crew.come(one, WorkerState.PAUSED)
    assert crew.told(one) == ["quit"]
    crew.come(one, WorkerState.LEAVING)
    crew.end(one)
    replacements.step()
    assert len(crew.workers) == 3, "the next one has its turn"


def test_in_the_middle_of_a_change_nobody_is_replaced(crew: Crew, replacements: Replacements) -> None:
    one, _ = crew.up(WorkerState.SERVING)
    crew.plan.change = Change.SCALING
    replacements.ask(one, "has grown")
    assert len(crew.workers) == 2
    crew.plan.change = Change.NONE
    replacements.step()
    assert len(crew.workers) == 3


def test_a_fork_that_fails_is_tried_again_later(crew: Crew, replacements: Replacements) -> None:
    one, _ = crew.up(WorkerState.SERVING)
    crew.refuses = True
    replacements.ask(one, "has grown")
    assert replacements.next_due() == crew.now + RETRY_S
    crew.refuses = False
    replacements.step()
    assert len(crew.workers) == 2
    crew.now += RETRY_S
    replacements.step()
    assert len(crew.workers) == 3


def test_who_has_gone_meanwhile_needs_no_replacement(crew: Crew, replacements: Replacements) -> None:
    one, _ = crew.up(WorkerState.SERVING)
    crew.refuses = True
    replacements.ask(one, "has grown")
    crew.refuses = False
    crew.end(one)
    crew.now += RETRY_S
    replacements.step()
    assert len(crew.workers) == 1
    assert replacements.next_due() is None
