"""Pending orders: what is waited for, what becomes of who is late or ends, and what the supervisor is answered."""

from __future__ import annotations

import pytest

from harness.crew import Crew
from releve.server.master.pending import Pending
from releve.server.prefork.workers import Worker
from releve.server.shared.states import WorkerState

PAUSED = frozenset({WorkerState.PAUSED})


class Ended:
    """A pending order, and what it came to."""

    def __init__(self, workers: list[Worker], *, order_id: object = 1, minds: bool = False) -> None:
        self.done: list[Pending] = []
        self.lost: list[Worker] = []
        self.pending = Pending(
            "pause",
            PAUSED,
            {worker.number for worker in workers},
            self.done.append,
            (lambda pending, worker: self.lost.append(worker)) if minds else None,
            order_id,
        )


def test_with_nobody_to_wait_for_it_is_done_at_once(crew: Crew) -> None:
    ended = Ended([])
    crew.pending.start(ended.pending)
    assert ended.done == [ended.pending]
    assert list(crew.pending) == []


def test_it_is_done_with_the_last_one_and_counts_what_each_says(crew: Crew) -> None:
    one, other = crew.up(WorkerState.SERVING)
    ended = Ended([one, other])
    crew.pending.start(ended.pending)
    crew.come(one, WorkerState.PAUSED, given=2, kept=1)
    assert not ended.done
    crew.come(other, WorkerState.PAUSED, given=3, kept=0)
    assert ended.done == [ended.pending]
    assert (ended.pending.given, ended.pending.kept) == (5, 1)


def test_who_ends_has_arrived_unless_somebody_minds(crew: Crew) -> None:
    one, other = crew.up(WorkerState.SERVING)
    calm, minding = Ended([one]), Ended([one, other], minds=True)
    crew.pending.start(calm.pending)
    assert not crew.pending.fails_with(one)
    crew.pending.start(minding.pending)
    assert crew.pending.fails_with(one)
    crew.end(one)
    assert calm.done == [calm.pending]
    assert minding.lost == [one]
    assert not minding.done
    assert list(crew.pending) == [], "the loss has ended it"


def test_after_its_time_it_is_done_without_the_late_ones(crew: Crew) -> None:
    one, other = crew.up(WorkerState.SERVING)
    ended = Ended([one, other])
    crew.pending.start(ended.pending, within_s=6.0)
    assert crew.pending.deadlines() == [crew.now + 6.0]
    crew.come(one, WorkerState.PAUSED)
    crew.pending.expire(crew.now + 5.9)
    assert not ended.done
    crew.pending.expire(crew.now + 6.0)
    assert ended.pending.late == [other.number]
    crew.pending.answer(ended.pending, given=0)
    assert crew.answers() == [{"type": "done", "id": 1, "given": 0, "late": [other.number]}]


def test_one_that_is_dropped_fails_and_is_never_done(crew: Crew) -> None:
    (one,) = crew.up(WorkerState.SERVING, 1)
    ended = Ended([one])
    crew.pending.start(ended.pending)
    crew.pending.drop(ended.pending, "an order to resume followed")
    (answer,) = crew.answers()
    assert (answer["id"], answer["reason"]) == (1, "cannot finish pause: an order to resume followed")
    crew.come(one, WorkerState.PAUSED)
    assert not ended.done


def test_without_a_number_nobody_is_answered(crew: Crew) -> None:
    ended = Ended([], order_id=None)
    crew.pending.answer(ended.pending)
    (one,) = crew.up(WorkerState.SERVING, 1)
    waits = Ended([one], order_id=None)
    crew.pending.start(waits.pending)
    crew.pending.drop(waits.pending, "of this")
    assert crew.answers() == []


@pytest.mark.parametrize("why", ["no supervisor", "no number"])
def test_a_failure_that_nobody_hears_of_is_logged(crew: Crew, why: str, caplog: pytest.LogCaptureFixture) -> None:
    crew.alone = why == "no supervisor"
    crew.pending.refuse(1 if crew.alone else None, {"step": "workers", "reason": "no memory", "traceback": "line 1"})
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("ERROR", "no memory\nline 1")]
    assert crew.answers() == []
    caplog.clear()
    crew.alone = False
    crew.pending.fail(1, "workers", "no memory")
    assert not caplog.records, "the supervisor logs it"
    assert [said["id"] for said in crew.answers()] == [1]


def test_what_is_forgotten_goes_on_and_is_not_answered(crew: Crew) -> None:
    (one,) = crew.up(WorkerState.SERVING, 1)
    ended = Ended([one])
    crew.pending.start(ended.pending)
    crew.pending.forget()
    crew.come(one, WorkerState.PAUSED)
    assert ended.done == [ended.pending]
    crew.pending.answer(ended.pending)
    assert crew.answers() == []
