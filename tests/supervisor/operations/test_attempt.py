"""Whatever ends an operation, it has an outcome, and its attempt is kept."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from releve.config.errors import ConfigError, Place, Problem
from releve.instance.protocol import Event, Status
from releve.supervisor.operations.attempt import perform
from releve.supervisor.reporting.failure import RolledBack, StepFailed
from releve.supervisor.reporting.history import HistoryError
from releve.supervisor.reporting.operation import Job, Operation

REMEDY = "remove the cause, then try again"


class Service:
    """With a history; ``active`` names what serves."""

    def __init__(self, degraded: dict[str, str], *, full: bool = False) -> None:
        self.active: Any = SimpleNamespace(number=1)
        self.condition = SimpleNamespace(degraded=degraded)
        self.history = self
        self.kept: list[tuple[str, dict[str, Any]]] = []
        self._full = full

    def begin(self, entry: dict[str, Any], *, rescue: bool, number: int) -> None:
        if self._full and not rescue:
            raise HistoryError("cannot record it: the disk is full")

    def note(self, attempt: int, **values: Any) -> None: ...

    def finish(self, attempt: int, words: str, *, to: Any, **evidence: Any) -> None:
        self.kept.append((words, evidence))

    def describe(self, generation: Any) -> dict[str, Any]:
        return {"generation": generation.number}

    def serving_words(self) -> str:
        return f"generation {self.active.number} is serving"


def ended(
    service: Service, error: BaseException | None = None, *, changes: bool = False, verb: str = "upgrade"
) -> Event:
    """The outcome of an operation that ends so; ``changes``: it has been committed."""
    operation = Operation(verb, "a test", 3)

    async def does(operation: Operation) -> str:
        if changes:
            service.active, operation.committed = SimpleNamespace(number=2), True
        if error is not None:
            raise error
        return "generation 2 serves"

    return asyncio.run(perform(service, operation, Job(verb, does, REMEDY)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "status", "kept", "what_next"),
    [
        (StepFailed("boot", "cannot import it"), Status.FAILED, "failed", REMEDY),
        (RolledBack("probation", "it answers 5xx"), Status.ROLLED_BACK, "rolled back", REMEDY),
        (
            ConfigError([Problem(Place("releve.yaml"), "it is wrong")]),
            Status.USAGE,
            "failed",
            "correct the file and try again",
        ),
        (asyncio.CancelledError(), Status.FAILED, "aborted", ""),
        (ValueError("nobody foresaw"), Status.UNEXPECTED, "failed", None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_says_what_can_be_done_about_it(
    error: BaseException, status: Status, kept: str, what_next: str | None
) -> None:
    service = Service({})
    outcome = ended(service, error)
    assert (outcome["status"], outcome.get("next")) == (status, what_next)
    assert outcome["serving"] == "generation 1 is serving"
    assert [(words, evidence.get("message")) for words, evidence in service.kept] == [(kept, None)]


@pytest.mark.parametrize(
    ("degraded", "status"),
    [({}, Status.DONE), ({"log": "it cannot be written"}, Status.DONE), ({"workers": "1 of 2"}, Status.DEGRADED)],
)
def test_what_is_done_is_done_and_may_be_degraded(degraded: dict[str, str], status: Status) -> None:
    """A log that cannot be written says nothing against what was done."""
    service = Service(degraded)
    outcome = ended(service, changes=True)
    assert (outcome["status"], outcome["message"], outcome["generation"]) == (status, "generation 2 serves", 2)
    assert [evidence["message"] for _, evidence in service.kept] == ["generation 2 serves"]


@pytest.mark.parametrize("error", [StepFailed("after_commit", "it failed"), ValueError("nobody foresaw")])
def test_what_fails_after_its_commit_stays(error: Exception) -> None:
    outcome = ended(Service({"rollback": "no way back"}), error, changes=True)
    assert outcome["status"] == Status.DEGRADED and "generation 2 is serving" in outcome["message"]


def test_what_cannot_be_recorded_is_not_begun_but_for_what_rescues() -> None:
    service = Service({}, full=True)
    outcome = ended(service)
    assert (outcome["status"], outcome["step"], service.kept) == (Status.FAILED, "record", [])
    assert ended(Service({}, full=True), verb="rollback")["status"] == Status.DONE
