"""Who hears that this host is drained, and whether anybody could."""

from __future__ import annotations

import asyncio
import time

import pytest

from harness.generations import Bare
from releve.config.settings.settings import Settings
from releve.config.settings.upgrade import Upgrade
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.service.drain import FEATURE, Drain, asked_path


def test_all_generations_hear_of_it_and_the_next_supervisor_finds_it() -> None:
    async def run() -> None:
        one, other = Bare(1), Bare(2)
        drain = Drain(lambda: [one, other])
        assert drain.begin() and not drain.begin(), "once"
        assert one.board.drained_ns == other.board.drained_ns == drain.since_ns > 0
        found = Drain(lambda: [one])
        found.recall([one, other])
        assert found.since_ns == drain.since_ns
        found.recall([one], 5)
        assert found.since_ns == 5, "the supervisor before has said so"
        found.recall([one], time.monotonic_ns() + 10**12)
        assert found.since_ns == 0, "nothing has begun that is still to come"
        assert drain.end() and not drain.end() and one.board.drained_ns == 0 and drain.words == ""
        drain.stop()
        assert drain.since_ns == 0 and drain.picture() is None, "a stop is no drain"
        one.end()
        other.end()

    asyncio.run(run())


def test_a_release_that_does_not_hear_of_it_is_named() -> None:
    async def run() -> None:
        one, deaf = Bare(1), Bare(2)
        one.booting.greet({"type": "hello", "features": [FEATURE], "releve": "2.0"})
        deaf.booting.greet({"type": "hello", "features": [], "releve": "1.0"})
        drain = Drain(lambda: [one, deaf])
        drain.begin()
        picture = drain.picture()
        assert picture is not None and picture["unheard"] == [2]
        assert asked_path(Settings(readiness="/ready"), one) == "/ready"
        with pytest.raises(StepFailed, match="releve 1.0 of generation 2 does not know readiness"):
            asked_path(Settings(readiness="/ready"), deaf)
        one.end()
        deaf.end()

    asyncio.run(run())


def test_a_drain_that_no_load_balancer_would_see_is_refused() -> None:
    with pytest.raises(StepFailed, match="the load balancer has no path to ask"):
        asked_path(Settings(upgrade=Upgrade(check=None)), None)
