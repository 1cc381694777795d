"""A reload, step by step and without processes: new workers beside the old ones, then in their place; or no change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from harness.crew import Crew
from releve.config.settings.settings import Settings
from releve.server.master import reload as reloads
from releve.server.master.orders import Change, Posture
from releve.server.master.reload import Reload
from releve.server.prefork.workers import Worker
from releve.server.process.messages import MalformedOrder
from releve.server.shared.states import WorkerState


class Reloading:
    """A generation that serves with two workers, and a revision with one that is coming."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.old = crew.up(WorkerState.SERVING)
        self.before = crew.plan.current
        crew.plan.posture = Posture.RESUMED
        boot: Any = SimpleNamespace(generation=7, directory="/srv")
        spawner: Any = SimpleNamespace(revisions=[crew.plan.current], close=self._close)
        self.revisions = spawner.revisions
        self.reload = Reload(crew.plan, boot, crew.workers, spawner, crew.lifecycle, crew.pending)
        self.coming: Any = SimpleNamespace(number=2, settings=Settings(app="x:y", workers=1), log=-1)

    def _close(self, revision: Any) -> None:
        self.revisions.remove(revision)

    def prepare(self) -> Worker:
        """The new worker, forked and not ready."""
        with mock.patch.object(reloads, "read_revision", lambda order, fds: self.coming):
            self.reload.prepare({"id": 1}, [])
        (new,) = (worker for worker in self.crew.workers if worker.revision == 2)
        return new


@pytest.fixture
def reloading(crew: Crew) -> Reloading:
    return Reloading(crew)


def test_it_is_prepared_when_the_new_ones_are_ready_and_nobody_was_told(crew: Crew, reloading: Reloading) -> None:
    new = reloading.prepare()
    assert not crew.plan.settled
    crew.come(new, WorkerState.READY)
    assert crew.plan.change is Change.PREPARED
    assert crew.answers() == [{"type": "done", "id": 1, "workers": [new.number]}]
    assert [crew.told(one) for one in reloading.old] == [[], []]


def test_a_switch_has_the_new_ones_serve_before_the_old_ones_pause(crew: Crew, reloading: Reloading) -> None:
    new = reloading.prepare()
    crew.come(new, WorkerState.READY)
    crew.answers()
    with mock.patch.object(reloads, "output"):
        reloading.reload.switch({"type": "switch", "id": 2, "revision": 2}, [])
        assert crew.told(new) == ["resume"]
        assert [crew.told(one) for one in reloading.old] == [[], []]
        crew.come(new, WorkerState.SERVING)
    assert (crew.plan.current, crew.plan.target) == (reloading.coming, 1)
    assert reloading.revisions == [reloading.coming]
    for one in reloading.old:
        assert crew.told(one) == ["pause"]
        crew.come(one, WorkerState.PAUSED, given=1, kept=0)
    assert [crew.told(one) for one in reloading.old] == [["quit"], ["quit"]]
    assert crew.plan.settled
    assert crew.answers() == [{"type": "done", "id": 2, "given": 2, "kept": 0}]


def test_one_that_does_not_boot_leaves_everything_as_it_was(crew: Crew, reloading: Reloading) -> None:
    new = reloading.prepare()
    new.failure = {"step": "import", "reason": "no such module"}
    crew.end(new)
    (answer,) = crew.answers()
    assert (answer["id"], answer["reason"]) == (1, "no such module")
    assert (crew.plan.current, crew.plan.target) == (reloading.before, 2)
    assert crew.plan.settled
    assert reloading.revisions == [reloading.before]


def test_a_new_worker_that_has_died_meanwhile_is_no_switch(crew: Crew, reloading: Reloading) -> None:
    new = reloading.prepare()
    crew.come(new, WorkerState.READY)
    crew.answers()
    crew.end(new)
    reloading.reload.switch({"type": "switch", "id": 2, "revision": 2}, [])
    (answer,) = crew.answers()
    assert answer["reason"] == "cannot switch: only 0 of 1 new workers run; the old ones keep serving"
    assert crew.plan.settled


def test_cancel_ends_the_new_ones(crew: Crew, reloading: Reloading) -> None:
    new = reloading.prepare()
    crew.come(new, WorkerState.READY)
    crew.answers()
    with pytest.raises(MalformedOrder):
        reloading.reload.cancel({"type": "cancel", "id": 2, "revision": 3}, [])
    reloading.reload.cancel({"type": "cancel", "id": 2, "revision": 2}, [])
    assert crew.plan.change is Change.CANCELLING
    assert crew.told(new) == ["quit"]
    crew.come(new, WorkerState.LEAVING)
    crew.end(new)
    assert crew.plan.settled
    assert crew.answers() == [{"type": "done", "id": 2}]


def test_where_the_order_is_forgotten_a_failure_is_logged_and_answered_to_nobody(
    crew: Crew, reloading: Reloading, caplog: pytest.LogCaptureFixture
) -> None:
    reloading.coming.settings = Settings(app="x:y", workers=2)
    with mock.patch.object(reloads, "read_revision", lambda order, fds: reloading.coming):
        reloading.reload.prepare({"id": 1}, [])
    one, other = (worker for worker in crew.workers if worker.revision == 2)
    one.failure = {"step": "import", "reason": "no memory"}
    crew.come(other, WorkerState.READY)
    crew.end(one)  # it is withdrawn when the other one has ended too
    crew.pending.forget()
    crew.end(other)
    assert crew.answers() == []
    assert "no memory" in caplog.text
    assert crew.plan.change is Change.NONE
