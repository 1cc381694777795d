"""What the service is doing, as the dispatcher tells it; and what happens around each operation, in which order."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from releve.supervisor.reporting.operation import Job, Operation
from releve.supervisor.service.states import ServiceState
from releve.supervisor.verbs.dispatcher import Dispatcher


def a_service(**more: Any) -> Any:
    history = SimpleNamespace(
        reserve=lambda: 7,
        begin=lambda entry, **how: 7,
        note=lambda attempt, **values: None,
        finish=lambda attempt, words, **how: None,
    )
    always: dict[str, Any] = {"active": None, "tried": False, "history": history}
    condition = SimpleNamespace(degraded={})
    words = {"describe": lambda generation: None, "serving_words": lambda: "nothing is serving"}
    return SimpleNamespace(**{**always, "condition": condition, **words, **more})


def operation(verb: str) -> Operation:
    return Operation(verb, "a test", 1)


@pytest.mark.parametrize(
    ("active", "tried", "under_way", "stopping", "state"),
    [
        (False, False, None, False, ServiceState.STARTING),
        (False, False, "start", False, ServiceState.STARTING),
        (True, False, None, False, ServiceState.SERVING),
        (True, False, "upgrade", False, ServiceState.OPERATING),
        (True, False, "recover", False, ServiceState.RECOVERING),
        (True, True, "upgrade", False, ServiceState.TRIAL),
        (True, True, "recover", False, ServiceState.TRIAL),
        (True, True, "upgrade", True, ServiceState.STOPPING),
        (False, False, None, True, ServiceState.STOPPING),
    ],
)
def test_what_the_service_is_doing(
    active: bool, tried: bool, under_way: str | None, stopping: bool, state: ServiceState
) -> None:
    dispatcher = Dispatcher(a_service(active=object() if active else None, tried=tried))
    dispatcher.operation = None if under_way is None else operation(under_way)
    dispatcher.stopping = operation("stop") if stopping else None
    assert dispatcher.state is state
    assert dispatcher.idle is (under_way is None and not stopping)


@pytest.mark.parametrize("stopping", [False, True])
def test_an_operation_is_over_before_its_outcome_is_told(stopping: bool) -> None:
    """Whoever has waited for it may ask for the next one at once."""
    seen: list[tuple[str, bool, bool]] = []

    async def story() -> Operation:
        dispatcher = Dispatcher(a_service())

        def see(name: str) -> None:
            seen.append((name, dispatcher.operation is None, begun.finished.is_set()))

        async def does(operation: Operation) -> str:
            see("does")
            return "done as asked"

        dispatcher.on_done = lambda operation: see("done")
        dispatcher.on_idle = lambda: see("idle")
        begun = dispatcher.begin(Job("scale", does), "a test")
        dispatcher.stopping = operation("stop") if stopping else None
        assert begun.task is not None
        await begun.task
        return begun

    begun = asyncio.run(story())
    assert begun.outcome is not None and begun.outcome["message"] == "done as asked" and begun.number == 7
    assert seen == [("does", False, False), ("done", True, False), *([] if stopping else [("idle", True, True)])]
