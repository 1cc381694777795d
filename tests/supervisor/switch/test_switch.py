"""A switch goes on when all workers of the new generation serve; one that has only just become ready is waited for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from harness.pins import PIN
from releve.config.settings.settings import Settings
from releve.server.shared.link import pair
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.switch import switch


def generation(*states: str) -> Generation:
    """One that serves, without a master; its workers, from number 1, are this process."""
    made = Generation(2, PIN, Settings(), [])
    made.state = GenerationState.SERVING
    for number, state in enumerate(states, 1):
        ours, theirs = pair()
        theirs.close()
        made.roster.workers[number] = Worker(number, os.getpid(), number, 1, ours, os.pidfd_open(os.getpid()), state)
    return made


def come(one: Generation) -> None:
    one.roster.note_state({"worker": 2, "state": "serving"}, [])


def end(one: Generation) -> None:
    one.workers.pop(2).close()


def replace(one: Generation) -> None:
    """It ends, and what is started in its place is ready in its turn: somebody always is, beside requests that kill
    workers.
    """
    end(one)
    one.roster.note_state({"worker": 1, "state": "ready"}, [])


@pytest.mark.parametrize("happens", [come, end, replace])
def test_a_worker_that_has_just_become_ready_is_waited_for(happens: Callable[[Generation], None]) -> None:
    async def story() -> None:
        new = generation("serving", "ready")
        seen = asyncio.ensure_future(switch.all_serve(new))
        new._notice()  # news of somebody else
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not seen.done()
        happens(new)
        new._notice()
        async with asyncio.timeout(switch.COME_S / 2):
            await seen
        for worker in new.workers.values():
            worker.close()
        new.workers.clear()
        new.kill()

    asyncio.run(story())


@pytest.mark.parametrize("state", ["ready", "attending"])
def test_not_for_ever(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "COME_S", 0.01)

    async def story() -> None:
        new = generation("serving", state)
        with pytest.raises(StepFailed, match=rf"worker 2 \(pid {os.getpid()}\) did not come to serve"):
            await switch.all_serve(new)
        for worker in new.workers.values():
            worker.close()
        new.workers.clear()
        new.kill()

    asyncio.run(story())
