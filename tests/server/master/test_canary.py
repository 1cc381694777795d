"""Both sides of a canary, as masters carry them out: who attends, who diverts, and who hears of it later."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from harness.crew import Crew
from releve.server.master.canary import Canary
from releve.server.process.messages import MalformedOrder
from releve.server.shared.states import WorkerState


@pytest.fixture
def canary(crew: Crew) -> Iterator[Canary]:
    canary = Canary(crew.plan, crew.workers, crew.spawner, crew.pending)
    yield canary
    canary.end()


def exchange() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def test_all_attend(crew: Crew, canary: Canary) -> None:
    one, other = crew.up(WorkerState.READY)
    canary.attend({"id": 1})
    assert [crew.told(one), crew.told(other)] == [["attend"], ["attend"]]
    crew.come(one, WorkerState.ATTENDING)
    crew.come(other, WorkerState.ATTENDING)
    assert crew.answers() == [{"type": "done", "id": 1, "workers": 2}]


def test_with_nobody_left_to_attend_it_fails(crew: Crew, canary: Canary) -> None:
    (one,) = crew.up(WorkerState.READY, 1)
    canary.attend({"id": 1})
    crew.end(one)
    (answer,) = crew.answers()
    assert (answer["step"], answer["reason"]) == ("canary", "cannot attend: no worker runs")


def test_who_comes_later_diverts_too_until_it_ends(crew: Crew, canary: Canary) -> None:
    (one,) = crew.up(WorkerState.SERVING, 1)
    canary.divert({"id": 1, "to": 8, "share": 0.1}, [exchange()])
    assert crew.told(one) == ["divert"]
    assert crew.diversion >= 0
    (late,) = crew.up(WorkerState.READY, 1)
    canary.brief(late)
    assert crew.told(late) == ["divert"]
    canary.divert({"id": 2, "to": None}, [])
    assert (canary.to, crew.diversion) == (None, -1)
    canary.brief(late)
    assert crew.told(late) == ["divert"], "told that there is none; and not briefed again"


@pytest.mark.parametrize(("to", "brought"), [(8, False), (None, True)])
def test_a_receiver_and_its_exchange_belong_together(crew: Crew, canary: Canary, to: int | None, brought: bool) -> None:
    fds = [exchange()] * brought
    with pytest.raises(MalformedOrder):
        canary.divert({"id": 1, "to": to, "share": 0.1}, fds)
    for fd in fds:
        os.close(fd)  # still the caller's
    assert canary.to is None
