"""Workers that ask to be replaced: another one serves first, then they retire, one after the other."""

from __future__ import annotations

import pytest

from harness.crew import Crew
from releve.server.master.orders import Change, Posture
from releve.server.master.recycling import RETRY_S, RecyclingQueue
from releve.server.shared.states import WorkerState


@pytest.fixture
def queue(crew: Crew) -> RecyclingQueue:
    crew.plan.posture = Posture.RESUMED
    return RecyclingQueue(crew.plan, crew.workers, crew.lifecycle, crew.pending, crew.clock)


def test_who_asks_goes_when_another_one_serves(crew: Crew, queue: RecyclingQueue) -> None:
    one, other = crew.up(WorkerState.SERVING)
    queue.ask(one, "has answered 100 requests")
    queue.ask(other, "has grown")
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
    queue.step()
    assert len(crew.workers) == 3, "the next one has its turn"


def test_in_the_middle_of_a_change_nobody_is_replaced(crew: Crew, queue: RecyclingQueue) -> None:
    one, _ = crew.up(WorkerState.SERVING)
    crew.plan.change = Change.SCALING
    queue.ask(one, "has grown")
    assert len(crew.workers) == 2
    crew.plan.change = Change.NONE
    queue.step()
    assert len(crew.workers) == 3


def test_a_fork_that_fails_is_tried_again_later(crew: Crew, queue: RecyclingQueue) -> None:
    one, _ = crew.up(WorkerState.SERVING)
    crew.refuses = True
    queue.ask(one, "has grown")
    assert queue.next_due() == crew.now + RETRY_S
    crew.refuses = False
    queue.step()
    assert len(crew.workers) == 2
    crew.now += RETRY_S
    queue.step()
    assert len(crew.workers) == 3


def test_who_has_gone_meanwhile_needs_no_replacement(crew: Crew, queue: RecyclingQueue) -> None:
    one, _ = crew.up(WorkerState.SERVING)
    crew.refuses = True
    queue.ask(one, "has grown")
    crew.refuses = False
    crew.end(one)
    crew.now += RETRY_S
    queue.step()
    assert len(crew.workers) == 1
    assert queue.next_due() is None
