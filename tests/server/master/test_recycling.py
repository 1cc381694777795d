"""Workers that ask to be replaced: another one serves first, then they retire, one after the other."""

from __future__ import annotations

import pytest

from harness.crew import Crew
from releve.server.master.orders import Change, Posture
from releve.server.master.recycling import RETRY_S, RecyclingQueue
from releve.server.prefork.workers import Worker
from releve.server.process.messages import MalformedOrder
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


def test_an_order_is_answered_when_the_other_one_serves(crew: Crew, queue: RecyclingQueue) -> None:
    one, other = crew.up(WorkerState.SERVING)
    queue.ask(one, "has grown")
    queue.restart({"id": 5, "worker": other.number}, [])
    first = list(crew.workers)[-1]
    crew.come(first, WorkerState.READY)
    crew.come(first, WorkerState.SERVING)
    crew.come(one, WorkerState.PAUSED)
    assert crew.answers() == [], "the one under way was nobody's order"
    queue.step()
    second = list(crew.workers)[-1]
    crew.come(second, WorkerState.READY)
    crew.come(second, WorkerState.SERVING)
    assert crew.told(other) == ["pause"]
    crew.come(other, WorkerState.PAUSED)
    assert crew.answers() == [{"type": "done", "id": 5}]


def test_the_log_says_who_wanted_a_worker_replaced(
    crew: Crew, queue: RecyclingQueue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "releve.master")
    one, other = crew.up(WorkerState.SERVING)
    queue.restart({"id": 5, "worker": one.number}, [])
    new = list(crew.workers)[-1]
    assert f"{one} was asked to leave (ctl restart); replacing it with {new}" in caplog.messages
    for state in (WorkerState.READY, WorkerState.SERVING):
        crew.come(new, state)
    crew.come(one, WorkerState.PAUSED)
    crew.end(one)
    queue.ask(other, "answered 50 requests (limits.requests)")
    queue.restart({"id": 6, "worker": other.number}, [])
    assert "answered 50 requests (limits.requests); replacing it with" in caplog.messages[-1], "it had asked by itself"


def test_an_ordered_replacement_that_fails_is_said_and_not_tried_again(crew: Crew, queue: RecyclingQueue) -> None:
    one, other = crew.up(WorkerState.SERVING)
    crew.refuses = True
    queue.restart({"id": 5, "worker": one.number}, [])
    [failed] = crew.answers()
    assert (failed["type"], failed["id"], failed["step"]) == ("failed", 5, "workers")
    assert failed["reason"].startswith(f"cannot replace worker {one.number}: cannot fork")
    assert queue.next_due() is None and len(crew.workers) == 2
    queue.ask(other, "has grown")
    queue.restart({"id": 6, "worker": other.number}, [])
    assert [said["id"] for said in crew.answers()] == [6]
    assert queue.next_due() is not None, "it had asked by itself"


def test_what_cannot_be_ordered(crew: Crew, queue: RecyclingQueue) -> None:
    one, other = crew.up(WorkerState.SERVING)
    with pytest.raises(MalformedOrder, match="cannot replace worker 99: it does not serve"):
        queue.restart({"id": 5, "worker": 99}, [])
    queue.restart({"id": 6, "worker": one.number}, [])
    with pytest.raises(MalformedOrder, match="is being replaced already"):
        queue.restart({"id": 7, "worker": one.number}, [])
    other.dismissed = True
    with pytest.raises(MalformedOrder, match="it does not serve"):
        queue.restart({"id": 8, "worker": other.number}, [])
    crew.end(one)
    queue.step()
    [failed] = crew.answers()
    assert (failed["id"], failed["reason"]) == (6, f"cannot replace worker {one.number}: it no longer serves")


def pause(crew: Crew, queue: RecyclingQueue, *workers: Worker) -> None:
    """As an upgrade does."""
    crew.plan.posture = Posture.PAUSED
    for worker in workers:
        crew.come(worker, WorkerState.PAUSED)
    queue.step()


def resume(crew: Crew, queue: RecyclingQueue, *workers: Worker) -> None:
    """As an upgrade that is rolled back does."""
    crew.plan.posture = Posture.RESUMED
    for worker in workers:
        crew.come(worker, WorkerState.SERVING)
    queue.step()


def test_an_ordered_replacement_that_boots_longer_than_a_pause_is_in_vain(crew: Crew, queue: RecyclingQueue) -> None:
    one, other = crew.up(WorkerState.SERVING)
    queue.restart({"id": 5, "worker": one.number}, [])
    new = list(crew.workers)[-1]
    pause(crew, queue, one, other)
    [failed] = crew.answers()
    assert (failed["id"], failed["reason"]) == (5, f"cannot replace worker {one.number}: it no longer serves")
    resume(crew, queue, one, other)
    crew.come(new, WorkerState.READY)
    crew.come(new, WorkerState.SERVING)
    assert crew.told(new) == ["quit"] and not one.dismissed
    assert crew.answers() == []
    crew.come(new, WorkerState.LEAVING)
    crew.end(new)
    queue.restart({"id": 6, "worker": one.number}, [])
    assert len(crew.workers) == 3, "the next order has its turn"


def test_who_asked_before_a_pause_is_replaced_after_it(crew: Crew, queue: RecyclingQueue) -> None:
    one, other = crew.up(WorkerState.SERVING)
    queue.ask(one, "has grown")
    new = list(crew.workers)[-1]
    pause(crew, queue, one, other)
    resume(crew, queue, one, other)
    crew.come(new, WorkerState.READY)
    crew.come(new, WorkerState.SERVING)
    assert crew.told(one) == ["pause"] and not new.dismissed


def test_a_replacement_that_is_ready_while_paused_does_not_stay(crew: Crew, queue: RecyclingQueue) -> None:
    one, other = crew.up(WorkerState.SERVING)
    queue.ask(one, "has grown")
    new = list(crew.workers)[-1]
    pause(crew, queue, one, other)
    crew.come(new, WorkerState.READY)
    crew.pending.settle(new, {}, WorkerState.PAUSED)  # as `Traffic.join`
    assert crew.told(new) == ["quit"]
    crew.come(new, WorkerState.LEAVING)
    crew.end(new)
    resume(crew, queue, other)
    assert len(crew.workers) == 2, "who asked does not serve yet"
    resume(crew, queue, one)
    assert len(crew.workers) == 3, "its turn again"


def test_a_replacement_takes_the_place_of_one_that_has_ended(crew: Crew, queue: RecyclingQueue) -> None:
    one, other = crew.up(WorkerState.SERVING)
    queue.ask(one, "has grown")
    new = list(crew.workers)[-1]
    pause(crew, queue, one, other)
    crew.end(one)
    queue.step()
    crew.come(new, WorkerState.READY)
    crew.pending.settle(new, {}, WorkerState.PAUSED)
    assert not new.dismissed


def test_why_a_replacement_failed_is_logged_though_its_order_was_refused_before(
    crew: Crew, queue: RecyclingQueue, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = crew.up(WorkerState.SERVING)
    queue.restart({"id": 5, "worker": one.number}, [])
    new = list(crew.workers)[-1]
    pause(crew, queue, one, other)
    assert [said["id"] for said in crew.answers()] == [5]
    new.failure = {"reason": "no memory"}
    crew.end(new)
    assert f"cannot replace {one}: no memory; it stays" in caplog.text


def test_an_order_of_a_supervisor_that_has_gone_is_forgotten(crew: Crew, queue: RecyclingQueue) -> None:
    one, other = crew.up(WorkerState.SERVING)
    queue.restart({"id": 5, "worker": one.number}, [])
    queue.restart({"id": 6, "worker": other.number}, [])
    queue.ask(other, "has grown")
    queue.forget()
    new = list(crew.workers)[-1]
    crew.come(new, WorkerState.READY)
    crew.come(new, WorkerState.SERVING)
    assert crew.told(new) == ["quit"] and not one.dismissed, "it is not carried out"
    crew.come(new, WorkerState.LEAVING)
    crew.end(new)
    queue.step()
    second = list(crew.workers)[-1]
    crew.come(second, WorkerState.READY)
    crew.come(second, WorkerState.SERVING)
    assert crew.told(other) == ["pause"], "it had asked by itself"
    crew.come(other, WorkerState.PAUSED)
    assert crew.answers() == []
