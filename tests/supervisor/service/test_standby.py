"""How long a generation stands by, and what a rollback does to that."""

from __future__ import annotations

import asyncio
import time

from harness.generations import Bare
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.service.standby import Standby


def test_its_time_ends_it_unless_a_rollback_has_begun() -> None:
    async def run() -> None:
        over = asyncio.Event()
        standby, one = Standby(over.set), Bare(1, GenerationState.STANDBY)
        assert standby.until is None and not standby.fit
        standby.begin(one, 60)
        assert standby.fit and standby.until is not None and standby.until > time.monotonic() + 50
        until = standby.until
        standby.call_back()
        assert standby.called_back
        standby.send_back()
        assert not standby.called_back and abs(standby.until - until) < 1, "only what was left of its time"
        standby.begin(one, 0)
        await asyncio.wait_for(over.wait(), 20)
        assert standby.end() is one and standby.generation is None and standby.until is None
        over.clear()
        standby.begin(one, 0)
        standby.call_back()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not over.is_set()
        one.end()
        assert not standby.fit, "it has ended"

    asyncio.run(run())
