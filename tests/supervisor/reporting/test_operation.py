"""What an operation tells those who watch it, and when it can be interrupted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from releve.instance.protocol import Status
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation, failure


def events(queue: asyncio.Queue[Any]) -> list[Any]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_who_comes_late_hears_everything_from_the_start() -> None:
    operation = Operation("upgrade", "a test", 3)
    told: list[str] = []
    operation.told = told.append
    early = operation.watch()
    with operation.step("boot"):
        operation.say("importing")
        assert (operation.phase, operation.doing) == ("boot", "importing")
    with operation.step("hook", beside=True):
        pass
    operation.note("a worker is slow", logged=True)
    with pytest.raises(StepFailed), operation.step("check"):
        assert operation.doing == "", "what was said of the phase before"
        raise StepFailed("check", "no")
    late = operation.watch()
    operation.finish({"event": "result"})
    heard = events(early)
    assert heard == events(late) and heard[-1] == {"event": "result"} and operation.finished.is_set()
    states = [(one["phase"], one["state"]) for one in heard if one["event"] == "phase" and one["state"] != "doing"]
    assert states == [
        *(("boot", "begin"), ("boot", "done"), ("hook", "begin"), ("hook", "done")),
        *(("check", "begin"), ("check", "failed")),
    ]
    assert told == ["boot", "check"] and set(operation.times) == {"boot", "hook", "check"}
    assert operation.notes == ["a worker is slow"]
    operation.unwatch(early)
    operation.emit({"event": "late"})
    assert early.empty()


@pytest.mark.parametrize("state", ["committed", "undoing", "stop_reason"])
def test_what_must_not_be_interrupted_is_not(state: str) -> None:
    async def run() -> None:
        operation = Operation("upgrade", "a test", 1)
        assert not operation.interrupt("too early"), "it has no task yet"
        operation.task = asyncio.create_task(asyncio.sleep(60))
        operation.begun = True
        setattr(operation, state, "asked already" if state == "stop_reason" else True)
        assert not operation.interrupt("aborted", final=True) and operation.final
        aside = operation.aside = asyncio.create_task(asyncio.sleep(60))
        assert operation.interrupt("aborted"), "what it does beside its work"
        operation.task.cancel()
        await asyncio.wait([aside, operation.task])
        assert aside.cancelled()

    asyncio.run(run())


@pytest.mark.parametrize("begun", [True, False])
def test_an_interruption_ends_its_task_once_it_could_have_an_outcome(begun: bool) -> None:
    async def run() -> None:
        operation = Operation("upgrade", "a test", 1)
        operation.task, operation.begun = asyncio.create_task(asyncio.sleep(60 if begun else 0)), begun
        assert operation.interrupt("aborted by a test") and operation.stop_reason == "aborted by a test"
        await asyncio.wait([operation.task], timeout=20)
        assert operation.task.cancelled() is begun

    asyncio.run(run())


@pytest.mark.parametrize(("attempt", "number"), [(9, 9), (None, 4)])
def test_one_that_another_program_has_begun_has_its_number(attempt: int | None, number: int) -> None:
    operation = Operation.continued("reexec", "ctl", 4, attempt, 17.0)
    assert (operation.number, operation.started, operation.recorded) == (number, 17.0, attempt is not None)


def test_a_failure_says_what_failed_what_serves_and_what_to_do() -> None:
    error = StepFailed("boot", "cannot boot", "Traceback")
    said = failure(error, Status.FAILED, "nothing is serving", "try again")
    assert (said["step"], said["reason"], said["traceback"]) == ("boot", "cannot boot", "Traceback")
    assert (said["serving"], said["next"]) == ("nothing is serving", "try again") and "evidence" not in said
    error.evidence["lines"] = ["the last"]
    assert "evidence" in failure(error, Status.FAILED, "", "")
