"""The master's book of vacancies: when the places of dead workers are filled again."""

from __future__ import annotations

import pytest

from releve.server.master.vacancies import Vacancies, backoff_s


class Clock:
    """One that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vacancies(clock: Clock) -> Vacancies:
    """Of four places."""
    return Vacancies(lambda: 4, clock)


def test_the_back_off_of_a_boot_that_fails() -> None:
    assert [backoff_s(failures) for failures in (0, 1, 2, 3, 7, 8, 10_000)] == [0, 0.1, 0.2, 0.4, 6.4, 10, 10]


def test_each_place_waits_for_itself(vacancies: Vacancies, clock: Clock) -> None:
    assert vacancies.lose(8) == 10
    assert vacancies.lose(0) == 0
    assert vacancies.lose(1) == pytest.approx(0.1)
    assert vacancies.take(3) == [0]
    assert vacancies.next_due(2) == pytest.approx(100.1)
    clock.now = 100.2
    assert vacancies.take(2) == [1]
    assert vacancies.next_due(1) == 110
    clock.now = 110
    assert vacancies.take(1) == [8] and vacancies.next_due(0) is None


def test_a_storm_is_bounded_and_never_leaves_a_place_for_long(vacancies: Vacancies, clock: Clock) -> None:
    """Workers that die as soon as they serve: five at once, then one each tenth of a second."""
    forked, alive = 0, 4
    for _ in range(1000):
        clock.now += 0.01
        for _ in range(alive):
            vacancies.lose(0)
        alive = len(vacancies.take(4))
        forked += alive
    assert 95 <= forked <= 110


def test_after_a_storm_has_passed_all_are_replaced_at_once_again(vacancies: Vacancies, clock: Clock) -> None:
    for _ in range(50):
        vacancies.lose(0)
    clock.now += 2
    vacancies.take(0)
    assert [vacancies.lose(0) for _ in range(4)] == [0, 0, 0, 0]
    assert vacancies.take(4) == [0, 0, 0, 0]


def test_as_many_as_are_missing_are_filled(vacancies: Vacancies) -> None:
    vacancies.lose(0)
    vacancies.lose(8)
    assert vacancies.take(3) == [0, 0]  # one of those that left by themselves
    assert vacancies.next_due(0) is None  # scaled down
    assert vacancies.take(0) == []


def test_forks_that_are_refused_are_tried_again_ever_later(vacancies: Vacancies, clock: Clock) -> None:
    vacancies.lose(0)
    vacancies.lose(3)
    waits = []
    for _ in range(3):
        clock.now = vacancies.next_due(2) or 0.0
        waits.append(vacancies.give_back(vacancies.take(2)))
    assert waits == [pytest.approx(0.1), pytest.approx(0.2), pytest.approx(0.4)]
    assert vacancies.take(2) == []
    assert sorted(vacancies.take(2, at_once=True)) == [0, 3]
    vacancies.forked()
    assert vacancies.lose(0) == 0
