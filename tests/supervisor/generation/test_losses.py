"""Losses: counted for half a minute, in words, and excused where the old generation lost as many."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from releve.supervisor.channels.worker import LastExit, Worker
from releve.supervisor.generation.losses import LISTED_MAX, REMEMBERED_S, Losses, Vacancies, unexcused


class Clock:
    """One that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_is_remembered_for_half_a_minute() -> None:
    clock = Clock()
    losses = Losses(clock)
    losses.note(booted=True)
    clock.now += REMEMBERED_S / 2
    losses.note(booted=False)
    losses.note(booted=True)
    assert losses.count() == (2, 1) and losses.times == ([1000.0, clock.now], [clock.now])
    clock.now = 1000.0 + REMEMBERED_S
    assert losses.count() == (1, 1)
    clock.now += REMEMBERED_S
    assert losses.count() == (0, 0) and losses.words() == ""


@pytest.mark.parametrize(
    ("crashes", "boots", "trouble", "words"),
    [
        (0, 0, "", ""),
        (1, 0, "", "1 crash in 30 s"),
        (11, 2, "", "11 crashes and 2 failed boots in 30 s"),
        (0, 1, "cannot fork", "1 failed boot in 30 s, cannot fork"),
        (0, 0, "cannot fork", "cannot fork"),
    ],
)
def test_words(crashes: int, boots: int, trouble: str, words: str) -> None:
    losses = Losses(Clock())
    for _ in range(crashes):
        losses.note(booted=True)
    for _ in range(boots):
        losses.note(booted=False)
    losses.trouble = trouble
    assert losses.words() == words


def test_those_of_another_program_are_remembered_as_ones_own() -> None:
    clock = Clock()
    before = Losses(clock)
    before.note(booted=True)
    after = Losses(clock)
    after.take_over(*before.times, [(1, "worker 1")])
    assert after.count() == (1, 0) and after.of(1) == ["worker 1"]


def test_they_are_listed_by_their_revision_up_to_a_number() -> None:
    losses = Losses(Clock())
    losses.enter(1, "worker 1")
    for number in range(LISTED_MAX):
        losses.enter(2, f"worker {number}")
    assert losses.of(1) == [] and len(losses.of(2)) == LISTED_MAX
    assert losses.count() == (0, 0)


def test_as_many_as_the_old_one_lost_are_excused() -> None:
    lost = ["worker 1", "worker 2"]
    assert unexcused(lost, 1) == lost and unexcused(lost, 2) == () and unexcused([], 0) == ()


def worker(revision: int = 1) -> Worker:
    return cast(Worker, SimpleNamespace(revision=revision, restarts=0, last_exit=None))


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


def test_a_worker_of_another_revision_takes_no_place() -> None:
    places = Vacancies(lambda: 100.0)
    places.leave(worker(1), "worker 1 was killed")
    reloaded, back = worker(2), worker(1)
    places.fill(reloaded)
    places.fill(back)  # where the reload was withdrawn
    assert (reloaded.restarts, back.restarts) == (0, 1)
