"""Scaling: what is asked of a master that is in the middle of something else."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from releve.supervisor.channels.master import ORDER_S
from releve.supervisor.operations import scale
from releve.supervisor.reporting.failure import StepFailed


def test_a_master_that_was_busy_has_all_its_time_once_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was left of the time to ask, it would be taken for one that hangs, and ended."""
    monkeypatch.setattr(scale, "_AGAIN_S", 0.001)
    given: list[float] = []

    async def order(kind: str, *, workers: int, timeout_s: float) -> None:
        given.append(timeout_s)
        if len(given) < 3:
            raise StepFailed("order", "cannot scale: it is reloading")

    settings = SimpleNamespace(timeouts=SimpleNamespace(boot=30.0))
    generation: Any = SimpleNamespace(number=1, orphaned=False, settings=settings, orders=SimpleNamespace(give=order))
    asyncio.run(scale.restore(generation, 2))
    assert given == [30.0 + ORDER_S] * 3
