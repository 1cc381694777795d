"""A dismissal: what is said to the workers, and when what has not left is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from releve.supervisor.generation import dismissal as module
from releve.supervisor.generation.dismissal import KILL_MARGIN_S, Dismissal


def told(story: Callable[[Dismissal, Callable[[], float]], None]) -> None:
    """Run a story with a dismissal, and how many seconds are left until the deadline of its kill."""

    async def run() -> None:
        one = Dismissal(lambda: None)

        def left_s() -> float:
            assert one.kills_at is not None
            return one.kills_at - asyncio.get_running_loop().time()

        story(one, left_s)
        one.cancel()

    asyncio.run(run())


def test_nothing_is_killed_before_it_is_dismissed() -> None:
    def story(one: Dismissal, left_s: Callable[[], float]) -> None:
        assert one.kills_at is None and one.order == {} and not one.serves_on
        one.cancel()

    told(story)


def test_the_workers_hear_the_deadline_and_the_kill_comes_a_while_after() -> None:
    def story(one: Dismissal, left_s: Callable[[], float]) -> None:
        one.begin(100.0, 2.0, serve_on=False)
        assert one.order == {"deadline_s": 100.0, "linger_s": 2.0}
        assert 100.0 < left_s() <= 100.0 + KILL_MARGIN_S

    told(story)


def test_a_later_deadline_changes_nothing_and_an_earlier_one_holds() -> None:
    def story(one: Dismissal, left_s: Callable[[], float]) -> None:
        one.begin(100.0, None, serve_on=False)
        one.begin(500.0, None, serve_on=False)
        assert 90.0 < one.order["deadline_s"] <= 100.0
        one.begin(0.0, None, serve_on=False)
        assert one.order["deadline_s"] == 0.0 and left_s() <= KILL_MARGIN_S

    told(story)


def test_one_that_serves_on_is_told_once_more_when_that_is_over() -> None:
    def story(one: Dismissal, left_s: Callable[[], float]) -> None:
        one.begin(100.0, None, serve_on=True)
        assert one.serves_on and one.order["serve_on"] is True
        one.end_service()
        one.end_service()
        assert not one.serves_on and one.order == {"deadline_s": 100.0, "linger_s": None}

    told(story)


def test_what_was_dismissed_before_us_keeps_its_time() -> None:
    def story(one: Dismissal, left_s: Callable[[], float]) -> None:
        one.go_on(50.0 + KILL_MARGIN_S)
        assert one.order == {"deadline_s": 50.0, "linger_s": None} and 50.0 < left_s() <= 50.0 + KILL_MARGIN_S
        one.go_on(1.0)
        assert one.order["deadline_s"] == 0.0

    told(story)


def test_what_has_not_left_in_time_is_killed() -> None:
    async def run() -> None:
        killed = asyncio.Event()
        one = Dismissal(killed.set)
        one.begin(-module.KILL_MARGIN_S, None, serve_on=False)
        await asyncio.wait_for(killed.wait(), 20)

    asyncio.run(run())
