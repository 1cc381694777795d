"""Another number of workers: who comes, who goes, and what is left as it was where that fails."""

from __future__ import annotations

import pytest

from harness.crew import Crew
from releve.server.master.orders import Change, Posture
from releve.server.master.scaling import Scaling
from releve.server.process.messages import MalformedOrder
from releve.server.shared.states import WorkerState


@pytest.fixture
def scaling(crew: Crew) -> Scaling:
    return Scaling(crew.plan, crew.workers, crew.lifecycle, crew.pending)


def test_more_are_answered_when_they_serve(crew: Crew, scaling: Scaling) -> None:
    old = crew.up(WorkerState.SERVING)
    crew.plan.posture = Posture.RESUMED
    scaling.scale({"id": 1, "workers": 3}, [])
    assert not crew.plan.settled
    assert crew.told(old[0]) == ["crew"]
    new = list(crew.workers)[-1]
    crew.come(new, WorkerState.READY)
    crew.come(new, WorkerState.SERVING)
    assert crew.answers() == [{"type": "done", "id": 1, "workers": 3, "given": 0, "kept": 0}]
    assert crew.plan.change == Change.NONE


def test_one_that_does_not_boot_leaves_the_number_as_it_was(crew: Crew, scaling: Scaling) -> None:
    crew.up(WorkerState.SERVING)
    scaling.scale({"id": 1, "workers": 3}, [])
    new = list(crew.workers)[-1]
    new.failure = {"step": "workers", "reason": "no"}
    crew.end(new)
    (answer,) = crew.answers()
    assert (answer["type"], answer["reason"]) == ("failed", "no")
    assert (crew.plan.target, crew.plan.change) == (2, Change.NONE)


def test_of_fewer_the_youngest_go_when_they_have_paused(crew: Crew, scaling: Scaling) -> None:
    elder, younger = crew.up(WorkerState.SERVING)
    scaling.scale({"id": 1, "workers": 1}, [])
    assert younger.dismissed
    assert crew.told(younger) == ["crew", "pause"]
    crew.come(younger, WorkerState.PAUSED, given=5, kept=0)
    assert crew.told(younger) == ["quit"]
    assert crew.told(elder) == ["crew"]
    assert crew.answers() == [{"type": "done", "id": 1, "workers": 1, "given": 5, "kept": 0}]


def test_no_workers_are_no_number(crew: Crew, scaling: Scaling) -> None:
    with pytest.raises(MalformedOrder):
        scaling.scale({"id": 1, "workers": 0}, [])
    assert crew.plan.target == 2


def test_where_the_order_is_forgotten_a_failure_is_logged_and_answered_to_nobody(
    crew: Crew, scaling: Scaling, caplog: pytest.LogCaptureFixture
) -> None:
    crew.up(WorkerState.SERVING)
    scaling.scale({"id": 1, "workers": 3}, [])
    crew.pending.forget()
    new = list(crew.workers)[-1]
    new.failure = {"step": "workers", "reason": "no memory"}
    crew.end(new)
    assert crew.answers() == []
    assert "no memory" in caplog.text
    assert (crew.plan.target, crew.plan.change) == (2, Change.NONE)
