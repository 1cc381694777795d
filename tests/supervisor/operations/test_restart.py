"""Restarting workers: which are meant, and the order for each."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from releve.supervisor.operations.restart import chosen, restart
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation


def generation(**changes: Any) -> Any:
    workers = {n: SimpleNamespace(number=n, pid=800 + n, state="serving") for n in (1, 2)}
    workers[3] = SimpleNamespace(number=3, pid=803, state="leaving")
    settings = SimpleNamespace(timeouts=SimpleNamespace(boot=30.0))
    said = {"number": 8, "orphaned": False, "can": lambda feature: True, "workers": workers, "settings": settings}
    return SimpleNamespace(**{**said, **changes})


@pytest.mark.parametrize(
    ("name", "everything", "found"),
    [("2", False, [2]), ("8.2", False, [2]), ("802", False, [2]), ("", True, [1, 2])],
)
def test_which_are_meant(name: str, everything: bool, found: list[int]) -> None:
    assert chosen(SimpleNamespace(active=generation()), name, everything) == found  # type: ignore[arg-type]


def test_a_number_is_meant_before_a_pid() -> None:
    """In a container pids are as low as numbers."""
    one = generation()
    one.workers[1].pid = 2
    assert chosen(SimpleNamespace(active=one), "2", False) == [2]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("active", "name", "why"),
    [
        (None, "2", "the master of the generation in service exited"),
        (generation(orphaned=True), "2", "ctl upgrade starts another"),
        (generation(can=lambda feature: False), "2", "ctl reload replaces all"),
        (generation(), "7.2", r"no such worker in service; the workers are 8\.1 \(pid 801\), 8\.2"),
        (generation(), "", "no such worker in service"),
    ],
)
def test_what_cannot_be_restarted(active: Any, name: str, why: str) -> None:
    with pytest.raises(StepFailed, match=why):
        chosen(SimpleNamespace(active=active), name, False)  # type: ignore[arg-type]


def test_one_after_the_other() -> None:
    one = generation()
    given: list[tuple[str, int]] = []

    async def give(kind: str, *, worker: int, timeout_s: float) -> None:
        given.append((kind, worker))
        del one.workers[worker]
        one.workers[worker + 10] = SimpleNamespace(number=worker + 10)

    one.orders = SimpleNamespace(give=give)
    said = asyncio.run(restart(Operation("restart", "root", 3), one, [1, 2, 99]))
    assert given == [("replace", 1), ("replace", 2)]
    assert said.startswith("replaced 8.1 with 8.11, 8.2 with 8.12;")


def test_the_first_that_fails_ends_it_and_says_what_was_replaced_and_what_was_not() -> None:
    one = generation()
    kept: list[dict[str, str]] = []

    async def give(kind: str, *, worker: int, timeout_s: float) -> None:
        if worker == 2:
            raise StepFailed("import", "cannot import shop: not today", "Traceback", {"failures": []})
        del one.workers[worker]
        one.workers[worker + 10] = SimpleNamespace(number=worker + 10)

    one.orders = SimpleNamespace(give=give)
    operation = Operation("restart", "root", 3)
    operation.record = lambda **values: kept.append(values)
    with pytest.raises(StepFailed) as failed:
        asyncio.run(restart(operation, one, [1, 2, 3, 99]))
    assert failed.value.reason == ("cannot import shop: not today; replaced 8.1 with 8.11; not replaced: 8.2, 8.3")
    found = failed.value
    assert (found.step, found.traceback, found.evidence) == ("import", "Traceback", {"failures": []})
    assert kept == [{"message": "replaced 8.1 with 8.11"}]
    with pytest.raises(StepFailed, match=r"not today$"):
        asyncio.run(restart(operation, one, [2]))


def test_none_is_left_to_replace() -> None:
    assert asyncio.run(restart(Operation("restart", "root", 3), generation(), [99])).startswith("replaced nothing")
