"""Resume and pause as a master carries them out: when they are answered, and what follows where workers do not come."""

from __future__ import annotations

import pytest

from harness.crew import Crew
from releve.server.master.canary import Canary
from releve.server.master.orders import Posture
from releve.server.master.pending import ACK_S
from releve.server.master.traffic import Traffic
from releve.server.master.vacancies import Filling
from releve.server.process.messages import MalformedOrder
from releve.server.shared.states import WorkerState


@pytest.fixture
def traffic(crew: Crew) -> Traffic:
    filling = Filling(crew.plan, crew.workers, crew.lifecycle, crew.outbox, crew.clock)
    canary = Canary(crew.plan, crew.workers, crew.spawner, crew.pending)
    return Traffic(crew.plan, crew.workers, crew.lifecycle, filling, canary, crew.pending)


def test_resume_is_answered_when_all_serve(crew: Crew, traffic: Traffic) -> None:
    crew.plan.posture = Posture.RESUMED  # or it would ask the kernel what becomes of it without its parent
    one, other = crew.up(WorkerState.PAUSED)
    traffic.resume({"id": 1}, [])
    assert [crew.told(one), crew.told(other)] == [["resume"], ["resume"]]
    crew.come(one, WorkerState.SERVING)
    assert crew.answers() == []
    crew.come(other, WorkerState.SERVING)
    assert crew.answers() == [{"type": "done", "id": 1, "workers": 2}]
    assert crew.plan.posture is Posture.RESUMED


def test_resume_without_a_worker_forks_at_once_and_fails_if_none_comes(crew: Crew, traffic: Traffic) -> None:
    crew.plan.posture = Posture.PAUSED
    traffic.resume({"id": 1}, [])
    forked = list(crew.workers)
    assert len(forked) == 2
    for worker in forked:
        crew.end(worker)
    (answer,) = crew.answers()
    assert (answer["type"], answer["reason"]) == ("failed", "cannot resume: no worker started to serve")
    assert crew.plan.posture is Posture.PAUSED


def test_who_boots_meanwhile_does_what_the_others_do(crew: Crew, traffic: Traffic) -> None:
    (worker,) = crew.up(WorkerState.READY, 1)
    for posture, told in (
        (Posture.RESUMED, ["resume"]),
        (Posture.ATTENDING, ["attend"]),
        (Posture.PAUSED, []),
        (Posture.BOOTING, []),
    ):
        crew.plan.posture = posture
        traffic.join(worker)
        assert crew.told(worker) == told


def test_pause_counts_what_was_given(crew: Crew, traffic: Traffic) -> None:
    one, other = crew.up(WorkerState.SERVING)
    traffic.pause({"id": 2}, [])
    crew.come(one, WorkerState.PAUSED, given=3, kept=1)
    crew.come(other, WorkerState.PAUSED, given=4, kept=0)
    assert crew.answers() == [{"type": "done", "id": 2, "given": 7, "kept": 1}]
    assert crew.plan.posture is Posture.PAUSED


def test_pause_says_who_is_late(crew: Crew, traffic: Traffic) -> None:
    one, other = crew.up(WorkerState.SERVING)
    traffic.pause({"id": 2}, [])
    crew.come(one, WorkerState.PAUSED)
    crew.now += ACK_S
    crew.pending.expire(crew.now)
    (answer,) = crew.answers()
    assert answer["type"] == "failed"
    assert str(other) in answer["reason"]


def test_the_last_order_counts(crew: Crew, traffic: Traffic) -> None:
    crew.plan.posture = Posture.RESUMED
    crew.up(WorkerState.PAUSED)
    traffic.resume({"id": 1}, [])
    traffic.pause({"id": 2}, [])
    (answer,) = crew.answers()
    assert (answer["id"], answer["reason"]) == (1, "cannot finish resume: an order to pause followed")


def test_a_pause_that_names_a_generation_brings_its_exchange(crew: Crew, traffic: Traffic) -> None:
    crew.plan.posture = Posture.RESUMED
    with pytest.raises(MalformedOrder):
        traffic.pause({"id": 2, "to": 8}, [])
    assert crew.plan.posture is Posture.RESUMED
