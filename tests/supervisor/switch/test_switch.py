"""A switch goes on when all workers of the new generation serve; one that has only just become ready is waited for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.pins import PIN
from releve.config.settings.settings import Settings
from releve.server.shared.link import pair
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.switch import switch


def generation(*states: str) -> Generation:
    """One that serves, without a master; its workers, from number 1, are this process."""
    made = Generation(2, PIN, Settings(), [])
    made.life.state = GenerationState.SERVING
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
        with pytest.raises(StepFailed, match=rf"worker 2 \(pid {os.getpid()}\) did not begin to serve"):
            await switch.all_serve(new)
        for worker in new.workers.values():
            worker.close()
        new.workers.clear()
        new.kill()

    asyncio.run(story())


class Exchange:
    """Tells what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def end_relay(self) -> None:
        self.asked.append("keep")

    def relay_to(self, successor: object) -> None:
        self.asked.append(f"pass on to {successor}")


@pytest.mark.parametrize("fails", [False, True])
def test_one_that_cannot_serve_again_passes_on_what_comes_late_as_before(fails: bool) -> None:
    async def resume() -> None:
        if fails:
            raise StepFailed("switch", "its master is gone")

    exchange = Exchange()
    paused: Any = SimpleNamespace(exchange=exchange, orders=SimpleNamespace(resume=resume))
    service: Any = SimpleNamespace(serving_exchange="who serves")
    if fails:
        with pytest.raises(StepFailed):
            asyncio.run(switch.resume(service, paused))
    else:
        asyncio.run(switch.resume(service, paused))
    assert exchange.asked == ["keep", *(["pass on to who serves"] if fails else [])]


@pytest.mark.parametrize("state", [GenerationState.SERVING, GenerationState.STANDBY])
def test_a_worker_that_does_not_pause_holds_nothing_up(state: GenerationState) -> None:
    async def pause(to: object) -> None:
        raise StepFailed("pause", "worker 1 is stuck")

    async def story() -> list[str]:
        operation = Operation("upgrade", "a test", 1)
        old: Any = SimpleNamespace(state=state, number=7, orders=SimpleNamespace(pause=pause))
        await switch.pause(operation, old, old)
        return operation.notes

    notes = ["worker 1 is stuck; connections of that worker stay with generation 7"]
    assert asyncio.run(story()) == (notes if state is GenerationState.SERVING else [])
