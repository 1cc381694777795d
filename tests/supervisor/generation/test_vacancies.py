"""Who replaces whom among the workers of a generation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from releve.supervisor.channels.worker import LastExit, Worker
from releve.supervisor.generation.losses import Vacancies


def worker() -> Worker:
    return cast(Worker, SimpleNamespace(restarts=0, last_exit=None))


def test_a_replacement_tells_how_often_its_place_was_freed_and_how_the_last_one_ended() -> None:
    now = 100.0
    places = Vacancies(lambda: now)
    first, second = worker(), worker()
    for one in (first, second):
        places.fill(one)
        assert (one.restarts, one.last_exit) == (0, None)
    places.leave(first, "worker 1 was killed")
    third = worker()
    places.fill(third)
    assert (third.restarts, third.last_exit) == (1, LastExit("worker 1 was killed", 100.0))
    now = 130.0
    places.leave(third, "worker 3 exited with status 1")
    places.leave(second, "worker 2 exited with status 2")
    fourth, fifth, sixth = worker(), worker(), worker()
    for one in (fourth, fifth, sixth):
        places.fill(one)
    assert (fourth.restarts, fourth.last_exit) == (2, LastExit("worker 3 exited with status 1", 130.0))
    assert (fifth.restarts, sixth.restarts, sixth.last_exit) == (1, 0, None)
